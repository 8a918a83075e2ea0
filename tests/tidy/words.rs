//! One word for one thing: the words that the product does not use for its own are not in its names either.

use super::source::{code_of, identifiers, line_of, parts};
use super::{must_be_empty, rust_files};

/// Each refused word with what it is called here.
const REFUSED: [(&str, &str); 20] = [
    ("rule", "policy"),
    ("rules", "policies"),
    ("config", "policy, or settings"),
    ("configs", "policies, or settings"),
    ("configuration", "policy, or settings"),
    ("resource", "target"),
    ("resources", "targets"),
    ("job", "rotation"),
    ("jobs", "rotations"),
    ("saga", "rotation"),
    ("sagas", "rotations"),
    ("task", "rotation"),
    ("tasks", "rotations"),
    ("phase", "step"),
    ("phases", "steps"),
    ("ping", "probe"),
    ("stuck", "in doubt, or parked"),
    ("cancel", "roll back"),
    ("cancelled", "rolled back"),
    ("cancels", "rolls back"),
];

/// Pairs that are refused although each half may stand alone.
const REFUSED_PAIRS: [(&str, &str, &str); 5] = [
    ("old", "password", "previous, or current"),
    ("new", "password", "candidate"),
    ("health", "check", "heartbeat"),
    ("dead", "letter", "parked"),
    ("secret", "entry", "secret"),
];

/// Names that others chose: the identifier, and what stands right before it.
const FOREIGN: [(&str, &str, &str); 22] = [
    ("", "macro_rules", "the language's"),
    ("rustls::", "ServerConfig", "rustls's"),
    ("rustls::", "ClientConfig", "rustls's"),
    ("tiberius::", "Config", "tiberius's"),
    ("std::", "task", "the standard library's module"),
    ("tokio::", "task", "tokio's module"),
    ("tokio_util::", "task", "tokio-util's module"),
    (".", "cancel", "CancellationToken's method"),
    (".", "cancelled", "CancellationToken's method"),
    (".", "is_cancelled", "CancellationToken's method, and JoinError's"),
    ("pub ", "cancel", "a member of a library's table, as C knows it"),
    ("Table, ", "cancel", "a member of a library's table, as C knows it"),
    ("    ", "cancel", "a member of a library's table, as C knows it"),
    ("rustix::process::", "Resource", "what a limit of the system is on"),
    ("seccompiler::", "SeccompRule", "seccompiler's"),
    (".", "add_rule", "Landlock's"),
    ("Error::", "Configuration", "a variant of sqlx's error"),
    ("{Error, ", "PoolConfig", "lettre's"),
    (".pool_config(", "PoolConfig", "lettre's"),
    (".", "pool_config", "lettre's"),
    ("", "ProptestConfig", "proptest's"),
    ("", "proptest_config", "proptest's"),
];

/// Programs and files of others, of which a name may speak.
const FOREIGN_NAMES: [&str; 1] = ["pg_config"];

#[test]
fn names_use_the_words_of_the_product() {
    let mut offences = Vec::new();
    for file in rust_files() {
        let code = code_of(&file.text);
        for (at, name) in identifiers(&code) {
            let foreign = FOREIGN.iter().any(|(before, foreign, _)| name == *foreign && code[..at].ends_with(before));
            if foreign || FOREIGN_NAMES.iter().any(|foreign| name.contains(foreign)) {
                continue;
            }
            let parts = parts(name);
            let word = REFUSED.iter().find(|(word, _)| parts.iter().any(|part| part == word)).map(|(_, ours)| ours);
            let pair = REFUSED_PAIRS
                .iter()
                .find(|(a, b, _)| parts.windows(2).any(|two| two == [*a, *b]))
                .map(|(_, _, ours)| ours);
            if let Some(ours) = word.or(pair) {
                offences.push(format!("{}:{}: `{name}` (say {ours})", file.path, line_of(&code, at)));
            }
        }
    }
    must_be_empty("names with words that are not ours", offences);
}

#[test]
fn files_use_the_words_of_the_product() {
    let refused = |path: &str| {
        path.trim_end_matches(".rs").split(['/', '_']).any(|part| REFUSED.iter().any(|(word, _)| part == *word))
    };
    let offences = rust_files().into_iter().map(|file| file.path).filter(|path| refused(path));
    must_be_empty("files named with words that are not ours", offences.collect());
}
