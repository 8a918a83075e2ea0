//! What was rotated, what is under way, what is due and what is late: some lines for people.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use keywheel_core::{Progress, Rotation};
use keywheel_policies::{Policy, Resting};
use keywheel_state::History;

use crate::telling::Aging;
use crate::worker::{Live, due_after};
use crate::{Engine, RunError};

/// Of more there are numbers only.
const NAMES: usize = 20;
/// So many rotations are looked back at.
const REMEMBERED: usize = 100_000;

impl Engine {
    /// A digest of these policies from `since` to `until`, and of what is due within as long after it.
    ///
    /// # Errors
    /// The stores'.
    pub async fn digest(
        &self,
        policies: &[Arc<Policy>],
        resting: &[Resting],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<String, RunError> {
        let listed = self.secrets.list().await?;
        let live: HashMap<&str, _> = listed.iter().map(|info| (info.name.as_str(), info)).collect();
        let history = self.state.history(&History { secret: None, limit: REMEMBERED }).await?;
        let named: BTreeSet<&str> = policies
            .iter()
            .map(|policy| policy.secret.name.as_str())
            .chain(resting.iter().map(|resting| resting.secret.as_str()))
            .collect();
        let ours: Vec<&Rotation> =
            history.iter().filter(|rotation| named.contains(rotation.fixed.secret.as_str())).collect();
        let ended = |wanted: &Progress| {
            let within = |rotation: &&&Rotation| rotation.updated_at > since && rotation.updated_at <= until;
            let like = ours.iter().filter(|rotation| rotation.state.progress == *wanted).filter(within);
            like.map(|rotation| rotation.fixed.secret.clone()).collect::<BTreeSet<_>>()
        };
        let standing = |parked: bool| {
            let open = ours.iter().filter(|rotation| !rotation.state.ended());
            let like = open.filter(|one| matches!(one.state.progress, Progress::Parked { .. }) == parked);
            like.map(|rotation| rotation.fixed.secret.clone()).collect::<BTreeSet<_>>()
        };
        let mut latest: HashMap<&str, &Rotation> = HashMap::new();
        for rotation in &ours {
            latest.entry(&rotation.fixed.secret).or_insert(rotation);
        }
        let horizon = until.checked_add(until.duration_since(since)).unwrap_or(Timestamp::MAX);
        let due = policies.iter().filter(|policy| {
            let secret = policy.secret.name.as_str();
            let info = live.get(secret).map(|info| Live::from(*info)).unwrap_or_default();
            let last = latest.get(secret).copied().cloned();
            let open = last.as_ref().is_some_and(|last| !last.state.ended());
            !open && due_after(policy, info, last.as_slice(), until).is_some_and(|due| due <= horizon)
        });
        let due = due.map(|policy| policy.secret.name.clone()).collect();
        let aging = policies.iter().filter_map(|policy| Aging::of(policy));
        let aging = aging.chain(resting.iter().filter_map(Aging::of_resting));
        let late =
            aging.filter(|one| live.get(one.secret.as_str()).is_some_and(|info| one.notice(info, until).is_some()));
        let late = late.map(|one| one.secret).collect();
        let rests = resting.iter().map(|resting| resting.secret.clone()).collect();
        let mut lines = vec![format!("From {since:.0} to {until:.0}, of {} secrets:", named.len())];
        for (what, names) in [
            ("rotated", ended(&Progress::Done)),
            ("rolled back", ended(&Progress::RolledBack)),
            ("under way", standing(false)),
            ("parked: each waits for a person", standing(true)),
            ("older than their `max_age`", late),
            ("at rest, since their rotator cannot be used", rests),
            ("due within as long from now", due),
        ] {
            lines.push(line(what, &names));
        }
        Ok(lines.join("\n"))
    }
}

fn line(what: &str, names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return format!("{:>7} {what}", 0);
    }
    let shown: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    let beside = names.len() - shown.len();
    let more = if beside > 0 { format!(", and {beside} more") } else { String::new() };
    format!("{:>7} {what}: {}{more}", names.len(), shown.join(", "))
}
