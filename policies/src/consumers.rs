//! `consumers:` of `keywheel.yaml`: what is done with a new version, or before the previous one ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{ConsumerKind, ConsumerSpec};
use crate::notifiers::{self, hide_what_is_no_map};
use crate::scalar::{self, spell};
use crate::tree::{Entry, Node, Span};
use crate::walk::{Keys, Section, Walk};

mod exec;
mod file;

#[cfg(test)]
pub(crate) use {
    exec::{EXEC, INPUT},
    file::{FILE, SIGNAL, SIGNALS},
};

pub(crate) const CONSUMER: Keys = Keys { name: "a consumer", keys: &KINDS };
/// What a consumer can do.
pub(crate) const KINDS: [&str; 3] = ["exec", "file", "webhook"];

/// A fleet has one for each of its applications.
const MOST_CONSUMERS: usize = 1_000;

/// A program has the time of one step: it would be ended in the middle each time.
pub(crate) fn refuse_longer_ones(walk: &Walk<'_>, node: &Node, consumers: &[ConsumerSpec], step: Duration) {
    for entry in node.kind.as_map().unwrap_or_default() {
        let spec = consumers.iter().find(|spec| spec.name == entry.key);
        let Some(ConsumerKind::Exec(exec)) = spec.map(|spec| &spec.does) else { continue };
        if exec.timeout >= step {
            let message =
                format!("this consumer may take {}, and a step no longer than {}", spell(exec.timeout), spell(step));
            walk.tell(
                walk.problem("out-of-range", entry.span, message)
                    .help("a shorter `timeout` for its program, or a longer `step` under `deadlines`"),
            );
        }
    }
}

/// Reads `consumers:`.
pub(crate) fn read(walk: &Walk<'_>, node: &Node) -> Option<Vec<ConsumerSpec>> {
    hide_what_is_no_map(walk, node);
    let entries = walk.entries(node)?;
    if let Some(entry) = entries.get(MOST_CONSUMERS) {
        walk.tell(
            walk.problem("too-many", entry.span, format!("there are more than {MOST_CONSUMERS} consumers"))
                .help("several policies can name one"),
        );
        return None;
    }
    let mut consumers = Vec::new();
    let mut files = BTreeMap::new();
    for entry in entries {
        if !scalar::is_name(&entry.key, false) {
            walk.tell(
                walk.problem("bad-name", entry.span, "this is no name").help("letters, digits, `.`, `_` and `-`"),
            );
        }
        let Some(does) = consumer(walk, &entry.value) else { continue };
        if let ConsumerKind::File(file) = &does {
            refuse_a_second(walk, &mut files, &file.path, entry.span);
        }
        consumers.push(ConsumerSpec { name: entry.key.clone(), does });
    }
    Some(consumers)
}

/// Each would undo what the other did.
fn refuse_a_second(walk: &Walk<'_>, files: &mut BTreeMap<PathBuf, Span>, path: &PathBuf, span: Span) {
    match files.get(path) {
        Some(first) => walk.tell(
            walk.problem("duplicate-file", span, "two consumers write this file")
                .help("give each a file of its own: what one writes the other overwrites")
                .related(walk.place(*first), "the first one"),
        ),
        None => drop(files.insert(path.clone(), span)),
    }
}

fn consumer(walk: &Walk<'_>, node: &Node) -> Option<ConsumerKind> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &CONSUMER)?;
    let mut written: Vec<&Entry> = KINDS.into_iter().filter_map(|key| section.entry(key)).collect();
    written.sort_by_key(|entry| entry.span.from);
    let does = does(&section);
    let span = section.span;
    let unknown = walk.tells(|| section.done());
    match written.as_slice() {
        // A misspelled one was told of.
        [] if !unknown => walk.tell(
            walk.problem("one-of", span, "this consumer does nothing")
                .help(format!("give it one of {}", scalar::list_words(KINDS))),
        ),
        [first, second, ..] => walk.tell(
            walk.problem("one-of", second.span, "a consumer does one thing, and this is another one")
                .help("make it a consumer of its own, and name both in the policy, in their order")
                .related(walk.place(first.span), "the first one"),
        ),
        [] | [_] => {}
    }
    does
}

/// Reads all that is written, so that all mistakes are told; there should be one.
fn does(section: &Section<'_>) -> Option<ConsumerKind> {
    let walk = section.walk;
    let all = [
        section.get("exec").map(|node| exec::read(walk, node).map(ConsumerKind::Exec)),
        section.get("file").map(|node| file::read(walk, node).map(ConsumerKind::File)),
        section.get("webhook").map(|node| notifiers::webhook(walk, node).map(ConsumerKind::Webhook)),
    ];
    all.into_iter().flatten().next().flatten()
}
