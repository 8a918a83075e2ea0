//! Heartbeats: when the target is asked about `CURRENT`, and what follows from what it says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keywheel_policies::{Heartbeat, OnDrift, Schedule};

use crate::decide::later;
use crate::notice::{of_drift, of_silence};
use crate::{Notice, schedule};

/// After a no it is asked once more, this much later, before it is believed: somebody may be about to put another value.
pub const ONCE_MORE: Duration = Duration::from_secs(10);
/// A drift that lasts is asked about this often at least, whatever the policy says, since it is told each day.
const DAY: Duration = Duration::from_secs(86_400);

/// What a target said of `CURRENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Accepted,
    /// By all of the target, or by parts of it.
    Refused {
        reason: String,
    },
    /// An error is not an answer.
    Unknown {
        why: String,
    },
}

/// Whose heartbeat it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub secret: &'a str,
    pub policy: &'a str,
    /// Which is `CURRENT`.
    pub version: &'a str,
    pub heartbeat: Heartbeat,
    pub schedule: &'a Schedule,
}

/// What is remembered of one secret between its heartbeats. It goes with the process, and nothing is lost with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Of which version the rest is said.
    version: String,
    /// How often in a row it was refused, answers that were none left out.
    refused: u32,
    /// How often in a row there was no answer, and since when.
    silent: Option<(u32, Timestamp)>,
    /// What was told last.
    told: Option<String>,
}

/// What follows a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follows {
    /// When the next one is due.
    pub next: Timestamp,
    /// What people should hear, unless they have.
    pub notice: Option<Notice>,
    /// A rotation is to be begun.
    pub rotate: bool,
}

/// When the first heartbeat after `start` is due. Each secret has a moment of its own within `every`, always the same one, so
/// that many are spread, and none is put off for ever by a program that is often started again.
pub fn first(secret: &str, every: Duration, start: Timestamp) -> Timestamp {
    let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
    let period = every.as_millis().max(1);
    let moment = schedule::share(secret, every).as_millis();
    let ahead = (moment - i128::from(start.as_millisecond())).rem_euclid(period);
    later(start, Duration::from_millis(u64::try_from(ahead).unwrap_or(u64::MAX)))
}

impl Pulse {
    /// Takes in what was heard at `now`.
    pub fn hear(&mut self, subject: Subject<'_>, heard: &Heard, now: Timestamp) -> Follows {
        if self.version != subject.version {
            *self = Pulse { version: subject.version.to_owned(), ..Pulse::default() };
        }
        let of = (subject.secret, subject.policy, subject.version);
        let every = subject.heartbeat.every;
        let mut follows = Follows { next: later(now, every), notice: None, rotate: false };
        match heard {
            Heard::Accepted => (self.refused, self.silent) = (0, None),
            Heard::Refused { reason } => {
                (self.refused, self.silent) = (self.refused.saturating_add(1), None);
                if self.refused == 1 {
                    follows.next = later(now, ONCE_MORE);
                } else {
                    follows.notice = Some(of_drift(of, reason, now));
                    follows.next = later(now, every.min(DAY));
                    follows = follows.rotating(subject, now);
                }
            }
            Heard::Unknown { why } => {
                let (count, since) = self.silent.map_or((1, now), |(count, since)| (count.saturating_add(1), since));
                self.silent = Some((count, since));
                follows.notice = of_silence(of, count, since, why, now);
            }
        }
        follows.notice = follows.notice.filter(|notice| self.told.as_ref() != Some(&notice.id));
        follows
    }

    /// People will hear of it.
    pub fn told(&mut self, notice: &Notice) {
        self.told = Some(notice.id.clone());
    }
}

impl Follows {
    /// A rotation is begun when the schedule is open, and only on a no that was heard then.
    fn rotating(self, subject: Subject<'_>, now: Timestamp) -> Self {
        match subject.heartbeat.on_drift {
            OnDrift::Alert => self,
            OnDrift::Rotate => match schedule::next_open(subject.schedule, now) {
                Some(open) if open > now => Follows { next: self.next.min(open), ..self },
                Some(_) => Follows { rotate: true, ..self },
                None => self,
            },
        }
    }
}
