//! Decisions as tables: what follows a failure, and what evidence means.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::decide::{Accepts, Evidence, Limits, Question, Verdict, after_failure, backoff, question, settle};
use keywheel_core::{After, Retry, Shape, State, Step};
use proptest::prelude::*;

fn limits(park: bool) -> Limits {
    Limits { attempts: 3, backoff: (Duration::from_secs(30), Duration::from_secs(900)), park }
}

fn state(tries: u32, candidate: u32) -> State {
    State { tries, candidate, ..State::initial() }
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn word(after: &After) -> &'static str {
    match after {
        After::Again { .. } => "again",
        After::NewCandidate { .. } => "new candidate",
        After::RollBack => "roll back",
        After::Park => "park",
    }
}

#[test]
fn what_follows_a_failure() {
    use Retry::{After as Later, Never, NewCandidate, Now};
    let table = [
        // step, retry, tries, candidate, park, what follows
        (Step::Apply, Now, 1, 1, false, "again"),
        (Step::Apply, Now, 3, 1, false, "roll back"),
        (Step::Apply, Now, 3, 1, true, "park"),
        (Step::Apply, Never, 1, 1, false, "roll back"),
        (Step::Apply, NewCandidate, 1, 1, false, "new candidate"),
        (Step::Apply, NewCandidate, 1, 3, false, "roll back"),
        (Step::Verify, NewCandidate, 1, 1, false, "roll back"),
        (Step::Verify, Later(Duration::from_secs(5)), 2, 1, false, "again"),
        (Step::Promote, Never, 1, 1, false, "roll back"),
        (Step::Revoke, Now, 1000, 1, false, "again"),
        (Step::Revoke, Never, 1, 1, false, "park"),
        (Step::Revoke, NewCandidate, 1, 1, false, "park"),
        (Step::Restore, Now, 1000, 1, true, "again"),
        (Step::Restore, Never, 1, 1, false, "park"),
        (Step::Discard, Later(Duration::ZERO), 99, 1, false, "again"),
    ];
    for (step, retry, tries, candidate, park, expected) in table {
        let after = after_failure(step, &state(tries, candidate), retry, &limits(park), now(), 0.5);
        assert_eq!(word(&after), expected, "{step} {retry:?} tries {tries} candidate {candidate} park {park}");
    }
}

#[test]
fn a_candidate_that_the_target_may_have_seen_is_not_forgotten() {
    let seen = State { touched: true, ..state(1, 1) };
    let after = after_failure(Step::Apply, &seen, Retry::NewCandidate, &limits(false), now(), 0.5);
    assert_eq!(word(&after), "roll back");
}

#[test]
fn a_target_that_asks_for_patience_gets_it() {
    let patience = Duration::from_secs(7200);
    let after = after_failure(Step::Apply, &state(1, 1), Retry::After(patience), &limits(false), now(), 0.0);
    assert_eq!(after.until().unwrap().duration_since(now()).as_secs(), 7200);
}

#[test]
fn what_evidence_means() {
    let store = |candidate_held, candidate_current, previous_held| Evidence::Store {
        candidate_held,
        candidate_current,
        previous_held,
    };
    let target = |candidate, current| Evidence::Target { candidate, current };
    use Accepts::{No, Partly, Unknown, Yes};
    let table = [
        (Step::Generate, Shape::InPlace, Evidence::None, Verdict::NotDone),
        (Step::Verify, Shape::InPlace, Evidence::None, Verdict::NotDone),
        (Step::Stage, Shape::InPlace, store(true, false, true), Verdict::Done),
        (Step::Stage, Shape::InPlace, store(false, false, true), Verdict::Lost),
        (Step::Promote, Shape::InPlace, store(true, true, true), Verdict::Done),
        (Step::Promote, Shape::InPlace, store(true, false, true), Verdict::NotDone),
        (Step::Revoke, Shape::Alternating, store(true, true, true), Verdict::NotDone),
        (Step::Revoke, Shape::Alternating, store(true, true, false), Verdict::Done),
        (Step::Revoke, Shape::Alternating, store(true, false, false), Verdict::NotDone),
        (Step::Discard, Shape::InPlace, store(true, false, true), Verdict::NotDone),
        (Step::Discard, Shape::InPlace, store(false, false, true), Verdict::Done),
        (Step::Apply, Shape::InPlace, target(Yes, None), Verdict::Done),
        (Step::Apply, Shape::InPlace, target(No, None), Verdict::NotDone),
        (Step::Apply, Shape::InPlace, target(Unknown, None), Verdict::Unknown),
        (Step::Apply, Shape::InPlace, target(Partly, None), Verdict::NotDone),
        (Step::Restore, Shape::InPlace, target(Partly, Some(Yes)), Verdict::NotDone),
        (Step::Restore, Shape::InPlace, target(No, Some(Partly)), Verdict::NotDone),
        (Step::Restore, Shape::Alternating, target(No, Some(Partly)), Verdict::Done),
        (Step::Restore, Shape::InPlace, target(Yes, None), Verdict::NotDone),
        (Step::Restore, Shape::InPlace, target(No, Some(Yes)), Verdict::Done),
        (Step::Restore, Shape::InPlace, target(No, Some(No)), Verdict::NotDone),
        (Step::Restore, Shape::Alternating, target(No, Some(No)), Verdict::Done),
        (Step::Restore, Shape::InPlace, target(No, None), Verdict::Done),
        (Step::Restore, Shape::InPlace, target(No, Some(Unknown)), Verdict::Unknown),
        (Step::Restore, Shape::InPlace, target(Unknown, Some(Yes)), Verdict::Unknown),
    ];
    for (step, shape, evidence, expected) in table {
        assert_eq!(settle(step, shape, evidence), expected, "{step} {shape:?} {evidence:?}");
    }
}

#[test]
fn evidence_for_another_question_settles_nothing() {
    let store = Evidence::Store { candidate_held: true, candidate_current: true, previous_held: true };
    let target = Evidence::Target { candidate: Accepts::Yes, current: Some(Accepts::Yes) };
    for step in Step::ALL {
        for (asked, evidence) in
            [(Question::Nobody, Evidence::None), (Question::Store, store), (Question::Target, target)]
        {
            if question(step) != asked {
                assert_eq!(settle(step, Shape::InPlace, evidence), Verdict::Unknown, "{step} {evidence:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_pause_grows_and_keeps_within_its_bounds(
        tries in 0u32..200, roll in 0.0f64..1.0, min in 1u64..100, more in 0u64..10_000
    ) {
        let (min, max) = (Duration::from_secs(min), Duration::from_secs(min + more));
        let pause = backoff(tries, (min, max), roll);
        prop_assert!(pause >= min / 2 && pause <= max);
        prop_assert!(backoff(tries + 1, (min, max), roll) >= pause);
    }
}
