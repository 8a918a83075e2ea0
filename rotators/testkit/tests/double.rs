//! The SDK's target in memory passes the exam in every shape, and the exam finds out a liar around it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use keywheel_sdk::double::{DoubleRotator, DoubleTarget, Fault};
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Effect, GrantParity, Origin, RevokeHow, Rotator, Secret, Strategy, Target,
};
use keywheel_testkit::exam::{self, Candidate, KeyDouble, KeyOwner, Line, ProviderSubject, Stage, Subject};
use keywheel_testkit::{Habit, HabitualLiar};
use serde_json::Map;

fn login(account: &str, password: &str) -> Bundle {
    Bundle::login(account, Secret::new(password.to_owned()))
}

fn admin() -> Bundle {
    login("admin", "admin-password-4bXq9")
}

struct Cable(Arc<DoubleTarget>);

#[async_trait]
impl Line for Cable {
    fn lose_next_acknowledgement(&self) {
        self.0.break_at_next_change(Fault::After);
    }
    fn cut_before_next_change(&self) {
        self.0.break_at_next_change(Fault::Before);
    }
    // Nothing waits in memory: who would run into a deadline is told at once that nobody knows.
    fn stall_next_change(&self) {
        self.0.break_at_next_change(Fault::Before);
    }
    fn stall_after_next_change(&self) {
        self.0.break_at_next_change(Fault::After);
    }
    fn strikes(&self) -> u64 {
        self.0.broken()
    }
}

/// Values that the engine makes.
struct Accounts {
    name: &'static str,
    strategy: Strategy,
    own: bool,
    /// One for all stages: each begins with the accounts as they were.
    target: Arc<DoubleTarget>,
    rotator: DoubleRotator,
}

impl Accounts {
    fn new(name: &'static str, strategy: Strategy, own: bool) -> Self {
        let target = Arc::new(DoubleTarget::new().with_admin(admin()));
        let rotator = DoubleRotator::new(Arc::clone(&target), Origin::Engine, Instant::now);
        Accounts { name, strategy, own, target, rotator }
    }

    fn with_admin(&self, admin: Admin) -> Target {
        Target { settings: Map::new(), strategy: self.strategy.clone(), admin, generates: None }
    }

    fn target(&self) -> Target {
        self.with_admin(if self.own { Admin::Own } else { Admin::Credential(admin()) })
    }
}

#[async_trait]
impl Subject for Accounts {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        self.target.mend();
        let all: Vec<_> = self.target.accounts().into_iter().map(|(name, _)| name).collect();
        self.target.delete(&all);
        let current = login("app_a", "current-password-4bXq9");
        self.target.set(&current);
        let idle = match &self.strategy {
            Strategy::InPlace { user } => user,
            Strategy::Alternating { .. } | Strategy::Overlapping => "app_b",
        };
        let candidate = login(idle, "candidate-password-4bXq9");
        if matches!(self.strategy, Strategy::Alternating { .. }) {
            self.target.set(&candidate);
            self.target.lock_out(idle);
        }
        let wrong = login("admin", "of-yesterday");
        Stage {
            target: self.target(),
            current,
            candidate: Candidate::Given(candidate),
            wrong_admin: (!self.own).then(|| self.with_admin(Admin::Credential(wrong))),
            line: Some((self.target(), Box::new(Cable(Arc::clone(&self.target))))),
            odd_passwords: ["ß'\"\\ \u{1F511}", &"x".repeat(4096)].map(str::to_owned).to_vec(),
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        self.target.accepts(credential)
    }

    fn stands_apart(&self) -> bool {
        false
    }
}

/// Values that the target makes.
struct Keys {
    target: Arc<DoubleTarget>,
    stages: Mutex<u64>,
}

#[async_trait]
impl KeyDouble for Keys {
    async fn owner(&self) -> KeyOwner {
        self.target.mend();
        let all: Vec<_> = self.target.accounts().into_iter().map(|(name, _)| name).collect();
        self.target.delete(&all);
        let mut stages = self.stages.lock().unwrap();
        *stages += 1;
        let current = login("by-hand", &format!("stage-{stages}-4bXq9"));
        self.target.set(&current);
        KeyOwner { settings: Map::new(), current, line: Some((Map::new(), Box::new(Cable(Arc::clone(&self.target))))) }
    }

    async fn accepts(&self, key: &Bundle) -> bool {
        self.target.accepts(key)
    }

    async fn keys(&self) -> usize {
        self.target.accounts().len()
    }
}

fn keys<R: Rotator + 'static>(name: &str, rotator: impl FnOnce(DoubleRotator) -> R) -> ProviderSubject<Keys> {
    let target = Arc::new(DoubleTarget::new().with_admin(admin()));
    let honest = DoubleRotator::new(Arc::clone(&target), Origin::Provider, Instant::now);
    ProviderSubject::new(name, rotator(honest), admin(), Keys { target, stages: Mutex::default() })
}

fn in_place() -> Strategy {
    Strategy::InPlace { user: "app_a".to_owned() }
}

#[tokio::test]
async fn the_double_passes_with_values_of_the_engine() {
    let users = ["app_a", "app_b"].map(str::to_owned);
    let pair = Strategy::Alternating { users, grant_parity: GrantParity::Ignore, create_missing: false };
    for (name, strategy, own) in [
        ("double in place, admin", in_place(), false),
        ("double in place, self", in_place(), true),
        ("double alternating, admin", pair, false),
        ("double overlapping, admin", Strategy::Overlapping, false),
    ] {
        let report = exam::sit(&Accounts::new(name, strategy, own)).await;
        report.assert_passed();
        assert!(report.passed() > 15, "{report}");
    }
}

#[tokio::test]
async fn the_double_passes_with_values_of_its_own() {
    let report = exam::sit(&keys("double, provider-made", |honest| honest)).await;
    report.assert_passed();
    assert!(report.fit() > 35, "{report}");
}

#[tokio::test]
async fn a_liar_around_the_double_is_found_out() {
    for habit in [Habit::SweepsNothing, Habit::RestoresNothing, Habit::RevokesNothing, Habit::DeniesTheUnknown] {
        let report = exam::sit(&keys("liar", |honest| HabitualLiar::new(honest, habit.clone()))).await;
        assert!(!report.failed().is_empty(), "{habit:?}: {report}");
    }
}

/// What the exam does not ask: somebody else's password is not taken away, and a broken successor keeps its predecessor.
#[tokio::test]
async fn the_double_loses_no_credential() {
    let subject = Accounts::new("", Strategy::Overlapping, false);
    let target = subject.target();
    let until = Instant::now() + std::time::Duration::from_secs(30);
    let call = Call { target: &target, rotation: "r-1", fence: 1, until };
    let (live, candidate, by_hand) = (login("a", "live"), login("b", "candidate"), login("b", "by-hand"));
    subject.target.set(&live);
    subject.target.set(&by_hand);
    subject.rotator.restore(&call, &candidate, Some(&live)).await.unwrap();
    assert!(subject.target.accepts(&by_hand) && subject.target.accepts(&live));

    let keep = RevokeHow { disable: false, terminate_sessions: false };
    let refused = subject.rotator.revoke(&call, &live, &candidate, keep).await.unwrap_err();
    assert_eq!((refused.effect, subject.target.accepts(&live)), (Effect::None, true));

    subject.target.open_sessions("a", 3);
    assert_eq!(subject.rotator.usage(&call, &live).await.unwrap().sessions, 3);
    subject.rotator.revoke(&call, &live, &by_hand, RevokeHow { terminate_sessions: true, ..keep }).await.unwrap();
    assert_eq!(subject.rotator.usage(&call, &live).await.unwrap().sessions, 0);
    assert_eq!(
        subject.rotator.probe(&call, &live, &[]).await,
        Answer::No { reason: "wrong password".to_owned() },
        "the account is there, and nobody can log in to it"
    );
}
