//! Rotators with a bad habit: each fails the cases that are about it, and no other.

use std::time::{Duration, SystemTime};

use keywheel_testkit::exam::sit;
use keywheel_testkit::{Habit, HabitualLiar};

use crate::keyservice::{DECLARATION, rotator, subject};

async fn found_out(habit: Habit, cases: &[&str]) {
    let liar = HabitualLiar::new(rotator(DECLARATION), habit.clone());
    let report = sit(&subject(&format!("{habit:?}"), liar).await).await;
    assert_eq!(report.failed(), cases, "{report}");
}

#[tokio::test]
async fn who_makes_keys_without_the_tag() {
    found_out(
        Habit::MakesUntagged,
        &[
            "a lost answer to generate is unknown, and sweep deletes the orphan and only it",
            "after a lost generate and a sweep another is made, and no third is there",
            "sweep deletes what is not kept, and twice is once",
            "sweep touches no key with another tag or none",
            "sweep deletes what the earlier rotations that it is told of left, and is not kept",
            "a lost acknowledgement of sweep is unknown, and sweeping again settles it",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_says_that_nothing_happened_after_a_lost_answer() {
    found_out(
        Habit::DeniesTheUnknown,
        &[
            "a lost answer to generate is unknown, and sweep deletes the orphan and only it",
            "a line cut before generate left is unknown, and sweep finds nothing",
            "a stalled generate ends at the deadline as unknown",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_claims_to_have_swept() {
    found_out(
        Habit::SweepsNothing,
        &[
            "a lost answer to generate is unknown, and sweep deletes the orphan and only it",
            "after a lost generate and a sweep another is made, and no third is there",
            "sweep deletes what is not kept, and twice is once",
            "sweep touches no key with another tag or none",
            "sweep deletes what the earlier rotations that it is told of left, and is not kept",
            "a lost acknowledgement of sweep is unknown, and sweeping again settles it",
            "a wrong admin password changes nothing and says so",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_sweeps_what_is_to_be_kept() {
    found_out(
        Habit::KeepsNothing,
        &[
            "sweep keeps what it is told to keep",
            "sweep deletes what the earlier rotations that it is told of left, and is not kept",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_leaves_what_earlier_rotations_left() {
    found_out(
        Habit::ForgetsEarlier,
        &["sweep deletes what the earlier rotations that it is told of left, and is not kept"],
    )
    .await;
}

#[tokio::test]
async fn who_sweeps_the_keys_of_others() {
    found_out(Habit::SweepsForeign, &["sweep touches no key with another tag or none"]).await;
}

#[tokio::test]
async fn who_restores_nothing() {
    found_out(
        Habit::RestoresNothing,
        &[
            "verify changes nothing and refuses a candidate that the target refuses",
            "a probe tells the truth before and after, and changes nothing",
            "restore after apply leaves current accepted and the candidate refused",
            "restore without apply changes nothing for current",
            "restore without a current credential refuses the candidate",
            "restore twice is restore once",
            "a lost acknowledgement of restore is unknown, and restoring again settles it",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_revokes_nothing() {
    found_out(
        Habit::RevokesNothing,
        &[
            "a rotation from apply to revoke ends with the new credential only",
            "two rotations in a row work, back to the first account",
            "after a lost generate and a sweep another is made, and no third is there",
            "revoke twice is revoke once",
            "revoke with disable and end of sessions keeps current accepted",
            "revoke of the live credential itself is refused",
            "disable refuses the previous credential until revoke takes it away, and twice is once",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_disables_nothing() {
    found_out(
        Habit::DisablesNothing,
        &[
            "disable refuses the previous credential until revoke takes it away, and twice is once",
            "disable of the live credential itself is refused",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_deletes_what_is_to_be_disabled() {
    found_out(
        Habit::DisablesForGood,
        &["disable refuses the previous credential until revoke takes it away, and twice is once"],
    )
    .await;
}

#[tokio::test]
async fn who_claims_more_than_is_done() {
    let cases = ["a use is known as the last one", "the descriptor claims what is done, and no more"];
    found_out(Habit::ClaimsLastUsed, &cases).await;
}

#[tokio::test]
async fn who_makes_up_the_last_use() {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    for made_up in [None, Some(long_ago)] {
        found_out(Habit::SaysLastUsed(made_up), &["a use is known as the last one"]).await;
    }
}
