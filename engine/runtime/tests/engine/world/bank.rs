//! The SDK's target in memory behind a rotator of its own: it goes wrong as planned, remembers each call, and refuses to be fooled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use keywheel_sdk::double::DoubleTarget;
use keywheel_sdk::{
    Answer, Bundle, Call, Capabilities, Check, Descriptor, Effect, Finding, Origin, Retry, RevokeHow, Rotator,
    RotatorError, Shape, Usage,
};

/// What goes wrong at one call to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The target refuses, nothing happened.
    Refused,
    /// The same, and only a person can mend it.
    RefusedForGood,
    /// The target refuses the value, where it is asked to take one.
    BadValue,
    /// It happened, but the answer was lost.
    LostAnswer,
    /// It did not happen, and nobody knows.
    LostRequest,
    /// It did not happen, nobody knows, and the last word heard was that another value would help.
    LostBadValue,
    /// It did not happen, but the answer says so.
    Lie,
    /// It never answers.
    Silence,
    /// The rotator has a bug.
    Panic,
}

/// Accounts and their passwords; no password means no login. A provider makes both itself, and what it made carries a tag.
#[derive(Default)]
pub struct Bank {
    pub is_provider: bool,
    target: DoubleTarget,
    /// Trouble by the number of the call, counted from 0 over all calls.
    pub troubles: Mutex<BTreeMap<u64, Trouble>>,
    /// Trouble by the verb and the number of its call, counted from 0.
    planned: Mutex<BTreeMap<(&'static str, u64), Trouble>>,
    /// Each call: the verb and the account.
    calls: Mutex<Vec<(&'static str, String)>>,
    /// As whom each call came.
    admins: Mutex<Vec<String>>,
    /// The logins that `verify` saw to work and that were not changed since.
    verified: Mutex<BTreeSet<(String, String)>>,
    /// The greatest fence that came with a call, by the accounts that it was for.
    fences: Mutex<BTreeMap<Vec<String>, u64>>,
    pub sessions: AtomicU64,
    /// When any account was last used, in seconds since 1970; 0 for never.
    pub last_used: AtomicU64,
    /// Where it says that it is, beside its settings.
    place: Mutex<String>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn login(credential: &Bundle) -> (String, String) {
    let password = credential.password().expect("test bundles have one").expose(str::to_owned);
    (credential.username().expect("test bundles have one"), password)
}

impl Bank {
    pub fn open(accounts: &[(&str, Option<&str>)]) -> Arc<Self> {
        let target = accounts.iter().fold(DoubleTarget::new(), |target, (user, password)| match password {
            Some(password) => target.with(&super::login(user, password)),
            None => target.with_idle(user),
        });
        Arc::new(Bank { target, ..Bank::default() })
    }

    /// Moves it elsewhere; says where it was.
    pub fn at(&self, place: &str) -> String {
        std::mem::replace(&mut lock(&self.place), place.to_owned())
    }

    /// As whom each call came, in order.
    pub fn admins(&self) -> Vec<String> {
        lock(&self.admins).clone()
    }

    /// The same, but it makes the accounts itself.
    pub fn provider(accounts: &[(&str, Option<&str>)]) -> Arc<Self> {
        let mut bank = Bank::open(accounts);
        Arc::get_mut(&mut bank).expect("just made").is_provider = true;
        bank
    }

    /// A request of long ago gets there at last: a provider makes one more account for this rotation.
    pub fn arrives_late(&self, rotation: &str) {
        self.target.make_for(rotation);
    }

    /// The accounts that work and were made for this rotation.
    pub fn made_for(&self, rotation: &str) -> Vec<String> {
        let working = self.working();
        self.target.made_for(rotation).into_iter().filter(|name| working.contains(name)).collect()
    }

    /// The accounts that somebody can log in to.
    pub fn working(&self) -> BTreeSet<String> {
        self.target.accounts().into_iter().filter_map(|(name, credential)| credential.map(|_| name)).collect()
    }

    pub fn accepts(&self, credential: &Bundle) -> bool {
        self.target.accepts(credential)
    }

    /// Whether `verify` saw this very login work, and nobody changed the account since.
    pub fn has_verified(&self, credential: &Bundle) -> bool {
        lock(&self.verified).contains(&login(credential))
    }

    /// Sets or takes away an account's password; also what a person does by hand.
    pub fn set(&self, credential: &Bundle, on: bool) {
        let (username, _) = login(credential);
        lock(&self.verified).retain(|(account, _)| *account != username);
        if on {
            self.target.set(credential);
        } else {
            self.target.lock_out(&username);
        }
    }

    /// Lets the call of this verb with this number, from 0, go wrong.
    pub fn plan(&self, verb: &'static str, numbers: impl IntoIterator<Item = u64>, trouble: Trouble) {
        lock(&self.planned).extend(numbers.into_iter().map(|number| ((verb, number), trouble)));
    }

    /// The calls so far: `apply app_b`.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.calls).iter().map(|(verb, account)| format!("{verb} {account}")).collect()
    }

    /// How often this verb was called.
    pub fn count(&self, verb: &str) -> usize {
        lock(&self.calls).iter().filter(|(called, _)| *called == verb).count()
    }

    /// Runs a change with whatever trouble is planned for it.
    async fn call(
        &self,
        call: &Call<'_>,
        verb: &'static str,
        credential: &Bundle,
        change: impl FnOnce() + Send,
    ) -> Result<(), RotatorError> {
        let before = lock(&self.fences).insert(call.target.strategy.users().to_vec(), call.fence);
        assert!(before <= Some(call.fence), "{verb} by a worker whose lease was taken over: {before:?} was here");
        assert!(!call.left(Instant::now()).is_zero(), "{verb} after its time");
        lock(&self.admins).push(match &call.target.admin {
            keywheel_sdk::Admin::Credential(admin) => login(admin).0,
            keywheel_sdk::Admin::Own => "itself".to_owned(),
        });
        let trouble = {
            let mut calls = lock(&self.calls);
            let of_verb = calls.iter().filter(|(called, _)| *called == verb).count() as u64;
            let number = calls.len() as u64;
            calls.push((verb, login(credential).0));
            let planned = lock(&self.planned).get(&(verb, of_verb)).copied();
            planned.or_else(|| lock(&self.troubles).get(&number).copied())
        };
        match trouble {
            None => change(),
            Some(Trouble::Lie) => {}
            Some(Trouble::Refused) => return Err(RotatorError::not_done(Retry::Now, "refused", "refused")),
            Some(Trouble::RefusedForGood) => return Err(RotatorError::not_done(Retry::Never, "refused", "for good")),
            Some(Trouble::BadValue) => {
                let retry = if verb == "apply" { Retry::NewCandidate } else { Retry::Now };
                return Err(RotatorError::not_done(retry, "bad-value", "too plain"));
            }
            Some(Trouble::LostAnswer) => {
                change();
                return Err(RotatorError::unknown("cut", "line cut"));
            }
            Some(Trouble::LostBadValue) if verb == "apply" => {
                return Err(RotatorError {
                    effect: Effect::Unknown,
                    retry: Retry::NewCandidate,
                    code: "cut".into(),
                    message: "line cut".into(),
                });
            }
            Some(Trouble::LostRequest | Trouble::LostBadValue) => return Err(RotatorError::unknown("cut", "line cut")),
            Some(Trouble::Silence) => std::future::pending().await,
            Some(Trouble::Panic) => panic!("planned: {verb} panics"),
        }
        Ok(())
    }
}

#[async_trait]
impl Rotator for Bank {
    fn describe(&self) -> Descriptor {
        Descriptor {
            kind: "bank".into(),
            version: "1.0.0".into(),
            shapes: vec![Shape::InPlace, Shape::Alternating, Shape::Overlapping],
            origin: if self.is_provider { Origin::Provider } else { Origin::Engine },
            settings: ["branch", "opening_hours"]
                .map(|name| keywheel_sdk::Setting {
                    name: name.to_owned(),
                    kind: keywheel_sdk::SettingKind::Texts,
                    required: false,
                    help: String::new(),
                    names_target: name == "branch",
                })
                .into(),
            capabilities: Capabilities { usage: true, last_used: true, disable: true, self_managed: true },
            derived_fields: Vec::new(),
        }
    }

    fn place(&self, _: &serde_json::Map<String, serde_json::Value>) -> keywheel_sdk::Place {
        keywheel_sdk::Place { owner: lock(&self.place).clone(), mark: String::new() }
    }

    async fn preflight(&self, _: &Call<'_>, _: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        Ok(Vec::new())
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, _: &[&Bundle]) -> Answer {
        match self.call(call, "probe", credential, || ()).await {
            Ok(()) if self.accepts(credential) => Answer::Yes,
            Ok(()) => Answer::No { reason: "wrong password".into() },
            Err(error) => Answer::Unknown(error),
        }
    }

    async fn generate(&self, call: &Call<'_>, _: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        assert!(self.made_for(call.rotation).is_empty(), "another is made before the earlier one was swept away");
        let promised = super::login(&format!("key-{}", self.target.made()), "of a lie");
        let mut made = None;
        self.call(call, "generate", &promised, || made = Some(self.target.make_for(call.rotation))).await?;
        Ok(made.unwrap_or(promised))
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        let kept: Vec<String> = keep.iter().map(|bundle| login(bundle).0).collect();
        self.call(call, "sweep", &super::login("all", ""), || {
            let mut mine = self.made_for(call.rotation);
            earlier.iter().for_each(|rotation| mine.extend(self.made_for(rotation)));
            mine.retain(|account| !kept.contains(account));
            self.target.delete(&mine);
        })
        .await
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
        if self.is_provider {
            self.call(call, "apply", candidate, || ()).await?;
            let gone = || RotatorError::not_done(Retry::Now, "gone", "the key is gone");
            return if self.accepts(candidate) { Ok(()) } else { Err(gone()) };
        }
        self.call(call, "apply", candidate, || self.set(candidate, true)).await
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        _: Option<&Bundle>,
        _: &[Check],
    ) -> Result<(), RotatorError> {
        self.call(call, "verify", candidate, || ()).await?;
        if !self.accepts(candidate) {
            return Err(RotatorError::not_done(Retry::Now, "login", "the candidate is refused"));
        }
        lock(&self.verified).insert(login(candidate));
        Ok(())
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.call(call, "restore", candidate, || {
            self.set(candidate, false);
            if let Some(current) = current.filter(|_| !self.is_provider) {
                self.set(current, true);
            }
        })
        .await
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        self.call(call, "usage", credential, || ()).await?;
        Ok(Usage { sessions: self.sessions.load(Ordering::SeqCst) })
    }

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        self.call(call, "last-used", credential, || ()).await?;
        let seconds = self.last_used.load(Ordering::SeqCst);
        Ok((seconds > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        assert_ne!(login(previous).0, login(current).0, "the live account is disabled");
        self.call(call, "disable", previous, || self.set(previous, false)).await
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        _: RevokeHow,
    ) -> Result<(), RotatorError> {
        let another = login(previous).0 != login(current).0;
        self.call(call, "revoke", previous, || {
            if another {
                self.set(previous, false);
            }
        })
        .await?;
        assert!(!self.accepts(previous), "revoked, yet accepted");
        Ok(())
    }
}
