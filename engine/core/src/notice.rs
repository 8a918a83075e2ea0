//! What people should hear of: derived from what happened, or from how things stand.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
pub use keywheel_policies::NoticeKind;
use serde::{Deserialize, Serialize};

use crate::{After, Event, Progress, Rotation, RotationId, Shape, State, Step};

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
/// The same where applications may be refused meanwhile.
const STILL_IN_PLACE: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

/// What should be told of a rotation that has not ended. `seen_since`: from when whoever asks has seen it as it stands, since a
/// program that has just started finds much that it only has to take up. What waits for a person is told again each day (UTC), so
/// that many are told at once.
pub fn of_open(rotation: &Rotation, now: Timestamp, seen_since: Timestamp) -> Option<Notice> {
    let stood = rotation.updated_at.max(seen_since);
    let still = since(stood, now);
    let (subject, seq) = (Subject::of(rotation), rotation.seq);
    let step = rotation.state.step();
    let id = |count: u64| format!("{}/{seq}/{count}", subject.rotation);
    match &rotation.state.progress {
        Progress::Parked { reason, .. } => {
            let parked = since(rotation.updated_at, now);
            // Not so soon after it was told as it happened.
            (parked >= DAY / 2 && date(rotation.updated_at) != date(now)).then(|| {
                let message = format!("still waits for a person, since {:.0}: {reason}", rotation.updated_at);
                let id = format!("{}/{seq}/{}", subject.rotation, date(now));
                subject.notice(id, NoticeKind::Parked, now, step, message)
            })
        }
        Progress::Ready { hold, .. } => {
            // What waits for a time that is yet to come stands still for a reason that is no trouble.
            let free = hold.map_or(stood, |hold| hold.until.max(stood));
            let count = doubled(since(free, now), STILL)?;
            let message = format!(
                "could have gone on since {free:.0} and was not taken up: no policy names it, its policy changed or rests, or \
                 limits are too low"
            );
            Some(subject.notice(id(count), NoticeKind::Failed, now, step, message))
        }
        Progress::Attempting { .. } => {
            let refused = rotation.fixed.shape == Shape::InPlace && matches!(step, Some(Step::Apply | Step::Restore));
            let count = doubled(still, if refused { STILL_IN_PLACE } else { STILL })?;
            let readers = if refused { "; applications may be refused meanwhile" } else { "" };
            let began = rotation.updated_at;
            let message = format!("in doubt since {began:.0}: nobody could tell whether the step happened{readers}");
            Some(subject.notice(id(count), NoticeKind::Failed, now, step, message))
        }
        Progress::Done | Progress::RolledBack => None,
    }
}

/// What should be told of a secret whose version became `CURRENT` then, where its policy has a `max_age`: once each day (UTC).
pub fn of_age(
    (secret, policy, version): (&str, &str, &str),
    current_since: Timestamp,
    max_age: Duration,
    now: Timestamp,
) -> Option<Notice> {
    let over = since(current_since, now).checked_sub(max_age).filter(|over| !over.is_zero())?;
    let days = over.as_secs() / DAY.as_secs();
    let how_long = match days {
        0 => "now".to_owned(),
        1 => "for a day".to_owned(),
        days => format!("for {days} days"),
    };
    Some(Notice {
        id: format!("overdue/{secret}/{version}/{}", date(now)),
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
    let id = format!("drift/{secret}/{version}/{}", date(now));
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
        let id = format!("heartbeat/{secret}/{version}/{}/{doubled}", date(since));
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

/// How often `unit` has passed, as 1, 2, 4, 8 …: the largest that is over.
fn doubled(still: Duration, unit: Duration) -> Option<u64> {
    let count = still.as_secs() / unit.as_secs();
    (count > 0).then(|| 1 << count.ilog2())
}

fn since(then: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(then)).unwrap_or_default()
}

fn date(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}
