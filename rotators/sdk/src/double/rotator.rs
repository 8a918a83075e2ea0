//! The rotator of a target in memory.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::target::{DoubleTarget, Fault, name};
use crate::{
    Admin, Answer, Bundle, Call, Capabilities, Check, Descriptor, Finding, Origin, PASSWORD, Place, Retry, RevokeHow,
    Rotator, RotatorError, Settings, Severity, Shape, Strategy, USERNAME, Usage,
};

/// What a policy may write for a double.
#[derive(Settings)]
struct DoubleSettings {
    /// which double is meant, where there are several
    #[setting(names_target)]
    name: Option<String>,
}

/// Rotates the accounts of a [`DoubleTarget`], in every shape, or the keys that it makes.
///
/// Each change is made in one piece within one call, so nothing of a call can happen after it. It counts sessions, disables,
/// and lets accounts change themselves; it knows no last use.
pub struct DoubleRotator {
    target: Arc<DoubleTarget>,
    origin: Origin,
    now: fn() -> Instant,
}

impl DoubleRotator {
    /// `now` is what calls' deadlines are held against: `Instant::now`, or the clock of a test.
    pub fn new(target: Arc<DoubleTarget>, origin: Origin, now: fn() -> Instant) -> Self {
        DoubleRotator { target, origin, now }
    }

    /// What it rotates.
    pub fn target(&self) -> &Arc<DoubleTarget> {
        &self.target
    }

    fn makes(&self) -> bool {
        match self.origin {
            Origin::Provider => true,
            Origin::Engine => false,
        }
    }

    /// Whether this call may still act, and comes from somebody who may. `Admin::Own` is asked when something is to be changed.
    fn admit(&self, call: &Call<'_>) -> Result<(), RotatorError> {
        DoubleSettings::read(&call.target.settings)?;
        if call.left((self.now)()).is_zero() {
            return Err(RotatorError::not_done(Retry::Now, "deadline", "the time of this call is over"));
        }
        match &call.target.admin {
            Admin::Credential(admin) if !self.target.believes(admin) => {
                Err(refused("the admin's credential is refused: give the one that the target knows"))
            }
            Admin::Credential(_) | Admin::Own => Ok(()),
        }
    }

    /// Makes a change, in the name of the admin or of one of these, and meets whatever fault is ordered.
    fn change<T>(&self, call: &Call<'_>, own: &[&Bundle], change: impl FnOnce() -> T) -> Result<T, RotatorError> {
        match &call.target.admin {
            // Also who is disabled may end what is left of it.
            Admin::Own if !own.iter().any(|credential| self.holds(credential)) => {
                return Err(refused("none of the account's own credentials is right, so it cannot change itself"));
            }
            Admin::Own | Admin::Credential(_) => {}
        }
        let cut = || RotatorError::unknown("cut", "the line to the double broke");
        match self.target.next_fault() {
            None => Ok(change()),
            Some(Fault::Before) => Err(cut()),
            Some(Fault::After) => {
                change();
                Err(cut())
            }
        }
    }

    /// Only credentials of the account that is changed may change it.
    fn of_account<'a>(account: &str, all: &[Option<&'a Bundle>]) -> Vec<&'a Bundle> {
        all.iter().flatten().filter(|credential| name(credential) == account).copied().collect()
    }

    /// Whether the target knows this value, disabled or not.
    fn holds(&self, credential: &Bundle) -> bool {
        self.target.look(&name(credential), |account| account.is_some_and(|account| account.holds(credential)))
    }

    /// Nothing is ended before its successor works, and the live one never.
    fn may_end(&self, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        if previous.same_as(current) {
            return Err(RotatorError::not_done(Retry::Never, "live", "this is the live credential: it stays"));
        }
        if !self.target.accepts(current) {
            return Err(refused("the live credential is refused, so the previous one stays"));
        }
        Ok(())
    }
}

#[async_trait]
impl Rotator for DoubleRotator {
    fn describe(&self) -> Descriptor {
        let (shapes, derived_fields) = match self.origin {
            Origin::Engine => (vec![Shape::InPlace, Shape::Alternating, Shape::Overlapping], Vec::new()),
            Origin::Provider => (vec![Shape::Overlapping], vec![USERNAME.to_owned(), PASSWORD.to_owned()]),
        };
        Descriptor {
            kind: "double".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shapes,
            origin: self.origin,
            settings: DoubleSettings::schema(),
            capabilities: Capabilities { usage: true, disable: true, self_managed: true, ..Capabilities::default() },
            derived_fields,
        }
    }

    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        DoubleSettings::read(settings).map(drop).map_err(|error| error.message)
    }

    fn place(&self, settings: &Map<String, Value>) -> Place {
        let owner = DoubleSettings::read(settings).ok().and_then(|settings| settings.name).unwrap_or_default();
        Place { owner, mark: String::new() }
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let finding =
            |severity, what: &str, hint: &str| Finding { severity, what: what.to_owned(), hint: hint.to_owned() };
        let admin = match self.admit(call) {
            Ok(()) => finding(Severity::Fine, "the admin is known", ""),
            Err(error) => finding(Severity::Error, &error.message, ""),
        };
        let live = match current.map(|current| self.target.accepts(current)) {
            Some(false) => finding(Severity::Error, "the live credential is refused", "put one that works"),
            Some(true) => finding(Severity::Fine, "the live credential is accepted", ""),
            None => finding(Severity::Warning, "there is no live credential", ""),
        };
        Ok(vec![admin, live])
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, _: &[&Bundle]) -> Answer {
        if let Err(error) = self.admit(call) {
            return Answer::Unknown(error);
        }
        let reason = self.target.look(&name(credential), |account| match account {
            None => Some("there is no such account"),
            Some(account) if !account.holds(credential) => Some("wrong password"),
            Some(account) if account.disabled => Some("the account is disabled"),
            Some(_) => None,
        });
        reason.map_or(Answer::Yes, |reason| Answer::No { reason: reason.to_owned() })
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        if !self.makes() {
            return Err(RotatorError::not_done(
                Retry::Never,
                "unsupported",
                "the engine makes the passwords of a double",
            ));
        }
        self.admit(call)?;
        let own: Vec<_> = current.into_iter().collect();
        self.change(call, &own, || self.target.make_for(call.rotation))
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        self.admit(call)?;
        let rotations = earlier.iter().map(String::as_str).chain([call.rotation]);
        let mut doomed: Vec<_> = rotations.flat_map(|rotation| self.target.made_for(rotation)).collect();
        doomed.retain(|key| !keep.iter().any(|kept| name(kept) == *key));
        if doomed.is_empty() {
            return Ok(());
        }
        self.change(call, keep, || self.target.delete(&doomed))
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.admit(call)?;
        if self.target.accepts(candidate) {
            return Ok(());
        }
        if self.makes() {
            return Err(RotatorError::not_done(Retry::Never, "gone", "the target does not know this key any more"));
        }
        let (account, _) = (candidate.username()?, candidate.password()?);
        let creates = match &call.target.strategy {
            Strategy::InPlace { .. } => false,
            Strategy::Alternating { create_missing, .. } => *create_missing,
            Strategy::Overlapping => true,
        };
        if !creates && !self.target.look(&account, |account| account.is_some()) {
            let message = format!("there is no account `{account}`: make it, or say `create_missing`");
            return Err(RotatorError::not_done(Retry::Never, "no-account", message));
        }
        self.change(call, &Self::of_account(&account, &[current]), || self.target.set(candidate))
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        _: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        self.admit(call)?;
        for check in checks {
            match check {
                Check::Login => {}
                Check::Sql(_) => {
                    return Err(RotatorError::not_done(Retry::Never, "unsupported", "a double knows no SQL"));
                }
            }
        }
        if self.target.accepts(candidate) { Ok(()) } else { Err(refused("the candidate is refused")) }
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.admit(call)?;
        let account = candidate.username()?;
        if self.makes() {
            if !self.target.look(&account, |account| account.is_some()) {
                return Ok(());
            }
            let own: Vec<_> = current.into_iter().chain([candidate]).collect();
            return self.change(call, &own, || self.target.delete(&[account]));
        }
        let back = current.filter(|current| !self.target.accepts(current));
        if !self.holds(candidate) && back.is_none() {
            return Ok(());
        }
        let own = Self::of_account(&account, &[current, Some(candidate)]);
        self.change(call, &own, || match back {
            // In one piece, where it is one account.
            Some(current) if name(current) == account => self.target.set(current),
            Some(current) => {
                // Another value than the candidate is somebody else's.
                if self.holds(candidate) {
                    self.target.lock_out(&account);
                }
                self.target.set(current);
            }
            None => self.target.lock_out(&account),
        })
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        self.admit(call)?;
        let sessions = self.target.look(&name(credential), |account| account.map_or(0, |account| account.sessions));
        Ok(Usage { sessions })
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        self.admit(call)?;
        self.may_end(previous, current)?;
        if !self.target.accepts(previous) {
            return Ok(());
        }
        self.change(call, &[previous, current], || {
            self.target.alter(&name(previous), |account| account.disabled = true)
        })
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        self.admit(call)?;
        self.may_end(previous, current)?;
        let account = name(previous);
        if !self.holds(previous) {
            return Ok(());
        }
        if self.makes() {
            return self.change(call, &[current, previous], || self.target.delete(&[account]));
        }
        self.change(call, &Self::of_account(&account, &[Some(previous)]), || {
            self.target.alter(&account, |account| {
                account.password = None;
                account.disabled |= how.disable;
                if how.terminate_sessions {
                    account.sessions = 0;
                }
            });
        })
    }
}

/// Nothing was done, and only a person can help.
fn refused(message: &str) -> RotatorError {
    RotatorError::not_done(Retry::Never, "login", message)
}
