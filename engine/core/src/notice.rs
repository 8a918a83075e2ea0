//! What people should hear of: derived from what happened, or from how things stand.

use std::time::Duration;

use jiff::Timestamp;
pub use keywheel_policies::NoticeKind;
use serde::{Deserialize, Serialize};

use crate::{After, Event, Progress, Rotation, RotationId, State, Step};

/// One thing that people should hear of. Holds references and messages, never a secret value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for the same occasion, whoever tells of it and however often: stores and receivers know repeats by it.
    pub id: String,
    pub kind: NoticeKind,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What happened, in one line; that of a digest has several.
    pub message: String,
    /// Only for the notifier of this name. `None`: for whom the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The rotation that an event belongs to, as far as a notice needs it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub rotation: RotationId,
    pub secret: &'a str,
    pub policy: &'a str,
}

impl<'a> Subject<'a> {
    fn of(rotation: &'a Rotation) -> Self {
        let fixed = &rotation.fixed;
        Subject { rotation: fixed.id, secret: &fixed.secret, policy: &fixed.policy }
    }

    fn notice(&self, id: String, kind: NoticeKind, at: Timestamp, step: Option<Step>, message: String) -> Notice {
        Notice {
            id,
            kind,
            at,
            secret: Some(self.secret.to_owned()),
            policy: Some(self.policy.to_owned()),
            rotation: Some(self.rotation),
            step,
            message,
            to: None,
        }
    }
}

/// What an event is to people, which was the rotation's event number `seq` and led from one state to another. Most are nothing.
///
/// A first failure is not told, since most are over by the next try; the second, fourth, eighth … of one step are.
pub fn of_event(
    subject: Subject<'_>,
    before: &State,
    event: &Event,
    after: &State,
    seq: u64,
    at: Timestamp,
) -> Option<Notice> {
    let (kind, message) = match (&after.progress, event) {
        (Progress::Done, _) => (NoticeKind::Succeeded, "rotated; the previous credential is refused".to_owned()),
        (Progress::RolledBack, _) => {
            let why = after.undo.as_deref().unwrap_or("ordered");
            (NoticeKind::RolledBack, format!("rolled back, and the target is as before: {why}"))
        }
        (Progress::Parked { reason, .. }, _) => (NoticeKind::Parked, reason.clone()),
        (_, Event::Failed { failure, then: After::Again { hold }, .. }) if is_told(before.tries) => {
            let next = hold.map_or_else(|| "at once".to_owned(), |hold| format!("at {:.0}", hold.until));
            let tries = before.tries;
            (NoticeKind::Failed, format!("failed {tries} times: {}; tried again {next}", failure.message))
        }
        (_, Event::Failed { failure, then: After::NewCandidate { .. }, .. }) if is_told(before.candidate) => {
            let refused = before.candidate;
            (NoticeKind::Failed, format!("{refused} candidates were refused: {}; another is made", failure.message))
        }
        _ => return None,
    };
    let id = format!("{}/{seq}", subject.rotation);
    Some(subject.notice(id, kind, at, before.step(), message))
}

/// The second, the fourth, the eighth …: ever more rarely.
fn is_told(count: u32) -> bool {
    count >= 2 && count.is_power_of_two()
}

/// A rotation that stands still is told of after this long, and again after twice, four times … as long.
const STILL: Duration = Duration::from_secs(3600);
/// A parked rotation, and a secret that is overdue, are told of again each time that this has passed.
const DAY: Duration = Duration::from_secs(86_400);

/// What should be told of a rotation that has not ended, from how long ago its journal was written last.
pub fn of_open(rotation: &Rotation, now: Timestamp) -> Option<Notice> {
    let still = since(rotation.updated_at, now);
    let (subject, seq) = (Subject::of(rotation), rotation.seq);
    let step = rotation.state.step();
    let id = |count: u64| format!("{}/{seq}/{count}", subject.rotation);
    match &rotation.state.progress {
        Progress::Parked { reason, .. } => {
            let days = still.as_secs() / DAY.as_secs();
            (days > 0).then(|| {
                let message = format!("still waits for a person, for {}: {reason}", days_of(days));
                subject.notice(id(days), NoticeKind::Parked, now, step, message)
            })
        }
        Progress::Ready { hold, .. } => {
            // What waits for a time that is yet to come stands still for a reason that is no trouble.
            let free = hold.map_or(rotation.updated_at, |hold| hold.until.max(rotation.updated_at));
            let hours = doubled(since(free, now))?;
            let message = format!(
                "has been ready for {} and is not taken up: no policy names it, its policy changed or rests, or limits are too low",
                hours_of(hours)
            );
            Some(subject.notice(id(hours), NoticeKind::Failed, now, step, message))
        }
        Progress::Attempting { .. } => {
            let hours = doubled(still)?;
            let message =
                format!("has been in doubt for {}: nobody could tell whether the step happened", hours_of(hours));
            Some(subject.notice(id(hours), NoticeKind::Failed, now, step, message))
        }
        Progress::Done | Progress::RolledBack => None,
    }
}

/// What should be told of a secret whose version became `CURRENT` then, where its policy has a `max_age`: each day once.
pub fn of_age(
    (secret, policy, version): (&str, &str, &str),
    current_since: Timestamp,
    max_age: Duration,
    now: Timestamp,
) -> Option<Notice> {
    let over = since(current_since, now).checked_sub(max_age).filter(|over| !over.is_zero())?;
    let days = over.as_secs() / DAY.as_secs();
    let how_long = if days == 0 { "now".to_owned() } else { format!("for {}", days_of(days)) };
    Some(Notice {
        id: format!("overdue/{secret}/{version}/{days}"),
        kind: NoticeKind::Overdue,
        at: now,
        secret: Some(secret.to_owned()),
        policy: Some(policy.to_owned()),
        rotation: None,
        step: None,
        message: format!("older than its `max_age` {how_long}: `CURRENT` since {current_since:.0}"),
        to: None,
    })
}

/// What should be told of a secret whose version is `CURRENT`, and is refused by the target: each day once, by UTC.
pub fn of_drift((secret, policy, version): (&str, &str, &str), reason: &str, now: Timestamp) -> Notice {
    let id = format!("drift/{secret}/{version}/{}", day(now));
    let message = format!("the target refuses `CURRENT`, which is version {version}: {reason}");
    of_heartbeat(id, NoticeKind::Drift, (secret, policy), now, message)
}

/// So many heartbeats in a row without an answer are no matter.
const SILENT: u32 = 3;

/// What should be told after so many heartbeats in a row without an answer, the first of them `since` then.
pub fn of_silence(
    (secret, policy, version): (&str, &str, &str),
    count: u32,
    since: Timestamp,
    why: &str,
    now: Timestamp,
) -> Option<Notice> {
    let doubled = 1u32 << count.checked_ilog2()?;
    (count > SILENT).then(|| {
        let id = format!("heartbeat/{secret}/{version}/{}/{doubled}", day(since));
        let message =
            format!("nobody could tell in {count} heartbeats in a row whether the target accepts `CURRENT`: {why}");
        of_heartbeat(id, NoticeKind::Failed, (secret, policy), now, message)
    })
}

fn of_heartbeat(
    id: String,
    kind: NoticeKind,
    (secret, policy): (&str, &str),
    at: Timestamp,
    message: String,
) -> Notice {
    let (secret, policy) = (Some(secret.to_owned()), Some(policy.to_owned()));
    Notice { id, kind, at, secret, policy, rotation: None, step: None, message, to: None }
}

fn day(at: Timestamp) -> String {
    at.strftime("%F").to_string()
}

/// In whole hours, 1, 2, 4, 8 …: the largest that is over.
fn doubled(still: Duration) -> Option<u64> {
    let hours = still.as_secs() / STILL.as_secs();
    (hours > 0).then(|| 1 << hours.ilog2())
}

fn since(then: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(then)).unwrap_or_default()
}

fn days_of(days: u64) -> String {
    if days == 1 { "a day".to_owned() } else { format!("{days} days") }
}

fn hours_of(hours: u64) -> String {
    if hours == 1 { "an hour".to_owned() } else { format!("{hours} hours") }
}
