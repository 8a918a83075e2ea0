//! `for_each:` one policy, once for each map of variables.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::placeholder;
use crate::scalar;
use crate::source::is_secret_key;
use crate::tree::{Entry, Kind, Node, Span};
use crate::walk::{Variables, Walk, shown};

/// More than a file of the largest size holds.
const MAX_ROUNDS: usize = 100_000;

const HELP: &str = "a list of maps: `for_each: [ { user: app_a }, { user: app_b } ]`";

/// The rounds to walk: one without variables, or one for each entry of `for_each`.
pub(crate) fn rounds(walk: &Walk<'_>, root: &Node) -> Vec<Option<(Rc<Variables>, Span)>> {
    let Kind::Map(top) = &root.kind else { return vec![None] };
    let Some(entry) = top.iter().find(|entry| entry.key == "for_each") else { return vec![None] };
    let Kind::List(items) = &entry.value.kind else {
        walk.tell(
            walk.problem(
                "wrong-type",
                entry.value.span,
                format!("expected a list of maps, found {}", entry.value.kind.noun()),
            )
            .help(HELP),
        );
        return Vec::new();
    };
    let Some(first) = items.first() else {
        walk.tell(walk.problem("empty-value", entry.span, "`for_each` has no entry").help(HELP));
        return Vec::new();
    };
    if items.len() > MAX_ROUNDS {
        walk.tell(
            walk.problem("too-many", entry.span, format!("`for_each` has more than {MAX_ROUNDS} entries"))
                .help("split the file"),
        );
        return Vec::new();
    }
    let names: BTreeSet<&str> =
        first.kind.as_map().unwrap_or_default().iter().map(|entry| entry.key.as_str()).collect();
    refuse_unused(walk, top, first);
    items
        .iter()
        .filter_map(|item| round(walk, item, &names).map(|variables| Some((Rc::new(variables), item.span))))
        .collect()
}

fn round(walk: &Walk<'_>, item: &Node, names: &BTreeSet<&str>) -> Option<Variables> {
    let mut variables = Variables::new();
    for entry in walk.entries(item)? {
        if !names.contains(entry.key.as_str()) {
            let problem = walk.problem(
                "unknown-variable",
                entry.span,
                format!("the first entry has no variable `{}`", shown(&entry.key)),
            );
            walk.tell(match scalar::closest(&entry.key, names.iter().copied()) {
                Some(word) => problem.help(format!("did you mean `{word}`?")),
                None => problem.help("all entries have the same variables"),
            });
        }
        if is_secret_key(&entry.key) {
            walk.tell(
                walk.problem(
                    "secret-in-clear",
                    entry.span,
                    format!("the variable `{}` would hold a secret in the clear", shown(&entry.key)),
                )
                .help("secrets are referenced by name; give the name in a variable that is called like one"),
            );
        }
        variables.insert(entry.key.clone(), value(walk, entry)?);
    }
    let missing: Vec<&str> = names.iter().copied().filter(|name| !variables.contains_key(*name)).collect();
    if !missing.is_empty() {
        walk.tell(
            walk.problem("missing-variable", item.span, format!("this entry lacks {}", scalar::list_words(missing)))
                .help("all entries have the same variables"),
        );
        return None;
    }
    Some(variables)
}

fn value(walk: &Walk<'_>, entry: &Entry) -> Option<String> {
    match &entry.value.kind {
        Kind::Text(text) => Some(text.clone()),
        Kind::Integer(number) => Some(number.to_string()),
        Kind::Boolean(value) => Some(value.to_string()),
        Kind::Null | Kind::Float(_) | Kind::List(_) | Kind::Map(_) => {
            walk.tell(
                walk.problem(
                    "wrong-type",
                    entry.span,
                    format!("a variable is text or a whole number, found {}", entry.value.kind.noun()),
                )
                .help("put it in quotes"),
            );
            None
        }
    }
}

/// A variable that nothing uses is most often a placeholder that was forgotten.
fn refuse_unused(walk: &Walk<'_>, top: &[Entry], first: &Node) {
    let mut used = BTreeSet::new();
    for entry in top.iter().filter(|entry| entry.key != "for_each") {
        collect(&entry.value, &mut used);
    }
    let Kind::Map(variables) = &first.kind else { return };
    for variable in variables.iter().filter(|variable| !used.contains(variable.key.as_str())) {
        walk.tell(
            walk.problem(
                "unused-variable",
                variable.span,
                format!("nothing uses the variable `{}`", shown(&variable.key)),
            )
            .help(format!("write `${{{}}}` where it belongs, or remove it", shown(&variable.key))),
        );
    }
}

fn collect<'n>(node: &'n Node, used: &mut BTreeSet<&'n str>) {
    match &node.kind {
        Kind::Text(text) => used.extend(placeholder::names(text)),
        Kind::List(items) => items.iter().for_each(|item| collect(item, used)),
        Kind::Map(entries) => entries.iter().for_each(|entry| collect(&entry.value, used)),
        Kind::Null | Kind::Boolean(_) | Kind::Integer(_) | Kind::Float(_) => {}
    }
}
