//! What every file keeps to, whatever it says.

use super::source::{code_of, line_of, without_tests};
use super::{all_files, must_be_empty, rust_files};

/// Above this, a file is two files.
const LONGEST: usize = 800;

/// Names that say nothing of what is inside.
const NAMELESS: [&str; 6] = ["utils", "util", "common", "helpers", "manager", "types"];

/// Notes of what is not done. (In halves, or this file would offend.)
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
];

/// Where some machine keeps things, of which the repository knows nothing.
const PLACES: [&str; 5] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/"), concat!("/t", "mp/")];

#[test]
fn each_file_says_first_what_it_is_for() {
    let offences = rust_files().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path);
    must_be_empty("the first line is no `//!`", offences.collect());
}

#[test]
fn no_file_is_long() {
    let long = rust_files()
        .into_iter()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LONGEST);
    must_be_empty("long files", long.map(|(lines, path)| format!("{path}: {lines} lines")).collect());
}

#[test]
fn each_module_has_a_name() {
    let nameless = |path: &str| path.split('/').any(|part| NAMELESS.contains(&part.trim_end_matches(".rs")));
    let offences = rust_files().into_iter().map(|file| file.path).filter(|path| nameless(path));
    must_be_empty("the name says nothing", offences.collect());
}

#[test]
fn nothing_is_left_undone() {
    let mut offences = Vec::new();
    for file in all_files() {
        for (number, line) in file.lines() {
            offences.extend(
                UNFINISHED
                    .iter()
                    .filter(|mark| line.contains(**mark))
                    .map(|mark| format!("{}:{number}: {mark}", file.path)),
            );
        }
    }
    must_be_empty("unfinished", offences);
}

#[test]
fn lints_are_expected_not_silenced() {
    let mut offences = Vec::new();
    for file in rust_files() {
        let code = code_of(&file.text);
        for attribute in [concat!("#[al", "low("), concat!("#![al", "low(")] {
            offences
                .extend(code.match_indices(attribute).map(|(at, _)| format!("{}:{}", file.path, line_of(&code, at))));
        }
        for (number, line) in file.lines().filter(|(_, line)| line.trim_start().starts_with("#[ignore")) {
            offences.push(format!("{}:{number}: {line}", file.path));
        }
    }
    must_be_empty("use #[expect(…, reason = \"…\")]; a test that cannot run says so when it runs", offences);
}

/// Cargo looks for examples in documentation only where it is told nothing else: looking takes seconds for each crate.
#[test]
fn examples_in_documentation_are_run() {
    let mut offences = Vec::new();
    for manifest in all_files().iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        if !manifest.text.contains("\ndoctest = false\n") {
            continue;
        }
        let sources = format!("{}src/", manifest.path.trim_end_matches("Cargo.toml"));
        for file in rust_files().iter().filter(|file| file.path.starts_with(&sources)) {
            let fences = file.lines().filter_map(|(number, line)| {
                let comment = line.trim_start();
                let text = comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!"))?;
                text.trim().strip_prefix("```").map(|kind| (number, kind.to_owned()))
            });
            for (number, kind) in fences.step_by(2).filter(|(_, kind)| !kind.starts_with("text")) {
                offences.push(format!("{}:{number}: ```{kind}", file.path));
            }
        }
    }
    must_be_empty("examples that nobody runs: see `doctest` in the manifest", offences);
}

#[test]
fn no_machine_is_named() {
    let mut offences = Vec::new();
    for file in all_files() {
        for (number, line) in file.lines() {
            for place in PLACES {
                let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-./}".contains(c));
                if line.match_indices(place).any(|(at, _)| begins(at)) {
                    offences.push(format!("{}:{number}: {place}", file.path));
                }
            }
        }
    }
    must_be_empty("paths of some machine", offences);
}

/// `expect` states why it cannot fail; `unwrap` leaves the reader to guess.
#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut offences = Vec::new();
    for file in rust_files() {
        let product = ["engine/", "rotators/", "policies/"].iter().any(|folder| file.path.starts_with(folder));
        let of_tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
        if product && !of_tests {
            let code = code_of(&file.text);
            let found = without_tests(&code).match_indices(".unwrap()");
            offences.extend(found.map(|(at, _)| format!("{}:{}", file.path, line_of(&code, at))));
        }
    }
    must_be_empty("unwrap() outside tests", offences);
}
