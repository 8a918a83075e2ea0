//! `revoke:` how the old credential ends, and `on_failure:` how a rotation does that cannot go on.

use std::time::Duration;

use crate::catalogue::RotatorSpec;
use crate::model::{Backoff, Exhausted, OnDeadline, OnFailure, Revoke, RevokeWhen, Strategy};
use crate::tree::Node;
use crate::walk::{Keys, Section, Walk};

pub(crate) const REVOKE: Keys = Keys {
    name: "revoke",
    keys: &["after", "when", "deadline", "on_deadline", "disable_first", "disable", "terminate_sessions"],
};
pub(crate) const ON_FAILURE: Keys = Keys { name: "on_failure", keys: &["attempts", "backoff", "then"] };
pub(crate) const REVOKE_WHEN: [(&str, RevokeWhen); 2] =
    [("always", RevokeWhen::Always), ("no-sessions", RevokeWhen::NoSessions)];
/// What stands before the duration in `unused-24h`.
const UNUSED: &str = "unused-";
pub(crate) const ON_DEADLINE: [(&str, OnDeadline); 2] = [("revoke", OnDeadline::Revoke), ("park", OnDeadline::Park)];
pub(crate) const EXHAUSTED: [(&str, Exhausted); 2] = [("roll-back", Exhausted::RollBack), ("park", Exhausted::Park)];

const HOUR: u64 = 3_600;
const DEFAULT_GRACE: Duration = Duration::from_secs(24 * HOUR);
const DEFAULT_DEADLINE: Duration = Duration::from_secs(72 * HOUR);
const LONGEST_BACKOFF: Duration = Duration::from_secs(24 * HOUR);

/// Reads `revoke:`, or takes its defaults.
pub(crate) fn revoke(top: &Section<'_>, spec: Option<&RotatorSpec>, strategy: Option<&Strategy>) -> Option<Revoke> {
    let walk = top.walk;
    let in_place = matches!(strategy, Some(Strategy::InPlace { .. }));
    let plain = Revoke {
        after: if in_place { Duration::ZERO } else { DEFAULT_GRACE },
        when: RevokeWhen::Always,
        deadline: DEFAULT_DEADLINE,
        on_deadline: OnDeadline::Revoke,
        disable_first: None,
        disable: false,
        terminate_sessions: false,
    };
    if top.entry("revoke").is_none() {
        return Some(plain);
    }
    let section = walk.section(top.get("revoke")?, &REVOKE)?;
    let when_node = section.get("when");
    let when = when_node.map_or(Some(plain.when), |node| self::when(walk, node));
    let after = section.get("after").map_or(Some(plain.after), |node| walk.duration(node));
    let deadline = section.get("deadline").map_or(Some(plain.deadline), |node| walk.duration(node));
    let on_deadline =
        section.get("on_deadline").map_or(Some(plain.on_deadline), |node| walk.choice(node, &ON_DEADLINE));
    let disable_first_node = section.get("disable_first");
    let disable_first = disable_first_node.map(|node| walk.duration(node));
    let disable = section.get("disable").map_or(Some(plain.disable), |node| walk.boolean(node));
    let terminate = section.get("terminate_sessions").map_or(Some(plain.terminate_sessions), |node| walk.boolean(node));
    if in_place {
        refuse_without_effect(
            &section,
            &["after", "when", "deadline", "on_deadline", "disable_first", "disable"],
            "in place, the old password is gone since apply",
        );
    } else if when == Some(RevokeWhen::Always) {
        refuse_without_effect(
            &section,
            &["deadline", "on_deadline"],
            "nothing holds up the revocation without `when: no-sessions` or `when: unused-24h`",
        );
    }
    if let (Some(when), Some(spec), Some(node)) = (when, spec, when_node) {
        let lacks = match when {
            RevokeWhen::NoSessions if !spec.usage => Some("who still uses a credential"),
            RevokeWhen::Unused(_) if !spec.last_used => Some("when a credential was last used"),
            RevokeWhen::Always | RevokeWhen::NoSessions | RevokeWhen::Unused(_) => None,
        };
        if let Some(what) = lacks {
            let message = format!("the rotator `{}` cannot tell {what}", spec.kind);
            walk.tell(
                walk.problem("unsupported", node.span, message).help("write `when: always`, with a longer `after`"),
            );
        }
    }
    if let (Some(spec), Some(node)) = (spec.filter(|spec| !spec.disable), disable_first_node)
        && !in_place
    {
        let message = format!("the rotator `{}` cannot refuse a credential so that it can be undone", spec.kind);
        walk.tell(walk.problem("unsupported", node.span, message).help("remove it, and write a longer `after`"));
    }
    section.done();
    Some(Revoke {
        after: after?,
        when: when?,
        deadline: deadline?,
        on_deadline: on_deadline?,
        disable_first: disable_first.map_or(Some(None), |duration| duration.map(Some))?,
        disable: disable?,
        terminate_sessions: terminate?,
    })
}

/// A word, or `unused-` and how long.
fn when(walk: &Walk<'_>, node: &Node) -> Option<RevokeWhen> {
    let crate::tree::Kind::Text(_) = &node.kind else { return walk.choice(node, &REVOKE_WHEN) };
    let text = walk.text(node)?;
    match text.strip_prefix(UNUSED) {
        Some(duration) => walk.duration_in(node.span, duration).map(RevokeWhen::Unused),
        None => walk.choice(node, &REVOKE_WHEN),
    }
}

fn refuse_without_effect(section: &Section<'_>, keys: &[&'static str], why: &str) {
    for entry in keys.iter().filter_map(|key| section.entry(key)) {
        let walk = section.walk;
        walk.tell(
            walk.problem("no-effect", entry.span, format!("`{}` has no effect here: {why}", entry.key))
                .help("remove it"),
        );
    }
}

/// Reads `on_failure:`, or takes its defaults.
pub(crate) fn on_failure(top: &Section<'_>) -> Option<OnFailure> {
    let walk = top.walk;
    let plain = OnFailure {
        attempts: 5,
        backoff: Backoff { min: Duration::from_secs(30), max: Duration::from_secs(15 * 60) },
        then: Exhausted::RollBack,
    };
    if top.entry("on_failure").is_none() {
        return Some(plain);
    }
    let section = walk.section(top.get("on_failure")?, &ON_FAILURE)?;
    let attempts = section.get("attempts").map_or(Some(plain.attempts), |node| {
        walk.integer(node, 1..=100).map(|n| u32::try_from(n).expect("within 1 and 100"))
    });
    let backoff = section.get("backoff").map_or(Some(plain.backoff), |node| backoff(walk, node));
    let then = section.get("then").map_or(Some(plain.then), |node| walk.choice(node, &EXHAUSTED));
    section.done();
    Some(OnFailure { attempts: attempts?, backoff: backoff?, then: then? })
}

/// `30s..15m`.
fn backoff(walk: &Walk<'_>, node: &Node) -> Option<Backoff> {
    const HELP: &str = "the shortest and the longest wait: `backoff: 30s..15m`";
    let text = walk.text(node)?;
    let Some((min, max)) = text.split_once("..") else {
        walk.tell(walk.problem("bad-backoff", node.span, "expected two durations").help(HELP));
        return None;
    };
    let (min, max) = (walk.duration_in(node.span, min.trim())?, walk.duration_in(node.span, max.trim())?);
    let message = match () {
        () if min.is_zero() => "the shortest wait may not be zero",
        () if min > max => "the shortest wait is longer than the longest",
        () if max > LONGEST_BACKOFF => "the longest wait may not be longer than a day",
        () => return Some(Backoff { min, max }),
    };
    walk.tell(walk.problem("bad-backoff", node.span, message).help(HELP));
    None
}
