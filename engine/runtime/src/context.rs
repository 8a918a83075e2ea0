//! What the effects of one rotation need: its policy, rotator and stores, and the candidate while it is in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use keywheel_core::{Failure, NewRotation, Retry, State};
use keywheel_policies::Policy;
use keywheel_sdk::{Bundle, Call, Effect, Origin, Rotator, RotatorError, Target};
use keywheel_secrets::{Label, SecretStore, SecretsError, Selector};

use crate::account::target_of;
use crate::lease::Keeper;
use crate::step::Outcome;
use crate::{Clock, Engine};

/// One rotation at work in this process.
pub(crate) struct Context<'a> {
    pub engine: &'a Engine,
    pub policy: &'a Policy,
    pub rotator: Arc<dyn Rotator>,
    /// Who makes the values.
    pub origin: Origin,
    pub fixed: NewRotation,
    pub fence: u64,
    pub keeper: Arc<Keeper>,
    /// Until when the step at work may call its target; set when its intent was about to be written.
    pub until: Mutex<Instant>,
    /// The value that `generate` made, until `stage` made it durable; afterwards a copy that saves reading it back.
    /// Written by `generate`, read by the later steps of the same turn.
    pub candidate: Mutex<Option<(u32, Arc<Bundle>)>>,
}

impl Context<'_> {
    pub fn secrets(&self) -> &dyn SecretStore {
        self.engine.secrets.as_ref()
    }

    pub fn clock(&self) -> &dyn Clock {
        self.engine.clock.as_ref()
    }

    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// Gives the step at work its time, counted from `began`.
    pub fn set_time(&self, began: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = began + self.engine.limits.step;
    }

    /// Until when the step at work may act: within its own time, and within the lease.
    pub fn until(&self) -> Instant {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.min(Instant::now() + self.keeper.left(self.now()))
    }

    /// The target, with the admin's credential as it is at this moment: it may itself have been rotated meanwhile.
    pub async fn target(&self) -> Result<Target, Failure> {
        target_of(self.policy, self.secrets(), &self.engine.environment)
            .await
            .map_err(|error| Failure::new("admin", error.to_string(), Retry::Now))
    }

    /// The frame of a call.
    pub fn call<'t>(&self, target: &'t Target, rotation: &'t str) -> Call<'t> {
        Call { target, rotation, fence: self.fence, until: self.until() }
    }

    /// Keeps a value just made.
    pub fn keep_candidate(&self, number: u32, bundle: Bundle) {
        *self.candidate.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, Arc::new(bundle)));
    }

    /// The candidate, if this turn made it.
    pub fn candidate_in_memory(&self, number: u32) -> Option<Arc<Bundle>> {
        let held = self.candidate.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(held, _)| *held == number).map(|(_, bundle)| Arc::clone(bundle))
    }

    /// The candidate: from memory, else from the store.
    pub async fn candidate(&self, number: u32) -> Result<Arc<Bundle>, Failure> {
        if let Some(bundle) = self.candidate_in_memory(number) {
            return Ok(bundle);
        }
        let version = self.fixed.version(number);
        match self.secrets().read(&self.fixed.secret, Selector::Version(&version)).await {
            Ok(Some(stored)) => Ok(Arc::new(stored.bundle)),
            Ok(None) => Err(Failure::new(
                "candidate-missing",
                format!("the secret store does not hold version {version}; was the file replaced by an older copy?"),
                Retry::Never,
            )),
            Err(error) => Err(reading_failed(error)),
        }
    }

    /// The version that was `CURRENT` when this rotation began, if there was one and it is still held.
    pub async fn replaced(&self) -> Result<Option<Bundle>, Failure> {
        let Some(version) = &self.fixed.replaces else { return Ok(None) };
        let stored =
            self.secrets().read(&self.fixed.secret, Selector::Version(version)).await.map_err(reading_failed)?;
        Ok(stored.map(|stored| stored.bundle))
    }

    /// `CURRENT`, which must still be what this rotation replaces. Else a person has put another value, perhaps for the very
    /// account that would be changed.
    pub async fn still_current(&self) -> Result<Option<Bundle>, Failure> {
        let (version, bundle) = self.current().await?.unzip();
        if version == self.fixed.replaces {
            return Ok(bundle);
        }
        let message = "CURRENT has changed since this rotation was ordered; order it again";
        Err(Failure::new("current-changed", message, Retry::Never))
    }

    /// What `CURRENT` is now, with its version.
    pub async fn current(&self) -> Result<Option<(String, Bundle)>, Failure> {
        let stored = self.secrets().read(&self.fixed.secret, Selector::Label(Label::Current)).await;
        Ok(stored.map_err(reading_failed)?.map(|stored| (stored.version, stored.bundle)))
    }

    /// When the grace period after promotion is over, which counts from when consumers have taken over, where there are any.
    pub fn grace_over(&self, state: &State) -> Timestamp {
        let since = state.consumed_at.or(state.promoted_at).unwrap_or_else(|| self.now());
        keywheel_core::decide::later(since, self.policy.revoke.after)
    }
}

/// Reading changes nothing, so its failure is certain; it passes unless the store itself is damaged.
pub(crate) fn reading_failed(error: SecretsError) -> Failure {
    let retry = match &error {
        SecretsError::Unavailable(_) => Retry::Now,
        SecretsError::Conflict { .. } | SecretsError::Corrupt { .. } | SecretsError::Invalid(_) => Retry::Never,
    };
    Failure::new("secret-store", error.to_string(), retry)
}

/// A write to the secret store that did not answer `Ok`.
pub(crate) fn writing_failed(error: SecretsError) -> Outcome {
    match error {
        SecretsError::Unavailable(_) => Outcome::Unknown(Failure::new("secret-store", error.to_string(), Retry::Now)),
        SecretsError::Conflict { .. } | SecretsError::Corrupt { .. } | SecretsError::Invalid(_) => {
            Outcome::NotApplied(Failure::new("secret-store", error.to_string(), Retry::Never))
        }
    }
}

/// A rotator's error in the engine's words.
pub(crate) fn failure_of(error: &RotatorError) -> Failure {
    let retry = match error.retry {
        keywheel_sdk::Retry::Now => Retry::Now,
        keywheel_sdk::Retry::After(pause) => Retry::After(pause),
        keywheel_sdk::Retry::NewCandidate => Retry::NewCandidate,
        keywheel_sdk::Retry::Never => Retry::Never,
    };
    Failure::new(&error.code, error.message.clone(), retry)
}

/// The outcome of a call that changes the target.
pub(crate) fn outcome_of(error: &RotatorError) -> Outcome {
    match error.effect {
        Effect::None => Outcome::NotApplied(failure_of(error)),
        Effect::Unknown => Outcome::Unknown(failure_of(error)),
    }
}

/// Keeps a call to the time of its step. It is not even begun once that is over: this process may have slept since it wrote
/// its intent, and another may be at work. Past the time, nobody knows.
pub(crate) async fn within<T>(
    cx: &Context<'_>,
    call: impl Future<Output = Result<T, RotatorError>>,
) -> Result<T, RotatorError> {
    let until = cx.until();
    if until <= Instant::now() {
        let message = "the time of this step was over before the target was called";
        return Err(RotatorError::not_done(keywheel_sdk::Retry::Now, "deadline", message));
    }
    tokio::time::timeout_at(until.into(), call)
        .await
        .unwrap_or_else(|_| Err(RotatorError::unknown("deadline", "no answer within the time of this step")))
}
