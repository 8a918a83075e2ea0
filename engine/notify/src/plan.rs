//! What a notifier does next. Pure.

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_state::{Delivery, Sending};

/// A message that is not taken is tried again for so long: as mail servers do (RFC 5321, 4.5.4.1: at least 4 to 5 days).
const GIVE_UP: Duration = Duration::from_secs(5 * 86_400);
/// The pause after a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// What is behind a notifier's `done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Nothing that it is told of, up to this number.
    Nothing { up_to: u64 },
    /// Something, of which the first happened then.
    Something { up_to: u64, first: Timestamp },
}

/// When a message is due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// What happens within `wait` of the first becomes one message, and messages are `interval` apart.
    Grouped { wait: Duration, interval: Duration },
    /// Now, whatever was before.
    AtOnce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing before this instant; `None`: nothing until something is told.
    Wait(Option<Timestamp>),
    /// Begin a message of all up to this number.
    Begin { up_to: u64 },
    /// Hand over the message that was begun.
    Send,
    /// Stop trying.
    GiveUp,
}

pub(crate) fn next(delivery: &Delivery, waiting: Waiting, when: When, now: Timestamp) -> Next {
    if let Some(sending) = &delivery.sending {
        return if over(sending, now) {
            Next::GiveUp
        } else if sending.next <= now || matches!(when, When::AtOnce) {
            Next::Send
        } else {
            // A clock that was set back must not silence it for as long.
            Next::Wait(Some(sending.next.min(later(now, LONGEST_PAUSE))))
        };
    }
    let Waiting::Something { up_to, first } = waiting else { return Next::Wait(None) };
    let due = match when {
        When::AtOnce => now,
        When::Grouped { wait, interval } => {
            let gathered = later(first.min(now), wait);
            delivery.sent_at.map_or(gathered, |sent| later(sent.min(now), interval).max(gathered))
        }
    };
    if due <= now { Next::Begin { up_to } } else { Next::Wait(Some(due)) }
}

fn over(sending: &Sending, now: Timestamp) -> bool {
    sending.tries > 0 && later(sending.since, GIVE_UP) <= now
}

/// The delivery with a message begun.
pub(crate) fn begun(delivery: &Delivery, up_to: u64, now: Timestamp) -> Delivery {
    let sending = Sending { up_to, since: now, tries: 0, next: now, trouble: None };
    Delivery { sending: Some(sending), ..delivery.clone() }
}

/// The delivery after the message was taken.
pub(crate) fn taken(delivery: &Delivery, now: Timestamp) -> Delivery {
    Delivery { sent_at: Some(now), ..ended(delivery) }
}

/// The delivery after the message was given up.
pub(crate) fn given_up(delivery: &Delivery) -> Delivery {
    Delivery { given_up: delivery.given_up + 1, ..ended(delivery) }
}

fn ended(delivery: &Delivery) -> Delivery {
    let done = delivery.sending.as_ref().map_or(delivery.done, |sending| sending.up_to);
    Delivery { done, sending: None, ..delivery.clone() }
}

/// The delivery after a try that failed.
pub(crate) fn failed(delivery: &Delivery, trouble: String, retry_after: Option<Duration>, now: Timestamp) -> Delivery {
    let sending = delivery.sending.clone().map(|sending| {
        let doubled = FIRST_PAUSE.saturating_mul(1 << sending.tries.min(16)).min(LONGEST_PAUSE);
        // What asks for longer than that is asked a little too early rather than forgotten.
        let pause = doubled.max(retry_after.unwrap_or_default().min(LONGEST_PAUSE));
        Sending { tries: sending.tries + 1, next: later(now, pause), trouble: Some(trouble), ..sending }
    });
    Delivery { sending, ..delivery.clone() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GROUPED: When = When::Grouped { wait: Duration::from_secs(30), interval: Duration::from_secs(300) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn idle() -> Delivery {
        Delivery { notifier: "secops".to_owned(), done: 3, sending: None, sent_at: None, digested: None, given_up: 0 }
    }

    #[test]
    fn what_happens_together_is_one_message_and_messages_are_apart() {
        let something = Waiting::Something { up_to: 9, first: at(0) };
        assert_eq!(next(&idle(), Waiting::Nothing { up_to: 9 }, GROUPED, at(0)), Next::Wait(None));
        assert_eq!(next(&idle(), something, GROUPED, at(29)), Next::Wait(Some(at(30))));
        assert_eq!(next(&idle(), something, GROUPED, at(30)), Next::Begin { up_to: 9 });
        let sent = Delivery { sent_at: Some(at(-10)), ..idle() };
        assert_eq!(next(&sent, something, GROUPED, at(60)), Next::Wait(Some(at(290))));
        assert_eq!(next(&sent, something, GROUPED, at(290)), Next::Begin { up_to: 9 });
    }

    #[test]
    fn a_clock_that_was_ahead_once_does_not_silence_it() {
        let sent = Delivery { sent_at: Some(at(1_000_000)), ..idle() };
        let something = Waiting::Something { up_to: 9, first: at(900_000) };
        assert_eq!(next(&sent, something, GROUPED, at(0)), Next::Wait(Some(at(300))));
        let mut trying = failed(&begun(&idle(), 9, at(1_000_000)), String::new(), None, at(1_000_000));
        assert_eq!(next(&trying, something, GROUPED, at(0)), Next::Wait(Some(at(900))));
        trying.sending.as_mut().unwrap().next = at(0);
        assert_eq!(next(&trying, something, GROUPED, at(0)), Next::Send);
    }

    #[test]
    fn a_message_that_was_begun_is_that_message_until_it_is_taken_or_given_up() {
        let begun = begun(&idle(), 9, at(0));
        let more = Waiting::Something { up_to: 12, first: at(0) };
        assert_eq!(next(&begun, more, GROUPED, at(0)), Next::Send);
        // Also years later, if it was never tried: a machine that was off sends what it had begun.
        assert_eq!(next(&begun, more, GROUPED, at(99_999_999)), Next::Send);
        let mut delivery = begun;
        let (mut now, mut pauses) = (at(0), Vec::new());
        while next(&delivery, more, GROUPED, now) == Next::Send {
            delivery = failed(&delivery, "451".to_owned(), None, now);
            let Next::Wait(Some(then)) = next(&delivery, more, GROUPED, now) else { break };
            pauses.push(then.duration_since(now).as_secs());
            now = then;
        }
        assert_eq!(pauses[..7], [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(next(&delivery, more, GROUPED, now), Next::GiveUp);
        assert!((5 * 86_400..5 * 86_400 + 900).contains(&now.duration_since(at(0)).as_secs()));
        let over = given_up(&delivery);
        assert_eq!((over.done, over.sending.is_none(), over.sent_at, over.given_up), (9, true, None, 1));
        let taken = taken(&delivery, now);
        assert_eq!((taken.done, taken.sending.is_none(), taken.sent_at, taken.given_up), (9, true, Some(now), 0));
        let paused = failed(&super::begun(&idle(), 9, at(0)), String::new(), None, at(0));
        assert_eq!(next(&paused, more, When::AtOnce, at(1)), Next::Send, "a person need not wait");
        let asked = failed(&super::begun(&idle(), 9, at(0)), String::new(), Some(Duration::from_secs(120)), at(0));
        assert_eq!(asked.sending.unwrap().next, at(120));
    }
}
