//! The conformance exam: what each rotator must do, whatever its target. A table of named cases, with a report to print.
//!
//! A new rotator implements [`Subject`] (how to make a fresh account, how to log in without the rotator) and calls [`sit`].
//! Cases that do not fit a subject are shown as skipped, with the reason; [`Report::assert_passed`] fails the test on any
//! failure.

mod cases;
mod report;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use keywheel_sdk::{Bundle, Call, Rotator, Secret, Target};

pub use cases::{CASES, Case};
pub use report::{Outcome, Report};

/// What is examined: a rotator with a target where the exam may make accounts.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A word for the report, such as `postgres in place, admin`.
    fn name(&self) -> String;

    /// The rotator under examination.
    fn rotator(&self) -> &dyn Rotator;

    /// A fresh account (or pair), set up as before a rotation: `current` is accepted, `candidate` is not.
    async fn stage(&self) -> Stage;

    /// Whether the target lets this credential in, asked without the rotator.
    async fn accepts(&self, credential: &Bundle) -> bool;
}

/// The scene of one case.
pub struct Stage {
    /// The account's target, reached directly.
    pub target: Target,
    /// The live credential.
    pub current: Bundle,
    /// The value to be applied; same account (in place) or the idle one (alternating).
    pub candidate: Bundle,
    /// The same target with an admin whose password is wrong. `None` for `admin: self`.
    pub wrong_admin: Option<Target>,
    /// The same target through a line that can be broken. `None` where the exam cannot break it.
    pub line: Option<(Target, Box<dyn Line>)>,
    /// Further passwords that must work: unicode, maximal length, characters that need quoting.
    pub odd_passwords: Vec<String>,
}

/// A line to the target that breaks on order, once per order, at the statement that changes the account.
#[async_trait]
pub trait Line: Send + Sync {
    /// The change reaches the target, its acknowledgement does not come back.
    fn lose_next_acknowledgement(&self);
    /// The line is cut before the change reaches the target.
    fn cut_before_next_change(&self);
    /// The change never arrives, and nobody says so: the caller runs into its deadline.
    fn stall_next_change(&self);
    /// How often the line broke.
    fn strikes(&self) -> u64;
}

impl Stage {
    /// The candidate's account with another password.
    pub fn candidate_with(&self, password: &str) -> Bundle {
        self.candidate.duplicate().with(keywheel_sdk::PASSWORD, Secret::new(password.to_owned()))
    }

    fn call(&self) -> Call<'_> {
        call(&self.target)
    }
}

/// One call's frame, generous enough for a busy machine.
fn call(target: &Target) -> Call<'_> {
    Call { target, rotation: "exam-rotation", fence: 1, until: Instant::now() + Duration::from_secs(30) }
}

/// Runs all cases, each on a fresh stage, one after the other.
pub async fn sit(subject: &dyn Subject) -> Report {
    let mut report = Report::new(&subject.name());
    for case in CASES {
        let stage = subject.stage().await;
        report.add(case.name, (case.run)(subject, stage).await);
    }
    report
}
