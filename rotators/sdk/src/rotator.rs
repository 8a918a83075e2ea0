//! The trait that each rotator implements.

use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Bundle, Call, Check, Descriptor, RevokeHow, RotatorError, Secret};

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The target accepts this credential now.
    Yes,
    /// The target refuses it: wrong password, no such account, login forbidden.
    No { reason: String },
    /// Some parts of the target accept it and others refuse it, such as the replicas of an availability group: neither a
    /// yes nor a no, and taking the step again makes it one.
    Partly { reason: String },
    /// No answer could be had. It is never read as a no.
    Unknown(RotatorError),
}

/// Which accounts are meant, in one spelling whatever way it was written in. No secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Whose accounts, and at what address, with defaults filled in. Empty where the settings say it all.
    pub owner: String,
    /// How what a rotation makes is told from what others made. Empty where nothing is made.
    pub mark: String,
}

/// How much a finding of [`Rotator::preflight`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A rotation would fail.
    Error,
    /// A rotation would work, but somebody should know.
    Warning,
    /// Seen and fine.
    Fine,
}

/// One thing that `preflight` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    /// What was found, as a sentence fragment.
    pub what: String,
    /// What to do about it, such as the `GRANT` to run. Empty where nothing is to be done.
    pub hint: String,
}

/// Who still uses a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Open sessions of the account.
    pub sessions: u64,
}

/// Changes one kind of credential at one kind of target.
///
/// Rules for all calls:
/// - Each call may come again with the same `call.rotation` and the same values, from another process, after any crash. It
///   then ends in the same state as one call.
/// - Each call keeps to `call.until`, and begins no change after it. A dropped future counts as an unknown outcome.
/// - `Err` with [`crate::Effect::None`] is a promise that nothing changed.
/// - The account to act on is the `username` field of the credential given, never guessed.
/// - No secret value in errors, logs, or statement texts where the protocol has another way.
#[async_trait]
pub trait Rotator: Send + Sync {
    /// What this rotator is. Constant.
    fn describe(&self) -> Descriptor;

    /// What is wrong with a policy's `target:` whose settings are each of the declared kind: one sentence, with what to write
    /// instead. Asked when a policy is read, so it opens nothing.
    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        let _ = settings;
        Ok(())
    }

    /// What says which accounts are meant beside the settings with [`crate::Setting::names_target`], such as the address that
    /// a declaration makes of them. No secret. While it differs, a rotation that is under way rests.
    fn place(&self, settings: &Map<String, Value>) -> Place {
        let _ = settings;
        Place::default()
    }

    /// Read-only. Can the admin connect, has it the rights, do the accounts exist? All findings, not the first.
    /// `current` is the live credential, where there is one.
    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError>;

    /// One of [`crate::Descriptor::derived_fields`] where the engine makes the value: a field made of the others, such as `dsn`. `None`
    /// for a field that it does not know. It asks nothing of the target.
    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        let _ = (call, credential, field);
        Ok(None)
    }

    /// Read-only: does the target accept `credential` now? Costs no failed login where the admin can be asked instead.
    /// `others` are credentials of the same account that may work (for `admin: self`).
    /// Before it answers `No`, late effects of earlier calls for this account can no longer happen.
    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer;

    /// Only where [`crate::Origin::Provider`]: makes the value, tagged with `call.rotation`. `current` is untouched. The engine
    /// has called [`Rotator::sweep`] just before, so an earlier try leaves nothing behind.
    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        let _ = (call, current);
        Err(RotatorError::not_done(crate::Retry::Never, "unsupported", "this rotator does not make values itself"))
    }

    /// Only where [`crate::Origin::Provider`]: deletes all that carries the tag of `call.rotation` or of one of the rotations
    /// `earlier`, and is none of `keep`, and sees that it is gone. A `generate` whose answer was lost made a value that nobody
    /// holds; this is what finds it. `keep` is what the secret store holds, the live credential first where there is one.
    /// Never touches what has another tag or none. Fine if there is nothing.
    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        let _ = (call, earlier, keep);
        Ok(())
    }

    /// Makes the target accept `candidate`. Afterwards `probe(candidate)` is `Yes`.
    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError>;

    /// Logs in as the application would and runs the checks, changing nothing. Grant parity belongs here.
    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError>;

    /// Undoes `apply`: afterwards the target refuses `candidate`, and accepts `current` where there is one. Fine if `apply`
    /// never happened.
    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError>;

    /// Read-only: who still uses `credential`.
    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError>;

    /// Only where [`crate::Capabilities::last_used`]. Read-only: when `credential` was last used, as far as the target knows;
    /// `None` if never.
    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        let _ = (call, credential);
        Err(RotatorError::not_done(crate::Retry::Never, "unsupported", "this rotator does not know when one was used"))
    }

    /// Only where [`crate::Capabilities::disable`]. Makes the target refuse `previous` for now, in a way that a person can undo
    /// at the target, and sees that it is refused. Fine if it already is, or is gone. `current` keeps working throughout.
    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        let _ = (call, previous, current);
        Err(RotatorError::not_done(crate::Retry::Never, "unsupported", "this rotator cannot disable a credential"))
    }

    /// Makes the target refuse `previous`, and proves it. Fine if it already does. `current` keeps working throughout.
    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError>;
}
