//! A world in memory for the engine's tests: a target that keeps passwords, a clock that is set, crashes at chosen points.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use keywheel_core::RotationId;
use keywheel_policies as policies;
use keywheel_runtime::Clock;
use keywheel_sdk::{
    Answer, Bundle, Call, Capabilities, Check, Descriptor, Finding, Origin, Retry, RevokeHow, Rotator, RotatorError,
    Shape, Usage,
};

/// A clock that only moves when told.
pub struct SetClock {
    micros: AtomicU64,
    ids: AtomicU64,
}

impl SetClock {
    pub fn new() -> Arc<Self> {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a valid instant");
        Arc::new(SetClock { micros: AtomicU64::new(start.as_microsecond() as u64), ids: AtomicU64::new(1) })
    }

    pub fn advance(&self, by: Duration) {
        self.micros.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }

    pub fn advance_to(&self, to: Timestamp) {
        self.micros.fetch_max(to.as_microsecond() as u64, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::SeqCst) as i64).expect("within range")
    }

    async fn sleep_until(&self, until: Timestamp) {
        while self.now() < until {
            std::future::pending::<()>().await;
        }
    }

    fn roll(&self) -> f64 {
        0.5
    }

    fn rotation_id(&self) -> RotationId {
        RotationId::new(uuid::Uuid::from_u128(0x7000_0000 + u128::from(self.ids.fetch_add(1, Ordering::SeqCst))))
    }
}

/// What goes wrong at one call to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The target refuses, nothing happened.
    Refused,
    /// The target refuses the value, where it is asked to take one.
    BadValue,
    /// It happened, but the answer was lost.
    LostAnswer,
    /// It did not happen, and nobody knows.
    LostRequest,
}

/// Accounts and their passwords; no password means no login.
#[derive(Default)]
pub struct Bank {
    pub accounts: Mutex<BTreeMap<String, Option<String>>>,
    /// Trouble by the number of the call, counted over all calls that answer with a result.
    pub troubles: Mutex<BTreeMap<u64, Trouble>>,
    pub calls: AtomicU64,
    pub sessions: AtomicU64,
}

impl Bank {
    pub fn open(accounts: &[(&str, Option<&str>)]) -> Arc<Self> {
        let bank = Bank::default();
        *bank.accounts.lock().expect("not poisoned") =
            accounts.iter().map(|(user, password)| ((*user).to_owned(), password.map(str::to_owned))).collect();
        Arc::new(bank)
    }

    pub fn accepts(&self, credential: &Bundle) -> bool {
        let username = credential.username().expect("test bundles have one");
        let held = self.accounts.lock().expect("not poisoned").get(&username).cloned().flatten();
        held.is_some_and(|held| credential.password().expect("test bundles have one").expose(|given| given == held))
    }

    fn set(&self, credential: &Bundle, on: bool) {
        let username = credential.username().expect("test bundles have one");
        let password = on.then(|| credential.password().expect("test bundles have one").expose(str::to_owned));
        self.accounts.lock().expect("not poisoned").insert(username, password);
    }

    /// Runs a change with whatever trouble is planned for it.
    fn change(&self, change: impl FnOnce()) -> Result<(), RotatorError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let trouble = self.troubles.lock().expect("not poisoned").get(&number).copied();
        match trouble {
            None => {
                change();
                Ok(())
            }
            Some(Trouble::Refused) => Err(RotatorError::not_done(Retry::Now, "refused", "refused")),
            Some(Trouble::BadValue) => Err(RotatorError::not_done(Retry::Now, "bad-value", "too plain")),
            Some(Trouble::LostAnswer) => {
                change();
                Err(RotatorError::unknown("cut", "line cut"))
            }
            Some(Trouble::LostRequest) => Err(RotatorError::unknown("cut", "line cut")),
        }
    }
}

#[async_trait]
impl Rotator for Bank {
    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "bank".into(),
            version: "1.0.0".into(),
            shapes: vec![Shape::InPlace, Shape::Alternating],
            origin: Origin::Engine,
            settings: Vec::new(),
            capabilities: Capabilities { usage: true, self_managed: true },
            derived_fields: Vec::new(),
        }
    }

    async fn preflight(&self, _: &Call<'_>, _: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        Ok(Vec::new())
    }

    async fn probe(&self, _: &Call<'_>, credential: &Bundle, _: &[&Bundle]) -> Answer {
        match self.change(|| ()) {
            Ok(()) if self.accepts(credential) => Answer::Yes,
            Ok(()) => Answer::No { reason: "wrong password".into() },
            Err(error) => Answer::Unknown(error),
        }
    }

    async fn apply(&self, _: &Call<'_>, candidate: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
        self.change(|| self.set(candidate, true)).map_err(|error| match error.code.as_str() {
            "bad-value" => RotatorError { retry: Retry::NewCandidate, ..error },
            _ => error,
        })
    }

    async fn verify(
        &self,
        _: &Call<'_>,
        candidate: &Bundle,
        _: Option<&Bundle>,
        _: &[Check],
    ) -> Result<(), RotatorError> {
        self.change(|| ())?;
        if self.accepts(candidate) {
            Ok(())
        } else {
            Err(RotatorError::not_done(Retry::Now, "login", "the candidate is refused"))
        }
    }

    async fn restore(&self, _: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.change(|| {
            self.set(candidate, false);
            if let Some(current) = current {
                self.set(current, true);
            }
        })
    }

    async fn usage(&self, _: &Call<'_>, _: &Bundle) -> Result<Usage, RotatorError> {
        self.change(|| ())?;
        Ok(Usage { sessions: self.sessions.load(Ordering::SeqCst) })
    }

    async fn revoke(
        &self,
        _: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        _: RevokeHow,
    ) -> Result<(), RotatorError> {
        let another = previous.username().expect("has one") != current.username().expect("has one");
        self.change(|| {
            if another {
                self.set(previous, false);
            }
        })?;
        assert!(!self.accepts(previous), "revoked, yet accepted");
        Ok(())
    }
}

/// A policy for the bank.
pub fn policy(strategy: policies::Strategy) -> policies::Policy {
    policies::Policy {
        name: "test".into(),
        owner: None,
        labels: BTreeMap::new(),
        rotator: "bank".into(),
        target: serde_json::Map::new(),
        admin: policies::AdminSource::Own,
        strategy,
        secret: policies::SecretSpec { name: "app/db".into(), fields: vec!["username".into(), "password".into()] },
        adopt: policies::Adopt::Keep,
        schedule: policies::Schedule {
            trigger: policies::Trigger::Every(Duration::from_secs(30 * 86_400)),
            timezone: TimeZone::UTC,
            window: None,
            jitter: Duration::ZERO,
            freezes: Vec::new(),
        },
        max_age: None,
        generate: policies::Generate {
            length: 40,
            charset: "uri-safe".into(),
            require: Vec::new(),
            exclude: String::new(),
            first: policies::FirstCharacter::Any,
        },
        verify: vec![policies::Check::Login],
        revoke: policies::Revoke {
            after: Duration::ZERO,
            when: policies::RevokeWhen::Always,
            deadline: Duration::from_secs(3600),
            on_deadline: policies::OnDeadline::Revoke,
            disable: false,
            terminate_sessions: false,
        },
        on_failure: policies::OnFailure {
            attempts: 3,
            backoff: policies::Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) },
            then: policies::Exhausted::RollBack,
        },
        file: PathBuf::from("test.yaml"),
        digest: "0".repeat(64),
    }
}

pub fn in_place() -> policies::Policy {
    policy(policies::Strategy::InPlace { user: "app".into() })
}

pub fn alternating() -> policies::Policy {
    policy(policies::Strategy::Alternating {
        users: ["app_a".into(), "app_b".into()],
        grant_parity: policies::GrantParity::Require,
        create_missing: false,
    })
}
