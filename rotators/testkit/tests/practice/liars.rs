//! Rotators with a bad habit: each fails the cases that are about it, and no other.

use keywheel_sdk::Shape;
use keywheel_testkit::{Habit, HabitualLiar};

use crate::rotator::PracticeRotator;
use crate::sat;

async fn found_out_as(habit: Habit, shape: Shape, cases: &[&str]) {
    let liar = HabitualLiar::new(PracticeRotator, habit.clone());
    let report = sat(&format!("{habit:?}"), liar, shape).await;
    assert_eq!(report.failed_ids(), cases, "{report}");
}

async fn found_out(habit: Habit, cases: &[&str]) {
    found_out_as(habit, Shape::Alternating, cases).await;
}

#[tokio::test]
async fn who_claims_to_count_sessions() {
    found_out(Habit::ClaimsUsage, &["claims"]).await;
}

#[tokio::test]
async fn who_believes_itself() {
    found_out(Habit::BelievesItself, &["restore-killed-after", "apply-cut", "apply-stalled", "apply-killed-before"])
        .await;
}

#[tokio::test]
async fn who_skips_checks() {
    found_out(Habit::SkipsChecks, &["verify-checks"]).await;
}

#[tokio::test]
async fn who_probes_by_touching() {
    found_out(Habit::ProbesByTouching, &["probe-silent"]).await;
}

#[tokio::test]
async fn who_takes_a_refused_admin_for_a_refused_credential() {
    found_out(Habit::BlamesTheCredential, &["wrong-admin-probe"]).await;
}

#[tokio::test]
async fn who_says_that_nothing_happened() {
    found_out(
        Habit::DeniesTheUnknown,
        &["restore-lost", "revoke-lost", "apply-lost", "apply-cut", "apply-stalled", "apply-late"],
    )
    .await;
}

#[tokio::test]
async fn who_applies_once() {
    found_out(
        Habit::AppliesOnce,
        &["apply-twice", "all-twice", "apply-late", "apply-killed-before", "apply-killed-after"],
    )
    .await;
}

#[tokio::test]
async fn who_locks_for_good() {
    found_out(Habit::LocksForGood, &["two-at-once", "apply-killed-before", "apply-killed-after", "secret-in-process"])
        .await;
}

#[tokio::test]
async fn who_mixes_up_two_rotations() {
    found_out(Habit::MixesUp, &["two-at-once"]).await;
}

#[tokio::test]
async fn who_never_gives_up() {
    found_out(Habit::NeverGivesUp, &["after-deadline", "apply-stalled", "apply-late"]).await;
}

#[tokio::test]
async fn who_revokes_only_what_is_there() {
    found_out(
        Habit::RevokesOnlyWhatIsThere,
        &["all-twice", "revoke-twice", "revoke-absent", "revoke-lost", "revoke-killed-after"],
    )
    .await;
}

#[tokio::test]
async fn who_says_secrets() {
    found_out(Habit::SaysSecrets, &["secret-in-words"]).await;
}

#[tokio::test]
async fn who_shows_secrets_in_arguments() {
    found_out(Habit::ShowsArguments, &["secret-in-process"]).await;
}

#[tokio::test]
async fn who_restores_nothing() {
    found_out(
        Habit::RestoresNothing,
        &["restore", "restore-bare", "restore-twice", "restore-lost", "restore-killed-before", "restore-killed-after"],
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
            "two-at-once",
            "revoke-twice",
            "revoke-hard",
            "revoke-current",
            "revoke-lost",
            "revoke-killed-before",
            "revoke-killed-after",
            "wrong-admin-revoke",
        ],
    )
    .await;
}

#[tokio::test]
async fn who_claims_that_accounts_manage_themselves() {
    found_out_as(Habit::ClaimsSelfManaged, Shape::InPlace, &["self-managed"]).await;
}
