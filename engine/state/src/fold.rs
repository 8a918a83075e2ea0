//! The cached row is the fold of its journal. What every store shares: checking and folding events, and the clock's grain.

use jiff::Timestamp;
use keywheel_core::notice::{Subject, of_event};
use keywheel_core::{Event, Illegal, Notice, Recorded, Rotation, State, transition};

use crate::StateError;

/// The state that a whole journal leads to. Equal to the rotation's cached row, or one of them was edited.
///
/// # Errors
/// `Corrupt` for a journal with holes, `Illegal` for one with an event that could not happen.
pub fn replay(journal: &[Recorded]) -> Result<State, StateError> {
    let mut state = State::initial();
    for (recorded, expected) in journal.iter().zip(1u64..) {
        if recorded.seq != expected {
            return Err(StateError::Corrupt(format!("event {expected} is missing; event {} follows", recorded.seq)));
        }
        state = transition(&state, &recorded.event, recorded.at)?;
    }
    Ok(state)
}

/// The state after `events`, which all happen at `now`, to a rotation that must have exactly `after` events so far.
pub(crate) fn advance(rotation: &Rotation, after: u64, events: &[Event], now: Timestamp) -> Result<State, StateError> {
    if rotation.seq != after {
        return Err(StateError::Moved { rotation: rotation.fixed.id, expected: after, found: rotation.seq });
    }
    Ok(fold(&rotation.state, events, now)?)
}

/// The state that `events`, which all happen at `now`, lead to from another.
pub(crate) fn fold(from: &State, events: &[Event], now: Timestamp) -> Result<State, Illegal> {
    let mut state = from.clone();
    for event in events {
        state = transition(&state, event, now)?;
    }
    Ok(state)
}

/// What people should hear of events that follow each other, the first of which is the rotation's number `after` plus one.
pub(crate) fn heard(
    subject: Subject<'_>,
    from: &State,
    after: u64,
    events: &[Event],
    now: Timestamp,
) -> Result<Vec<Notice>, Illegal> {
    let (mut state, mut notices) = (from.clone(), Vec::new());
    for (event, seq) in events.iter().zip(after + 1..) {
        let next = transition(&state, event, now)?;
        notices.extend(of_event(subject, &state, event, &next, seq, now));
        state = next;
    }
    Ok(notices)
}

/// Stores keep whole microseconds. An instant is cut to them before anything is derived from it, so that a row equals the
/// replay of its journal.
pub(crate) fn whole_micros(at: Timestamp) -> Timestamp {
    from_micros(at.as_microsecond()).expect("each timestamp's microseconds are a timestamp")
}

/// The instant so many microseconds after 1970 began. `Timestamp::from_microsecond` does not reach into the last second.
pub(crate) fn from_micros(micros: i64) -> Result<Timestamp, jiff::Error> {
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).expect("less than a second of nanoseconds fits");
    Timestamp::new(micros / 1_000_000, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_cut_to_microseconds_up_to_both_ends_of_time() {
        for at in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            let cut = whole_micros(at);
            assert_eq!(cut.as_microsecond(), at.as_microsecond());
            assert_eq!(whole_micros(cut), cut);
            assert_eq!(cut.subsec_nanosecond() % 1_000, 0);
        }
        from_micros(i64::MAX).expect_err("beyond the end of time");
    }
}
