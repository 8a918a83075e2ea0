//! The exam of rotators, sat by a shipped declaration as it is. Only the address is the double's.

use std::sync::Arc;

use async_trait::async_trait;
use keywheel_sdk::Bundle;
use keywheel_testkit::exam::{KeyDouble, KeyOwner, Line, Outcome, ProviderSubject, sit};

use crate::case::Case;
use crate::double::{Double, Fault, shipped_rotator};

/// Why a case may be skipped: the vendor does not do what it is about. Never because a double cannot.
const REASONS: [&str; 4] = [
    "the provider makes the value",
    "the keys hold no tag",
    "it does not claim to disable",
    "it does not claim to know the last use",
];
/// Fields of admins that name somebody and are no secret.
const PUBLIC: [&str; 2] = ["access_key_id", "client_id"];

/// No case fails, so many fit and pass, and the vendor was asked nothing that it does not know.
#[expect(clippy::print_stdout, reason = "what was skipped, and why, is for people to read")]
pub async fn sits(case: &'static Case, fitting: usize) {
    let double = Arc::new(Double::start(case).await);
    let examined = Examined { case, double: Arc::clone(&double) };
    let subject = ProviderSubject::new(case.provider, shipped_rotator(case), double.admin(), examined);
    let subject = PUBLIC.iter().fold(subject, |subject, field| subject.with_public(field));
    let subject = if case.exclusive { subject.without_tags() } else { subject };
    let report = sit(&subject).await;
    println!("{report}");
    report.assert_passed();
    for row in report.rows() {
        match &row.outcome {
            Outcome::Skipped(why) => assert!(REASONS.contains(why), "`{}` was skipped: {why}", row.name),
            Outcome::Passed | Outcome::Failed(_) => {}
        }
    }
    assert!(report.passed() >= fitting, "too many cases were skipped\n{report}");
    double.was_asked_rightly();
}

/// A vendor's double from outside.
struct Examined {
    case: &'static Case,
    double: Arc<Double>,
}

#[async_trait]
impl KeyDouble for Examined {
    async fn owner(&self) -> KeyOwner {
        self.double.clear();
        let settings = self.double.settings();
        let wire = Wire(Arc::clone(&self.double));
        KeyOwner {
            settings: settings.clone(),
            current: self.double.has("made by hand"),
            line: Some((settings, Box::new(wire))),
        }
    }

    async fn accepts(&self, key: &Bundle) -> bool {
        let field = |name: &str| key.get(name).unwrap().expose(str::to_owned);
        let (id, secret) = (field("key_id"), field(self.case.field));
        self.double.shelf().key(&id).is_some_and(|key| key.secret == secret && key.is_accepted())
    }

    async fn keys(&self) -> usize {
        self.double.shelf().ids().len()
    }
}

/// Breaks at whatever makes or ends a key.
struct Wire(Arc<Double>);

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.0.fault_of_change(Fault::CutAfter);
    }
    fn cut_before_next_change(&self) {
        self.0.fault_of_change(Fault::CutBefore);
    }
    fn stall_next_change(&self) {
        self.0.fault_of_change(Fault::Stall);
    }
    fn stall_after_next_change(&self) {
        self.0.fault_of_change(Fault::StallAfter);
    }
    fn strikes(&self) -> u64 {
        self.0.strikes()
    }
}
