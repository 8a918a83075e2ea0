//! Decisions: what follows a failure, and what a look at the world says of an attempt in doubt.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{After, Hold, Retry, Shape, State, Step, Why};

/// How a policy meets failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tries of one step, and candidates of one rotation; at least 1.
    pub attempts: u32,
    /// The shortest and the longest pause between tries.
    pub backoff: (Duration, Duration),
    /// Park instead of rolling back.
    pub park: bool,
}

/// What follows a certain failure of `step`.
///
/// Before the point of no return tries run out, and the rotation rolls back (or parks, where the policy says so). After it,
/// and on the way back, there is only one direction: passing trouble is tried again for ever at the longest pause, so that
/// a rotation ends by itself once faults stop; trouble that only a person can mend parks.
///
/// `roll` is a random number in `0.0..1.0` for the jitter.
pub fn after_failure(step: Step, state: &State, retry: Retry, limits: &Limits, now: Timestamp, roll: f64) -> After {
    let pause = backoff(state.tries, limits.backoff, roll);
    let hold = |at_least: Duration| Some(Hold { until: later(now, pause.max(at_least)), why: Why::Backoff });
    let one_way = !step.may_roll_back();
    match retry {
        // A candidate that the target may have seen is not forgotten: it is rolled back.
        Retry::NewCandidate if step.may_renew_candidate() && !state.touched && state.candidate < limits.attempts => {
            After::NewCandidate { hold: None }
        }
        Retry::Now if one_way || state.tries < limits.attempts => After::Again { hold: hold(Duration::ZERO) },
        Retry::After(d) if one_way || state.tries < limits.attempts => After::Again { hold: hold(d) },
        Retry::Now | Retry::After(_) | Retry::NewCandidate | Retry::Never => {
            if one_way || limits.park {
                After::Park
            } else {
                After::RollBack
            }
        }
    }
}

/// The pause after the given number of tries: doubles from the shortest to the longest, of which the upper half is drawn by
/// `roll` (`0.0..1.0`), so that many failures at once do not return at once.
pub fn backoff(tries: u32, (min, max): (Duration, Duration), roll: f64) -> Duration {
    let doubled = min.saturating_mul(1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let full = doubled.min(max);
    full / 2 + (full / 2).mul_f64(roll.clamp(0.0, 1.0))
}

/// An instant and a pause, or the end of time.
pub fn later(now: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(Timestamp::MAX)
}

/// Whom to ask about a step in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Nobody: the step changes nothing that outlives the process, so it is simply taken again.
    Nobody,
    /// The secret store: which versions does it hold, and where are the labels?
    Store,
    /// The target: does it accept the candidate, then current?
    Target,
}

/// Whom to ask about `step`.
pub const fn question(step: Step) -> Question {
    match step {
        Step::Generate | Step::Verify => Question::Nobody,
        Step::Stage | Step::Promote | Step::Revoke | Step::Discard => Question::Store,
        Step::Apply | Step::Restore => Question::Target,
    }
}

/// What the target says of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    Yes,
    No,
    /// Some replicas do, others do not.
    Partly,
    Unknown,
}

/// What looking showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Nobody was asked.
    None,
    /// The secret store's answer.
    Store {
        /// The candidate's version is held, under whatever label.
        candidate_held: bool,
        /// `CURRENT` is on the candidate's version.
        candidate_current: bool,
        /// The version that was `CURRENT` at the start is held.
        previous_held: bool,
    },
    /// The target's answer. `current` is `None` where there is no such credential or the shape does not ask.
    Target { candidate: Accepts, current: Option<Accepts> },
}

/// What an attempt in doubt turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its effect is there.
    Done,
    /// Its effect is not there, or not whole, and taking the step again is safe.
    NotDone,
    /// Its effect is not there, and what it needed died with the process: another candidate.
    Lost,
    /// Still unknown: ask again later.
    Unknown,
}

/// Reads the evidence for a step in doubt.
pub const fn settle(step: Step, shape: Shape, evidence: Evidence) -> Verdict {
    match (step, evidence) {
        (Step::Generate | Step::Verify, Evidence::None) => Verdict::NotDone,
        (Step::Stage, Evidence::Store { candidate_held, .. }) => {
            if candidate_held {
                Verdict::Done
            } else {
                Verdict::Lost
            }
        }
        (Step::Promote, Evidence::Store { candidate_current, .. }) => {
            if candidate_current {
                Verdict::Done
            } else {
                Verdict::NotDone
            }
        }
        // Before these end, what a provider made for nobody is swept away, of which the store says nothing. Taking them again
        // is safe.
        (Step::Revoke | Step::Discard, Evidence::Store { .. }) if matches!(shape, Shape::Overlapping) => {
            Verdict::NotDone
        }
        // The store lets go of the previous version only after the target was seen to refuse it.
        // And only for its own successor: otherwise a person has moved the labels meanwhile.
        (Step::Revoke, Evidence::Store { previous_held, candidate_current, .. }) => {
            if previous_held || !candidate_current { Verdict::NotDone } else { Verdict::Done }
        }
        (Step::Discard, Evidence::Store { candidate_held, .. }) => {
            if candidate_held {
                Verdict::NotDone
            } else {
                Verdict::Done
            }
        }
        (Step::Apply, Evidence::Target { candidate, .. }) => match candidate {
            Accepts::Yes => Verdict::Done,
            Accepts::No | Accepts::Partly => Verdict::NotDone,
            Accepts::Unknown => Verdict::Unknown,
        },
        (Step::Restore, Evidence::Target { candidate, current }) => match (candidate, current, shape) {
            (Accepts::Yes | Accepts::Partly, _, _) => Verdict::NotDone,
            (Accepts::No, Some(Accepts::Yes) | None, _) => Verdict::Done,
            (Accepts::No, Some(Accepts::No | Accepts::Partly), Shape::InPlace) => Verdict::NotDone,
            // Another account: restoring does not touch it.
            (Accepts::No, Some(Accepts::No | Accepts::Partly), Shape::Alternating | Shape::Overlapping) => {
                Verdict::Done
            }
            (Accepts::Unknown, _, _) | (_, Some(Accepts::Unknown), _) => Verdict::Unknown,
        },
        // The question was not the step's own: no conclusion.
        (_, _) => Verdict::Unknown,
    }
}
