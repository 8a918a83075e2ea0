//! The examples sit the exam of all rotators, out of process.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keywheel_keyservice::{Effect, Fault, KeyService, Options, Route, Struck};
use keywheel_plugin::{Confinement, PluginRotator};
use keywheel_sdk::{
    Admin, Bundle, Call, Effect as Happened, Generates, GrantParity, RevokeHow, Rotator, Secret, Strategy, Target,
};
use keywheel_testkit::exam::{Candidate, Line, Stage, Subject, sit};
use serde_json::{Map, json};

use super::{example, plugin};

/// A service where each stage has a user of its own.
struct Slots {
    name: String,
    alternates: bool,
    rotator: PluginRotator,
    service: Arc<KeyService>,
    users: AtomicU64,
}

impl Slots {
    async fn of(file: &Path, alternates: bool) -> Self {
        let service = Arc::new(KeyService::start(Options::default()).await.expect("a free port"));
        let confinement = Confinement { connect: vec![service.port()], ..Confinement::default() };
        let rotator = PluginRotator::open(plugin("slots", file, confinement)).expect("the example starts");
        let name = format!("{}, {}", file.display(), if alternates { "alternating" } else { "in place" });
        Slots { name, alternates, rotator, service, users: AtomicU64::new(0) }
    }

    fn user(&self) -> String {
        format!("user {}", self.users.load(Ordering::SeqCst))
    }

    fn target(&self, token: &str) -> Target {
        let strategy = if self.alternates {
            let users = ["a".to_owned(), "b".to_owned()];
            Strategy::Alternating { users, grant_parity: GrantParity::Ignore, create_missing: true }
        } else {
            Strategy::InPlace { user: "a".to_owned() }
        };
        let settings = Map::from_iter([("url".into(), self.service.url().into()), ("user".into(), self.user().into())]);
        let admin = Admin::Credential(Bundle::login("admin", Secret::new(token.to_owned())));
        Target {
            settings,
            strategy,
            admin,
            generates: Some(Generates { length: 64, classes: 3, required: 0, base64: true }),
        }
    }
}

fn login(name: &str, password: String) -> Bundle {
    Bundle::login(name, Secret::new(password))
}

#[async_trait]
impl Subject for Slots {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        self.service.faults().disarm();
        let number = self.users.fetch_add(1, Ordering::SeqCst) + 1;
        let token = Options::default().admin_token;
        let current = format!("current-password-of-{number}");
        let user = self.user().replace(' ', "%20");
        let request = reqwest::Client::new()
            .put(format!("{}/v1/users/{user}/slots/a", self.service.url()))
            .bearer_auth(&token)
            .json(&json!({ "value": current }));
        assert_eq!(request.send().await.expect("the service answers").status(), 204);
        let wire = Wire { service: Arc::clone(&self.service), struck: Mutex::default() };
        let candidate = format!("candidate-password-of-{number}");
        Stage {
            target: self.target(&token),
            current: login("a", current),
            candidate: Candidate::Given(login(if self.alternates { "b" } else { "a" }, candidate)),
            wrong_admin: Some(self.target("not-the-admins-token")),
            line: Some((self.target(&token), Box::new(wire))),
            odd_passwords: vec![
                "it's\"quoted\"\\and$$and;--:and,`date`".to_owned(),
                "$(id)%2F%00+&=#?../..\\n\\\\".to_owned(),
                "{\"value\":\"<!--&amp;-->\"}".to_owned(),
                "x".repeat(255),
            ],
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        let value = credential.password().expect("a login").expose(str::to_owned);
        self.service.accepts(&value).await
    }

    async fn keys(&self) -> Option<usize> {
        Some(self.service.slots(&self.user()).await.len())
    }

    fn leaks(&self) -> u64 {
        self.rotator.leaks()
    }
}

/// Breaks at whatever puts or deletes.
struct Wire {
    service: Arc<KeyService>,
    struck: Mutex<Vec<Struck>>,
}

impl Wire {
    fn arm(&self, effect: Effect) {
        let fault = Fault::at(Route::PutSlot, effect).or_at(Route::DeleteSlot);
        self.struck.lock().expect("no test panics with it").push(self.service.faults().arm(fault));
    }
}

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.arm(Effect::ExecuteThenCut);
    }
    fn cut_before_next_change(&self) {
        self.arm(Effect::CutBefore);
    }
    fn stall_next_change(&self) {
        self.arm(Effect::Stall);
    }
    fn stall_after_next_change(&self) {
        self.arm(Effect::ExecuteThenStall);
    }
    fn strikes(&self) -> u64 {
        self.struck.lock().expect("no test panics with it").iter().map(Struck::count).sum()
    }
}

async fn examine(file: &str, alternates: bool) {
    let report = sit(&Slots::of(&example(file), alternates).await).await;
    report.assert_passed();
    assert!(report.passed() >= 22, "too many cases were skipped\n{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_in_place() {
    examine("slots.py", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_alternating() {
    examine("slots.py", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shell_alternating() {
    examine("slots.sh", true).await;
}

/// An answer that is lost after a change is about the change, too: the examples are there to be copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_after_a_change_is_never_nothing() {
    for file in ["slots.py", "slots.sh"] {
        let slots = Slots::of(&example(file), true).await;
        let Stage { target, current, candidate: Candidate::Given(candidate), .. } = slots.stage().await else {
            panic!("the engine makes it")
        };
        let call =
            || Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + Duration::from_secs(20) };
        let lost = |skip| {
            slots.service.faults().disarm();
            slots.service.faults().arm(Fault::at(Route::WhoAmI, Effect::CutBefore).skip(skip))
        };
        let rotator = &slots.rotator;
        let how = RevokeHow { disable: false, terminate_sessions: false };

        let struck = lost(0);
        let error = rotator.apply(&call(), &candidate, Some(&current)).await.expect_err("its look was lost");
        assert_eq!((error.effect, struck.count()), (Happened::Unknown, 1), "{file}: {error}");
        rotator.apply(&call(), &candidate, Some(&current)).await.expect("again");

        let struck = lost(0);
        let error = rotator.restore(&call(), &candidate, Some(&current)).await.expect_err("its look was lost");
        assert_eq!((error.effect, struck.count()), (Happened::Unknown, 1), "{file}: {error}");
        rotator.restore(&call(), &candidate, Some(&current)).await.expect("again");

        rotator.apply(&call(), &candidate, Some(&current)).await.expect("once more");
        // Before the change it looks at the live one: then nothing has happened.
        for (skip, effect) in [(0, Happened::None), (1, Happened::Unknown)] {
            let struck = lost(skip);
            let error = rotator.revoke(&call(), &current, &candidate, how).await.expect_err("its look was lost");
            assert_eq!((error.effect, struck.count()), (effect, 1), "{file}: {error}");
        }
        rotator.revoke(&call(), &current, &candidate, how).await.expect("again");
        assert!(slots.accepts(&candidate).await && !slots.accepts(&current).await);
    }
}
