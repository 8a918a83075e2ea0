//! What a notifier does next. Pure.

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::decide::later;
use keywheel_state::{Delivery, Sending};

use crate::SendError;

/// A message that is not taken is tried again for so long: as mail servers do (RFC 5321, 4.5.4.1: at least 4 to 5 days) …
const GIVE_UP: Duration = Duration::from_secs(5 * 86_400);
/// … and this often at the least, since a clock may jump, and a machine may be off.
const TRIES: u32 = 100;
/// What is refused for its content is no better the next time, and others wait behind it.
const TRIES_OF_CONTENT: u32 = 4;
/// After so many tries of one message what happened meanwhile waits no longer: about an hour.
const TRIES_ALONE: u32 = 8;
/// The pause after a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// What is behind a notifier's `done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Up to this number.
    pub up_to: u64,
    /// When the first of those happened that this notifier is told of; `None`: there are none.
    pub first: Option<Timestamp>,
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
    /// Some have it, and others wait behind those who do not get it: end it.
    Leave,
}

/// An instant beyond now is of a clock that was ahead, and silences nobody.
pub(crate) fn next(delivery: &Delivery, waiting: Waiting, when: When, now: Timestamp) -> Next {
    if let Some(sending) = &delivery.sending {
        let due = match when {
            When::AtOnce => now,
            When::Grouped { .. } => sending.next,
        };
        if due > now && due <= later(now, LONGEST_PAUSE) {
            return Next::Wait(Some(due));
        }
        let more = waiting.up_to > sending.up_to && waiting.first.is_some();
        let alone = sending.tries >= TRIES_ALONE;
        return match (more, sending.has.is_empty()) {
            // Nobody has it, or has answered for long: what happened meanwhile is told with it.
            (true, true) if sending.untaken || alone => Next::Begin { up_to: waiting.up_to },
            (true, false) if alone => Next::Leave,
            (true | false, true | false) => Next::Send,
        };
    }
    let Some(first) = waiting.first else { return Next::Wait(None) };
    let due = match when {
        When::AtOnce => now,
        When::Grouped { wait, interval } => {
            let gathered = if first > now { now } else { later(first, wait) };
            let apart = delivery.sent_at.filter(|sent| *sent <= now).map(|sent| later(sent, interval));
            apart.map_or(gathered, |apart| apart.max(gathered))
        }
    };
    if due <= now { Next::Begin { up_to: waiting.up_to } } else { Next::Wait(Some(due)) }
}

/// The delivery with a message begun, or begun anew with more in it.
pub(crate) fn begun(delivery: &Delivery, up_to: u64, now: Timestamp) -> Delivery {
    let sending = match delivery.sending.clone() {
        Some(before) => Sending { up_to, untaken: false, ..before },
        None => Sending {
            up_to,
            first_up_to: up_to,
            since: now,
            tries: 0,
            refused: 0,
            untaken: false,
            has: Vec::new(),
            next: now,
            trouble: None,
        },
    };
    Delivery { sending: Some(sending), ..delivery.clone() }
}

/// The delivery after the message was taken; with a word of what was wrong all the same.
pub(crate) fn taken(delivery: &Delivery, but: Option<String>, now: Timestamp) -> Delivery {
    Delivery { sent_at: Some(now), trouble: but, ..passed(delivery) }
}

/// The delivery after it turned out that there is nothing to send.
pub(crate) fn passed(delivery: &Delivery) -> Delivery {
    let done = delivery.sending.as_ref().map_or(delivery.done, |sending| sending.up_to);
    Delivery { done, sending: None, ..delivery.clone() }
}

/// The delivery after a try that failed. A message that is given up takes nothing with it that happened since it was begun.
pub(crate) fn failed(delivery: &Delivery, error: &SendError, now: Timestamp) -> Delivery {
    let Some(sending) = &delivery.sending else { return delivery.clone() };
    let tries = sending.tries.saturating_add(1);
    let over = later(sending.since, GIVE_UP) <= now && tries >= TRIES;
    let refused = sending.refused.saturating_add(u32::from(error.of_content));
    if over || refused >= TRIES_OF_CONTENT {
        return Delivery {
            done: sending.first_up_to,
            sending: None,
            given_up: delivery.given_up + 1,
            trouble: Some(error.message.clone()),
            ..delivery.clone()
        };
    }
    let doubled = FIRST_PAUSE.saturating_mul(1 << sending.tries.min(16)).min(LONGEST_PAUSE);
    // What asks for longer than that is asked a little too early rather than forgotten.
    let pause = doubled.max(error.retry_after.unwrap_or_default().min(LONGEST_PAUSE));
    let failed = Sending {
        tries,
        refused,
        untaken: error.untaken && error.has.is_empty(),
        has: error.has.clone(),
        next: later(now, pause),
        trouble: Some(error.message.clone()),
        ..sending.clone()
    };
    Delivery { sending: Some(failed), ..delivery.clone() }
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
        Delivery {
            notifier: "secops".to_owned(),
            done: 3,
            sending: None,
            sent_at: None,
            digested: None,
            given_up: 0,
            trouble: None,
        }
    }

    fn waiting(up_to: u64, first: i64) -> Waiting {
        Waiting { up_to, first: Some(at(first)) }
    }

    fn lost() -> SendError {
        SendError::unknown("no answer")
    }

    /// When it acts next, if nothing else happens, as a notifier would look: at the instant that it was told.
    fn acts(delivery: &Delivery, waiting: Waiting, mut now: Timestamp) -> Timestamp {
        for _ in 0..10 {
            match next(delivery, waiting, GROUPED, now) {
                Next::Wait(Some(until)) => now = until,
                Next::Wait(None) => panic!("it never acts"),
                Next::Begin { .. } | Next::Send | Next::Leave => return now,
            }
        }
        panic!("it waits again and again");
    }

    #[test]
    fn what_happens_together_is_one_message_and_messages_are_apart() {
        assert_eq!(next(&idle(), Waiting { up_to: 9, first: None }, GROUPED, at(0)), Next::Wait(None));
        assert_eq!(next(&idle(), waiting(9, 0), GROUPED, at(29)), Next::Wait(Some(at(30))));
        assert_eq!(next(&idle(), waiting(9, 0), GROUPED, at(30)), Next::Begin { up_to: 9 });
        let sent = Delivery { sent_at: Some(at(-10)), ..idle() };
        assert_eq!(next(&sent, waiting(9, 0), GROUPED, at(60)), Next::Wait(Some(at(290))));
        assert_eq!(next(&sent, waiting(9, 0), GROUPED, at(290)), Next::Begin { up_to: 9 });
    }

    #[test]
    fn a_clock_that_was_ahead_once_silences_nobody() {
        let year = 365 * 86_400;
        let sent = Delivery { sent_at: Some(at(year)), ..idle() };
        assert_eq!(acts(&sent, waiting(9, 0), at(0)), at(30));
        assert_eq!(acts(&idle(), waiting(9, year), at(0)), at(0));
        let trying = failed(&begun(&idle(), 9, at(year)), &lost(), at(year));
        assert_eq!(acts(&trying, waiting(9, 0), at(0)), at(0));
    }

    #[test]
    fn a_message_that_somebody_may_have_is_that_message_until_it_is_taken() {
        let begun = begun(&idle(), 9, at(0));
        assert_eq!(next(&begun, waiting(12, 0), GROUPED, at(0)), Next::Send);
        let mut delivery = begun.clone();
        let (mut now, mut pauses) = (at(0), Vec::new());
        while delivery.sending.is_some() {
            assert_eq!(next(&delivery, waiting(9, 0), GROUPED, now), Next::Send);
            delivery = failed(&delivery, &lost(), now);
            if let Next::Wait(Some(then)) = next(&delivery, waiting(9, 0), GROUPED, now) {
                pauses.push(then.duration_since(now).as_secs());
                now = then;
            }
        }
        assert_eq!(pauses[..7], [30, 60, 120, 240, 480, 900, 900]);
        assert!((5 * 86_400 - 900..5 * 86_400 + 900).contains(&now.duration_since(at(0)).as_secs()));
        assert_eq!((delivery.done, delivery.sent_at, delivery.given_up), (9, None, 1));
        let taken = taken(&begun, None, now);
        assert_eq!((taken.done, taken.sending.is_none(), taken.sent_at, taken.given_up), (9, true, Some(now), 0));
        let asked = failed(&begun, &SendError { retry_after: Some(Duration::from_secs(120)), ..lost() }, at(0));
        assert_eq!(asked.sending.unwrap().next, at(120));
        let paused = failed(&begun, &lost(), at(0));
        assert_eq!(next(&paused, waiting(12, 0), When::AtOnce, at(1)), Next::Send, "a person need not wait");
    }

    #[test]
    fn nothing_is_given_up_for_a_clock_or_a_machine_that_was_off() {
        let mut delivery = failed(&begun(&idle(), 9, at(0)), &lost(), at(0));
        for later in 1..50 {
            delivery = failed(&delivery, &lost(), at(1_000_000 * later));
            assert!(delivery.sending.is_some(), "{later} tries");
        }
    }

    #[test]
    fn what_nobody_has_is_told_with_what_follows() {
        let refused = SendError::untaken("550 no such mailbox");
        let failing = failed(&begun(&idle(), 9, at(0)), &refused, at(0));
        assert_eq!(next(&failing, waiting(12, 0), GROUPED, at(29)), Next::Wait(Some(at(30))));
        assert_eq!(next(&failing, waiting(12, 0), GROUPED, at(30)), Next::Begin { up_to: 12 });
        assert_eq!(next(&failing, waiting(9, 0), GROUPED, at(30)), Next::Send);
        let again = begun(&failing, 12, at(30));
        assert_eq!(next(&again, waiting(15, 0), GROUPED, at(30)), Next::Send, "as it was begun");
        let sending = again.sending.as_ref().unwrap();
        assert_eq!((sending.up_to, sending.first_up_to, sending.tries, sending.since), (12, 9, 1, at(0)));
        assert_eq!(passed(&again).done, 12);
        // Given up in the end, it takes only those with it that it was begun with.
        let old = Sending { tries: 500, ..again.sending.clone().unwrap() };
        let over = failed(&Delivery { sending: Some(old), ..again }, &refused, at(6 * 86_400));
        assert_eq!((over.done, over.sending.is_none(), over.given_up), (9, true, 1));
    }

    #[test]
    fn what_is_refused_for_its_content_makes_way_soon() {
        let refused = SendError { of_content: true, ..SendError::untaken("552 too long") };
        let mut delivery = begun(&idle(), 9, at(0));
        let mut tries = 0;
        while delivery.sending.is_some() {
            delivery = failed(&delivery, &refused, at(0));
            tries += 1;
        }
        assert_eq!((tries, delivery.done, delivery.given_up), (4, 9, 1));
    }

    #[test]
    fn nobody_waits_for_long_behind_what_some_do_not_take() {
        let has = vec!["one@example.com".to_owned()];
        let partly = SendError { has, ..SendError::untaken("two@example.com: 452 full") };
        for (error, wanted) in [(partly, Next::Leave), (lost(), Next::Begin { up_to: 12 })] {
            let mut delivery = begun(&idle(), 9, at(0));
            let mut now = at(0);
            for tries in 1..=8 {
                delivery = failed(&delivery, &error, now);
                now = delivery.sending.as_ref().unwrap().next;
                let next = next(&delivery, waiting(12, 0), GROUPED, now);
                assert_eq!(next, if tries < 8 { Next::Send } else { wanted }, "{tries}");
                assert_eq!(super::next(&delivery, waiting(9, 0), GROUPED, now), Next::Send, "nobody waits");
            }
            assert!((3_000..6_000).contains(&now.duration_since(at(0)).as_secs()), "about an hour");
        }
        // What failed otherwise before does not make a first refusal the last.
        let away =
            (0..40).fold(begun(&idle(), 9, at(0)), |delivery, _| failed(&delivery, &SendError::untaken(""), at(0)));
        let refused = SendError { of_content: true, ..SendError::untaken("552") };
        assert!(failed(&away, &refused, at(0)).sending.is_some());
    }

    #[test]
    fn who_has_it_is_written_down() {
        let has = vec!["one@example.com".to_owned()];
        let partly = SendError { has: has.clone(), ..SendError::untaken("two@example.com: 451 later") };
        let failing = failed(&begun(&idle(), 9, at(0)), &partly, at(0));
        assert_eq!(failing.sending.as_ref().unwrap().has, has);
        assert_eq!(next(&failing, waiting(12, 0), GROUPED, at(30)), Next::Send, "nobody joins what one has");
    }
}
