//! `notifiers:` of `keywheel.yaml`: the ways to tell people.

use std::time::Duration;

use crate::model::{Channel, DigestSchedule, NotifierSpec};
use crate::policy::{cron, timezone};
use crate::scalar::{self, spell};
use crate::tree::{Entry, Node};
use crate::walk::{Keys, Section, Walk};

mod channel;
mod email;
mod reference;

pub(crate) use channel::webhook;
#[cfg(test)]
pub(crate) use {
    channel::{CHAT, WEBHOOK},
    email::{EMAIL, LOGIN, TLS},
    reference::REFERENCE,
};

pub(crate) const NOTIFIER: Keys = Keys {
    name: "a notifier",
    keys: &["email", "webhook", "slack", "teams", "log", "group_wait", "group_interval", "digest"],
};
pub(crate) const DIGEST: Keys = Keys { name: "digest", keys: &["cron", "timezone"] };
const CHANNELS: [&str; 5] = ["email", "webhook", "slack", "teams", "log"];

/// Each has a connection and a queue of its own.
const MOST_NOTIFIERS: usize = 50;

const GROUP_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
const GROUP_INTERVAL: Duration = Duration::from_secs(5 * 60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// The names, also of notifiers with mistakes: who names one of those makes none.
pub(crate) fn names(node: &Node) -> Vec<String> {
    node.kind.as_map().unwrap_or_default().iter().map(|entry| entry.key.clone()).collect()
}

/// Reads `notifiers:`.
pub(crate) fn read(walk: &Walk<'_>, node: &Node) -> Option<Vec<NotifierSpec>> {
    hide_what_is_no_map(walk, node);
    let entries = walk.entries(node)?;
    if let Some(entry) = entries.get(MOST_NOTIFIERS) {
        walk.tell(
            walk.problem("too-many", entry.span, format!("there are more than {MOST_NOTIFIERS} notifiers"))
                .help("one can tell several people, and several policies can name one"),
        );
    }
    let mut notifiers = Vec::new();
    for entry in entries {
        if !scalar::is_name(&entry.key, false) {
            walk.tell(
                walk.problem("bad-name", entry.span, "this is no name").help("letters, digits, `.`, `_` and `-`"),
            );
        }
        notifiers.extend(notifier(walk, &entry.value, &entry.key));
    }
    Some(notifiers)
}

/// An address that is a secret may stand here by mistake.
pub(crate) fn hide_what_is_no_map(walk: &Walk<'_>, node: &Node) {
    if node.kind.as_map().is_none() {
        walk.hide(node);
    }
}

fn notifier(walk: &Walk<'_>, node: &Node, name: &str) -> Option<NotifierSpec> {
    hide_what_is_no_map(walk, node);
    let section = walk.section(node, &NOTIFIER)?;
    let mut written: Vec<&Entry> = CHANNELS.into_iter().filter_map(|key| section.entry(key)).collect();
    written.sort_by_key(|entry| entry.span.from);
    let channel = channel(&section);
    let group_wait = up_to(&section, "group_wait", GROUP_WAIT, LONGEST_WAIT);
    let group_interval = up_to(&section, "group_interval", GROUP_INTERVAL, LONGEST_INTERVAL);
    let digest = section.get("digest").map(|node| digest(walk, node));
    let span = section.span;
    let unknown = walk.tells(|| section.done());
    match written.as_slice() {
        // A misspelled one was told of.
        [] if !unknown => walk.tell(
            walk.problem("one-of", span, "this notifier has no channel")
                .help(format!("give it one of {}", scalar::list_words(CHANNELS))),
        ),
        [first, second, ..] => walk.tell(
            walk.problem("one-of", second.span, "a notifier has one channel, and this is another one")
                .help("make it a notifier of its own, and name both under `to` of `notify`")
                .related(walk.place(first.span), "the first one"),
        ),
        [] | [_] => {}
    }
    Some(NotifierSpec {
        name: name.to_owned(),
        channel: channel?,
        group_wait: group_wait?,
        group_interval: group_interval?,
        digest: digest.map_or(Some(None), |digest| digest.map(Some))?,
    })
}

/// Reads all channels that are written, so that all their mistakes are told; there should be one.
fn channel(section: &Section<'_>) -> Option<Channel> {
    let walk = section.walk;
    let all = [
        section.get("email").map(|node| email::read(walk, node).map(Channel::Email)),
        section.get("webhook").map(|node| webhook(walk, node).map(Channel::Webhook)),
        section.get("slack").map(|node| channel::chat(walk, node).map(Channel::Slack)),
        section.get("teams").map(|node| channel::chat(walk, node).map(Channel::Teams)),
        section.entry("log").map(|entry| channel::log(walk, entry).map(|()| Channel::Log)),
    ];
    all.into_iter().flatten().next().flatten()
}

fn up_to(section: &Section<'_>, key: &'static str, otherwise: Duration, longest: Duration) -> Option<Duration> {
    let Some(node) = section.get(key) else { return Some(otherwise) };
    let walk = section.walk;
    let given = walk.duration(node)?;
    if given <= longest {
        return Some(given);
    }
    walk.tell(
        walk.problem("out-of-range", node.span, format!("expected a duration from 0s to {}", spell(longest)))
            .help(format!("such as `{key}: {}`", spell(otherwise))),
    );
    None
}

fn digest(walk: &Walk<'_>, node: &Node) -> Option<DigestSchedule> {
    let section = walk.section(node, &DIGEST)?;
    let cron = section.need("cron", "such as `cron: \"0 8 * * mon\"`").and_then(|node| cron(walk, node));
    let zone = section
        .need("timezone", "such as `timezone: Europe/Berlin`, or `timezone: UTC`")
        .and_then(|node| timezone(walk, node));
    section.done();
    Some(DigestSchedule { cron: cron?, timezone: zone? })
}
