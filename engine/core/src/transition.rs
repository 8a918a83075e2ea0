//! The transition table: the one place where a rotation's state changes. Live recording and recovery both go through it.

use jiff::Timestamp;

use crate::{After, Event, Progress, State, Step, Why};

/// An event that cannot happen in this state: a bug, or a journal that somebody edited. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` cannot happen to a rotation that is {state}")]
pub struct Illegal {
    pub event: String,
    pub state: String,
}

/// The state after `event`, which happened at `at`.
pub fn transition(state: &State, event: &Event, at: Timestamp) -> Result<State, Illegal> {
    let mut next = state.clone();
    match (&state.progress, event) {
        (Progress::Ready { step, .. }, Event::Began { step: begun, attempt })
            if step == begun && *attempt == state.attempts + 1 =>
        {
            next.progress = Progress::Attempting { step: *step };
            next.attempts += 1;
            next.tries += 1;
        }
        (Progress::Attempting { step }, Event::Succeeded { step: done, hold, .. }) if step == done => {
            next.tries = 0;
            next.touched |= *step == Step::Apply;
            if *step == Step::Promote {
                next.promoted_at = Some(at);
            }
            next.progress = match step.next() {
                Some(step) => Progress::Ready { step, hold: *hold },
                None if state.undo.is_some() => Progress::RolledBack,
                None => Progress::Done,
            };
        }
        (Progress::Attempting { step }, Event::Failed { step: failed, settled, failure, then }) if step == failed => {
            // Looking showed no effect, but what was sent may still be on its way to a target that cannot fence it off.
            next.touched |= *step == Step::Apply && *settled;
            match then {
                After::Again { hold } => next.progress = Progress::Ready { step: *step, hold: *hold },
                After::NewCandidate { hold } if step.may_renew_candidate() && !next.touched => {
                    next.candidate += 1;
                    next.tries = 0;
                    next.progress = Progress::Ready { step: Step::Generate, hold: *hold };
                }
                After::RollBack if step.may_roll_back() => undo(&mut next, format!("{step}: {}", failure.message)),
                After::Park => {
                    next.progress = Progress::Parked { step: *step, reason: failure.message.clone() };
                }
                After::NewCandidate { .. } | After::RollBack => return Err(illegal(state, event)),
            }
        }
        (Progress::Attempting { step }, Event::Waited { step: waited, hold }) if step == waited => {
            next.tries = state.tries.saturating_sub(1);
            if hold.why == Why::Disabled {
                next.disabled_at = state.disabled_at.or(Some(at));
            }
            if hold.why == Why::Consumed {
                next.consumed_at = state.consumed_at.or(Some(at));
            }
            next.progress = Progress::Ready { step: *step, hold: Some(*hold) };
        }
        (Progress::Parked { step, .. }, Event::Resumed { .. }) => {
            next.tries = 0;
            next.progress = Progress::Ready { step: *step, hold: None };
        }
        (Progress::Parked { step, .. } | Progress::Ready { step, .. }, Event::RollBackOrdered { by })
            if step.may_roll_back() =>
        {
            undo(&mut next, format!("ordered by {by}"));
        }
        // Whether it promoted must be known first: there is no way back from that.
        (Progress::Attempting { step }, Event::RollBackOrdered { by })
            if step.may_roll_back() && *step != Step::Promote =>
        {
            next.touched |= *step == Step::Apply;
            undo(&mut next, format!("ordered by {by}"));
        }
        (
            Progress::Ready { .. }
            | Progress::Attempting { .. }
            | Progress::Parked { .. }
            | Progress::Done
            | Progress::RolledBack,
            Event::Began { .. }
            | Event::Succeeded { .. }
            | Event::Failed { .. }
            | Event::Waited { .. }
            | Event::Resumed { .. }
            | Event::RollBackOrdered { .. },
        ) => return Err(illegal(state, event)),
    }
    Ok(next)
}

/// Turns round. Where the target certainly never saw this candidate, it need not be visited.
fn undo(state: &mut State, reason: String) {
    let step = if state.touched { Step::Restore } else { Step::Discard };
    state.progress = Progress::Ready { step, hold: None };
    state.tries = 0;
    state.undo = Some(reason);
}

fn illegal(state: &State, event: &Event) -> Illegal {
    Illegal { event: event.name().to_owned(), state: state.progress.to_string() }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Progress::Ready { step, hold: None } => write!(f, "ready to {step}"),
            Progress::Ready { step, hold: Some(hold) } => write!(f, "waiting to {step} ({})", hold.why),
            Progress::Attempting { step } => write!(f, "attempting to {step}"),
            Progress::Parked { step, .. } => write!(f, "parked at {step}"),
            Progress::Done => f.write_str("done"),
            Progress::RolledBack => f.write_str("rolled back"),
        }
    }
}

impl std::fmt::Display for crate::Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            crate::Why::Backoff => "backoff",
            crate::Why::Grace => "grace period",
            crate::Why::Consumed => "grace period, taken over by consumers",
            crate::Why::Drain => "old credential still in use",
            crate::Why::Disabled => "old credential disabled, not yet deleted",
            crate::Why::InDoubt => "a creation in doubt may still arrive",
        })
    }
}
