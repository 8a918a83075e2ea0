//! A rotator of the practice target's accounts, as the subject of the exam.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use keywheel_sdk::{Admin, Bundle, Generates, GrantParity, PASSWORD, Rotator, Secret, Shape, Strategy, Target};
use serde_json::Map;

use super::PracticeTarget;
use crate::{Candidate, Stage, Subject};

/// How often a secret had to be masked.
type Leaks = Box<dyn Fn() -> u64 + Send + Sync>;

/// A rotator whose settings are `host` and `port`, with accounts of the practice target: new ones for each stage.
pub struct PracticeSubject {
    name: String,
    rotator: Arc<dyn Rotator>,
    target: PracticeTarget,
    shape: Shape,
    leaks: Leaks,
    stages: AtomicU64,
}

impl PracticeSubject {
    /// In place for that shape, and else with two accounts that take turns.
    pub fn new(name: &str, rotator: Arc<dyn Rotator>, target: PracticeTarget, shape: Shape) -> Self {
        let leaks = Box::new(|| 0);
        PracticeSubject { name: name.to_owned(), rotator, target, shape, leaks, stages: AtomicU64::new(0) }
    }

    /// With [`Subject::leaks`].
    #[must_use]
    pub fn with_leaks(self, leaks: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        PracticeSubject { leaks: Box::new(leaks), ..self }
    }

    fn target(&self, number: u64, admin: Bundle) -> Target {
        let strategy = match self.shape {
            Shape::InPlace => Strategy::InPlace { user: account(number, 'a') },
            Shape::Alternating | Shape::Overlapping => Strategy::Alternating {
                users: [account(number, 'a'), account(number, 'b')],
                grant_parity: GrantParity::Ignore,
                create_missing: true,
            },
        };
        let settings =
            Map::from_iter([("host".into(), "127.0.0.1".into()), ("port".into(), self.target.port().into())]);
        let generates = Some(Generates { length: 32, classes: 4, required: 0, base64: false });
        Target { settings, strategy, admin: Admin::Credential(admin), generates }
    }
}

fn account(number: u64, letter: char) -> String {
    format!("app-{number}-{letter}")
}

#[async_trait]
impl Subject for PracticeSubject {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn rotator(&self) -> &dyn Rotator {
        self.rotator.as_ref()
    }

    async fn stage(&self) -> Stage {
        let number = self.stages.fetch_add(1, Ordering::SeqCst);
        self.target.inside.sound();
        let current = Bundle::login(&account(number, 'a'), Secret::new(self.password(&format!("current-{number}"))));
        if let Ok(password) = current.password() {
            self.target.set(&account(number, 'a'), password);
        }
        let letter = if self.shape == Shape::InPlace { 'a' } else { 'b' };
        let candidate = Secret::new(self.password(&format!("candidate-{number}")));
        let admin = self.target.admin();
        let wrong = admin.duplicate().with(PASSWORD, Secret::new("not-the-admins-password".to_owned()));
        Stage {
            target: self.target(number, self.target.admin()),
            current,
            candidate: Candidate::Given(Bundle::login(&account(number, letter), candidate)),
            wrong_admin: Some(self.target(number, wrong)),
            line: Some((self.target(number, admin), Box::new(Arc::clone(&self.target.inside)))),
            odd_passwords: vec![
                "it's \"quoted\" \\ and $$ and ; -- and :".to_owned(),
                "pässwörd-ÅØ-пароль-密码-🔑".to_owned(),
                " leading and trailing ".to_owned(),
                "$(id)%2F%00+&=#?../..\\n\\\\".to_owned(),
                "{\"password\":\"<!--&amp;-->\"}".to_owned(),
                "x".repeat(256),
                "🔑".repeat(256),
            ],
        }
    }

    /// Of another exam at the same time it is another one: the processes of one may be seen by the other.
    fn password(&self, word: &str) -> String {
        format!("{word}-password-{}", self.target.port())
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        match (credential.username(), credential.password()) {
            (Ok(user), Ok(password)) => self.target.accepts(&user, password),
            _ => false,
        }
    }

    fn leaks(&self) -> u64 {
        (self.leaks)()
    }
}
