//! The exam, for each shape and each kind of admin.

use std::sync::Arc;

use async_trait::async_trait;
use keywheel_plugin::{Confinement, Form, Plugin, PluginRotator, sha256_of};
use keywheel_postgres::PostgresRotator;
use keywheel_sdk::{Admin, Bundle, GrantParity, Rotator, Strategy, Target};
use keywheel_testkit::exam::{Candidate, Line, Stage, Subject, Through, sit};
use keywheel_testkit::{CutProxy, Fault, built_example};

use crate::scene::{
    accepts, alternating, create_role, fresh, in_place, login, role_admin, server, settings, superuser, target,
};

#[derive(Clone, Copy)]
enum Who {
    Superuser,
    RoleAdmin,
    Itself,
}

struct Postgres {
    name: &'static str,
    alternates: bool,
    who: Who,
    rotator: PostgresRotator,
    line: Arc<CutProxy>,
}

impl Postgres {
    async fn new(name: &'static str, alternates: bool, who: Who) -> Self {
        let line = Arc::new(CutProxy::start(([127, 0, 0, 1], server().port()).into()).await.unwrap());
        Postgres { name, alternates, who, rotator: PostgresRotator::new(), line }
    }

    async fn admin(&self, accounts: &[&str]) -> Option<Bundle> {
        match self.who {
            Who::Superuser => Some(superuser()),
            Who::RoleAdmin => Some(role_admin(accounts).await),
            Who::Itself => None,
        }
    }
}

/// The proxy breaks at the statement that changes a role.
struct Wire(Arc<CutProxy>);

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.0.arm(Fault::CutAfterEffect { marker: b"ALTER ROLE".to_vec() });
    }
    fn cut_before_next_change(&self) {
        self.0.arm(Fault::CutBeforeEffect { marker: b"ALTER ROLE".to_vec() });
    }
    fn stall_next_change(&self) {
        self.0.arm(Fault::Stall { marker: b"ALTER ROLE".to_vec() });
    }
    fn stall_after_next_change(&self) {
        self.0.arm(Fault::StallAfterEffect { marker: b"ALTER ROLE".to_vec() });
    }
    fn strikes(&self) -> u64 {
        self.0.strikes()
    }
}

#[async_trait]
impl Subject for Postgres {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn rotator(&self) -> &dyn Rotator {
        &self.rotator
    }

    async fn stage(&self) -> Stage {
        let (first, second) = (fresh("app"), fresh("app"));
        create_role(&first, "current-password-1").await;
        create_role(&second, "idle-password-2").await;
        let strategy = || -> Strategy {
            if self.alternates { alternating(&first, &second, GrantParity::Require) } else { in_place(&first) }
        };
        let admin = self.admin(&[&first, &second]).await;
        let authorised = |admin: &Option<Bundle>| match admin {
            Some(bundle) => Admin::Credential(bundle.duplicate()),
            None => Admin::Own,
        };
        self.line.disarm();
        let through_proxy = Target {
            settings: settings(self.line.port()),
            strategy: strategy(),
            admin: authorised(&admin),
            generates: None,
        };
        let wrong_admin = admin.as_ref().map(|admin| {
            let wrong = login(&admin.username().unwrap(), "not-the-admins-password");
            target(strategy(), Admin::Credential(wrong))
        });
        Stage {
            target: target(strategy(), authorised(&admin)),
            current: login(&first, "current-password-1"),
            candidate: Candidate::Given(login(if self.alternates { &second } else { &first }, "candidate-password-3")),
            wrong_admin,
            line: Some((through_proxy, Box::new(Wire(Arc::clone(&self.line))))),
            odd_passwords: vec![
                "it's \"quoted\" \\ and $$ and ; -- and :".to_owned(),
                "pässwörd-ÅØ-пароль-密码".to_owned(),
                " leading and trailing ".to_owned(),
                "SCRAM-SHA-256$4096:looks$like:a-verifier".to_owned(),
                "md5".to_owned() + &"a".repeat(32),
                "x".repeat(1024),
            ],
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        accepts(credential).await
    }
}

async fn examine(name: &'static str, alternates: bool, who: Who, at_least: usize) {
    let report = sit(&Postgres::new(name, alternates, who).await).await;
    report.assert_passed();
    assert!(report.passed() >= at_least, "too many cases were skipped\n{report}");
}

/// The same rotator as a plugin in a confined process.
async fn examine_as_plugin(name: &'static str, alternates: bool, who: Who, at_least: usize) {
    let subject = Postgres::new(name, alternates, who).await;
    let confinement = Confinement { connect: vec![server().port(), subject.line.port()], ..Confinement::default() };
    let file = built_example("keywheel-postgres", "postgres_plugin");
    let plugin = Plugin {
        name: "postgres".to_owned(),
        form: Form::Executable,
        sha256: sha256_of(&file).unwrap(),
        signature: None,
        host: file.clone(),
        file,
        confinement,
    };
    let rotator = PluginRotator::open(plugin).unwrap();
    let report = sit(&Through::new(&subject, rotator, "as a plugin")).await;
    report.assert_passed();
    assert!(report.passed() >= at_least, "too many cases were skipped\n{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_as_a_plugin() {
    examine_as_plugin("postgres, in place", false, Who::Superuser, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alternating_as_a_plugin() {
    examine_as_plugin("postgres, alternating", true, Who::RoleAdmin, 21).await;
}

#[tokio::test]
async fn in_place_with_a_superuser() {
    examine("postgres, in place, superuser", false, Who::Superuser, 20).await;
}

#[tokio::test]
async fn in_place_with_a_role_admin() {
    examine("postgres, in place, role admin", false, Who::RoleAdmin, 20).await;
}

#[tokio::test]
async fn in_place_by_itself() {
    examine("postgres, in place, self-managed", false, Who::Itself, 19).await;
}

#[tokio::test]
async fn alternating_with_a_superuser() {
    examine("postgres, alternating, superuser", true, Who::Superuser, 21).await;
}

#[tokio::test]
async fn alternating_with_a_role_admin() {
    examine("postgres, alternating, role admin", true, Who::RoleAdmin, 21).await;
}
