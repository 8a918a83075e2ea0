//! `heartbeat:` how often the target is asked about `CURRENT` between rotations.

use std::time::Duration;

use crate::model::{AdminSource, Heartbeat, OnDrift, Schedule, Trigger};
use crate::tree::Node;
use crate::walk::{Keys, Walk};

pub(crate) const HEARTBEAT: Keys = Keys { name: "heartbeat", keys: &["every", "on_drift"] };
pub(crate) const ON_DRIFT: [(&str, OnDrift); 2] = [("alert", OnDrift::Alert), ("rotate", OnDrift::Rotate)];
/// A word of the language that this version cannot carry out.
const LATER: &str = "reconcile";

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Reads `heartbeat:`.
pub(crate) fn read(
    walk: &Walk<'_>,
    node: &Node,
    schedule: Option<&Schedule>,
    admin: Option<&AdminSource>,
) -> Option<Heartbeat> {
    let section = walk.section(node, &HEARTBEAT)?;
    let every = section.need("every", "such as `every: 1h`").and_then(|node| every(walk, node));
    let on_drift_node = section.get("on_drift");
    let on_drift = on_drift_node.map_or(Some(OnDrift::Alert), |node| on_drift(walk, node));
    section.done();
    if let (Some(OnDrift::Rotate), Some(node)) = (on_drift, on_drift_node) {
        if schedule.is_some_and(|schedule| matches!(schedule.trigger, Trigger::Manual)) {
            let message = "`on_drift: rotate` begins a rotation, and on a manual schedule only a person does";
            walk.tell(
                walk.problem("unsupported", node.span, message)
                    .help("write `on_drift: alert`, or give the schedule `every` or `cron`"),
            );
        }
        if admin == Some(&AdminSource::Own) {
            let message = "with `admin: self` a credential that is refused cannot be used to change itself";
            walk.tell(
                walk.problem("unsupported", node.span, message)
                    .help("write `on_drift: alert`, or name an admin such as `admin: { secret: pg1/rotator }`"),
            );
        }
    }
    Some(Heartbeat { every: every?, on_drift: on_drift? })
}

fn every(walk: &Walk<'_>, node: &Node) -> Option<Duration> {
    let every = walk.duration(node)?;
    if (SHORTEST..=LONGEST).contains(&every) {
        return Some(every);
    }
    walk.tell(
        walk.problem("out-of-range", node.span, "expected a duration from 1m to 30d").help("such as `every: 1h`"),
    );
    None
}

fn on_drift(walk: &Walk<'_>, node: &Node) -> Option<OnDrift> {
    if node.kind.as_text() != Some(LATER) {
        return walk.choice(node, &ON_DRIFT);
    }
    let message = format!("`{LATER}` is a word of the language that this version cannot carry out");
    walk.tell(
        walk.problem("not-supported", node.span, message)
            .help("write `on_drift: rotate`, since a new value puts it right too; or `alert`, for a person to do it"),
    );
    None
}
