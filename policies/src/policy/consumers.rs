//! `after_promote:` and `before_revoke:` who takes over a new version, and who is told before the previous one ends.

use crate::catalogue::{Catalogue, RotatorSpec};
use crate::consumers::KINDS;
use crate::model::SecretSpec;
use crate::scalar;
use crate::tree::{Node, Span};
use crate::walk::{Section, Walk};

/// Each is waited for, one after the other.
const MOST_NAMED: usize = 50;
/// More names than this are not worth reading in a message.
const MOST_SHOWN: usize = 10;

const UNKNOWN: &str = "unknown-consumer";
/// Why a policy names consumers and does not describe them.
const WHOSE: &str = "what runs as keywheel's account is for its operator to say, and not for a policy";

/// Reads one of the two lists. Which of them write files is added to `files`.
pub(crate) fn read(
    top: &Section<'_>,
    key: &'static str,
    catalogue: &Catalogue,
    secret: Option<&SecretSpec>,
    spec: Option<&RotatorSpec>,
    files: &mut Vec<(String, Span)>,
) -> Option<Vec<String>> {
    let Some(node) = top.get(key) else { return Some(Vec::new()) };
    let walk = top.walk;
    if node.kind.as_map().is_some() {
        refuse_map(walk, node, key);
        return None;
    }
    let items = walk.list(node)?;
    if items.len() > MOST_NAMED {
        walk.tell(
            walk.problem("too-many", node.span, format!("there are more than {MOST_NAMED} consumers in this list"))
                .help("one program can do several things"),
        );
        return None;
    }
    let mut named: Vec<String> = Vec::new();
    for item in items {
        if item.kind.as_map().is_some() {
            refuse_map(walk, item, key);
            continue;
        }
        let Some(name) = walk.text(item) else { continue };
        if named.contains(&name) {
            walk.tell(walk.problem("repeated", item.span, "this consumer is given twice").help("remove one"));
            continue;
        }
        let Some(known) = catalogue.consumers.get(&name) else {
            refuse_unknown(walk, item, &name, catalogue);
            continue;
        };
        if let (Some(secret), Some(spec)) = (secret, spec) {
            refuse_missing(walk, item, (&name, &known.fields), secret, spec);
        }
        if known.writes_file {
            files.push((name.clone(), item.span));
        }
        named.push(name);
    }
    Some(named)
}

/// The declaration itself stands where its name belongs.
fn refuse_map(walk: &Walk<'_>, node: &Node, key: &str) {
    // It may hold what a command line or an address holds.
    walk.hide(node);
    let written = node.kind.as_map().unwrap_or_default().iter().map(|entry| entry.key.as_str());
    let kind = written.into_iter().find_map(|key| KINDS.into_iter().find(|kind| *kind == key)).unwrap_or("exec");
    walk.tell(walk.problem("wrong-type", node.span, "expected the name of a consumer, found a map").help(format!(
        "declare it in keywheel.yaml, `consumers: {{ NAME: {{ {kind}: … }} }}`, and name it here, `{key}: [NAME]`: {WHOSE}"
    )));
}

fn refuse_unknown(walk: &Walk<'_>, node: &Node, name: &str, catalogue: &Catalogue) {
    let problem = walk.problem(UNKNOWN, node.span, "there is no consumer of this name");
    // Each round of `for_each` says the same, and looking for what was meant takes long.
    if walk.has_told(&problem) {
        walk.tell(problem);
        return;
    }
    let known = || catalogue.consumers.keys().map(String::as_str);
    let count = catalogue.consumers.len();
    walk.tell(match scalar::closest(name, known()) {
        Some(word) => problem.help(format!("did you mean `{word}`?")),
        None if count == 0 => {
            problem.help(format!("consumers are declared in keywheel.yaml, under `consumers`: {WHOSE}"))
        }
        None => {
            let shown: Vec<String> = known().take(MOST_SHOWN).map(|name| format!("`{name}`")).collect();
            let more = if count > MOST_SHOWN { format!(" and {} more", count - MOST_SHOWN) } else { String::new() };
            let declared = shown.join(", ");
            problem.help(format!("declared in keywheel.yaml, under `consumers`: {declared}{more}; {WHOSE}"))
        }
    });
}

/// A file could never be written from a secret that lacks what its template asks for.
fn refuse_missing(
    walk: &Walk<'_>,
    node: &Node,
    (name, asked): (&str, &[String]),
    secret: &SecretSpec,
    spec: &RotatorSpec,
) {
    for field in asked.iter().filter(|field| !secret.fields.contains(field)) {
        let message = format!("the template of `{name}` asks for `{field}`, which this secret does not have");
        let help = if spec.fields.contains(field) {
            "add it to `fields` of `secret`, or remove it from the `template` in keywheel.yaml".to_owned()
        } else {
            let has = secret.fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
            format!("it has {has}: name another consumer, or change the `template` in keywheel.yaml")
        };
        walk.tell(walk.problem("missing-field", node.span, message).help(help));
    }
}
