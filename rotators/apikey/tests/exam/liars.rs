//! Rotators with a bad habit: each fails the cases that are about it, and no other.

use std::time::{Duration, SystemTime};

use keywheel_testkit::exam::sit;
use keywheel_testkit::{Habit, HabitualLiar};

use crate::keyservice::{DECLARATION, rotator, subject};

async fn found_out(habit: Habit, cases: &[&str]) {
    let liar = HabitualLiar::new(rotator(DECLARATION), habit.clone());
    let report = sit(&subject(&format!("{habit:?}"), liar).await).await;
    assert_eq!(report.failed_ids(), cases, "{report}");
}

#[tokio::test]
async fn who_makes_keys_without_the_tag() {
    found_out(
        Habit::MakesUntagged,
        &[
            "generate-lost",
            "generate-again",
            "generate-late",
            "generate-killed-after",
            "sweep",
            "sweep-foreign",
            "sweep-earlier",
            "sweep-lost",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_says_that_nothing_happened_after_a_lost_answer() {
    found_out(
        Habit::DeniesTheUnknown,
        &[
            "generate-lost",
            "generate-cut",
            "generate-stalled",
            "generate-late",
            "sweep-lost",
            "restore-lost",
            "revoke-lost",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_claims_to_have_swept() {
    found_out(
        Habit::SweepsNothing,
        &[
            "generate-lost",
            "generate-again",
            "generate-late",
            "generate-killed-after",
            "sweep",
            "sweep-foreign",
            "sweep-earlier",
            "sweep-lost",
            "wrong-admin",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_sweeps_what_is_to_be_kept() {
    found_out(Habit::KeepsNothing, &["sweep-keeps", "sweep-earlier"]).await;
}

#[tokio::test]
async fn who_leaves_what_earlier_rotations_left() {
    found_out(Habit::ForgetsEarlier, &["sweep-earlier"]).await;
}

#[tokio::test]
async fn who_sweeps_the_keys_of_others() {
    found_out(Habit::SweepsForeign, &["sweep-foreign"]).await;
}

#[tokio::test]
async fn who_restores_nothing() {
    found_out(
        Habit::RestoresNothing,
        &[
            "verify-refuses",
            "probe-true",
            "probe-silent",
            "restore",
            "restore-early",
            "restore-bare",
            "restore-twice",
            "restore-lost",
            "restore-killed-before",
            "restore-killed-after",
            "wrong-admin-probe",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_revokes_nothing() {
    found_out(
        Habit::RevokesNothing,
        &[
            "rotation",
            "two-in-a-row",
            "all-twice",
            "generate-again",
            "revoke-twice",
            "revoke-hard",
            "revoke-current",
            "revoke-lost",
            "revoke-killed-before",
            "revoke-killed-after",
            "disable",
            "wrong-admin-revoke",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_disables_nothing() {
    found_out(Habit::DisablesNothing, &["disable", "disable-current"]).await;
}

#[tokio::test]
async fn who_deletes_what_is_to_be_disabled() {
    found_out(Habit::DisablesForGood, &["disable"]).await;
}

#[tokio::test]
async fn who_claims_more_than_is_done() {
    let cases = ["last-used", "claims"];
    found_out(Habit::ClaimsLastUsed, &cases).await;
}

#[tokio::test]
async fn who_makes_up_the_last_use() {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    for made_up in [None, Some(long_ago)] {
        found_out(Habit::SaysLastUsed(made_up), &["last-used"]).await;
    }
}
