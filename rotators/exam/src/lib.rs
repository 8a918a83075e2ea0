//! The conformance exam: what each rotator must do, whatever its target. A table of named cases, with a report to print.
//!
//! A new rotator implements [`Subject`] (how to make a fresh account, how to log in without the rotator) and calls [`sit`].
//! Where the provider makes the value, [`ProviderSubject`] is the subject and only a [`KeyDouble`] is to be written.
//! Cases that do not fit a subject are shown as skipped, with the reason; [`Report::assert_passed`] fails the test on any
//! failure.
//!
//! Who has no target yet takes [`PracticeTarget`], and [`PracticeSubject`] for the exam against it. [`CutProxy`] is a line that
//! breaks on order before any server that talks in the clear.

mod cases;
mod cut_proxy;
mod overheard;
mod practice;
mod provider;
mod report;
mod sitting;
mod through;

use std::time::Duration;

use async_trait::async_trait;
use keywheel_sdk::{Bundle, Rotator, Target, USERNAME};
use tokio::time::timeout;

use overheard::Overheard;
use sitting::Sitting;

pub use cases::{CASES, Case};
pub use cut_proxy::{CutProxy, Fault};
pub use practice::{PracticeSubject, PracticeTarget};
pub use provider::{KeyDouble, KeyOwner, ProviderSubject};
pub use report::{Outcome, Report, Row};
pub use through::Through;

/// No case takes so long, on a busy machine either.
const LONGEST: Duration = Duration::from_secs(180);

/// What is examined: a rotator with a target where the exam may make accounts.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A word for the report, such as `postgres in place, admin`.
    fn name(&self) -> String;

    /// The rotator under examination.
    fn rotator(&self) -> &dyn Rotator;

    /// A fresh account (or pair, or owner of keys), set up as before a rotation: `current` is accepted, a given candidate is
    /// not.
    async fn stage(&self) -> Stage;

    /// Whether the target lets this credential in, asked without the rotator.
    async fn accepts(&self, credential: &Bundle) -> bool;

    /// How many keys the owner of the last stage has, disabled ones counted too, asked without the rotator. `None` where
    /// nobody can count; cases that look for what was left behind are then skipped.
    async fn keys(&self) -> Option<usize> {
        None
    }

    /// Whether a made key carries its rotation's tag. Not where keys can hold none and the rotator owns all of a target.
    fn tags(&self) -> bool {
        true
    }

    /// A password of the form that the target takes, which no stage has: another one for each word.
    fn password(&self, word: &str) -> String {
        format!("{word}-password-4bXq9")
    }

    /// Whether a field of a credential may be shown in messages: it names the account, or says how long it lives.
    fn is_public(&self, field: &str) -> bool {
        field == USERNAME
    }

    /// Whether a stage stays as it is when the next one is made. Where it does not, no two are used at once.
    fn stands_apart(&self) -> bool {
        true
    }

    /// How often, so far, a secret had to be taken out of what the rotator said or wrote elsewhere than in the answers that the
    /// exam sees.
    fn leaks(&self) -> u64 {
        0
    }

    /// Why the target can serve the exam no longer, if so: nothing that was seen since then is the rotator's doing.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The scene of one case.
pub struct Stage {
    /// The account's target, reached directly.
    pub target: Target,
    /// The live credential.
    pub current: Bundle,
    /// The value that is to take its place.
    pub candidate: Candidate,
    /// The same target with an admin whose password is wrong. `None` for `admin: self`.
    pub wrong_admin: Option<Target>,
    /// The same target through a line that can be broken. `None` where the exam cannot break it.
    pub line: Option<(Target, Box<dyn Line>)>,
    /// Further passwords that must work: unicode, maximal length, characters that need quoting. For given candidates only.
    pub odd_passwords: Vec<String>,
}

/// Where the exam has its candidates from, which is the rotator's [`keywheel_sdk::Origin`].
pub enum Candidate {
    /// The engine makes the value: this one, for the same account (in place) or the idle one (alternating).
    Given(Bundle),
    /// The provider makes it: each case asks [`Rotator::generate`], and has swept before, as the engine does.
    Generated,
}

/// A line to the target that breaks on order, once per order, at the statement or request that changes something: the
/// account, or a key.
#[async_trait]
pub trait Line: Send + Sync {
    /// The change reaches the target, its acknowledgement does not come back.
    fn lose_next_acknowledgement(&self);
    /// The line is cut before the change reaches the target.
    fn cut_before_next_change(&self);
    /// The change never arrives, and nobody says so: the caller runs into its deadline.
    fn stall_next_change(&self);
    /// The change reaches the target, no acknowledgement comes back, and nobody says so.
    fn stall_after_next_change(&self);
    /// How often the line broke. The count may have begun before the stage was set. Where a change is to reach the target, it is
    /// there when this counts.
    fn strikes(&self) -> u64;
}

/// Runs all cases, each on a fresh stage, one after the other. Ends early if the target gives out.
pub async fn sit(subject: &dyn Subject) -> Report {
    let subject = &Overheard::new(subject);
    let mut report = Report::new(&subject.name());
    let mut gone = false;
    for case in CASES {
        if gone {
            report.add(case, Outcome::Skipped("the target gave out before"));
            continue;
        }
        let one = async {
            let stage = subject.stage().await;
            case.sit(&Sitting::begin(subject, &stage).await).await
        };
        let outcome = timeout(LONGEST, one).await;
        let late = || Outcome::Failed(format!("expected an end within {} s, there was none", LONGEST.as_secs()));
        let trouble = subject.trouble().map(|why| Outcome::Failed(format!("the target gave out: {why}")));
        gone = trouble.is_some();
        report.add(case, trouble.unwrap_or_else(|| outcome.unwrap_or_else(|_| late())));
    }
    report
}
