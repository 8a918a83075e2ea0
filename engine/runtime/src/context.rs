//! What the effects of one rotation need: its policy, rotator and stores, and the candidate while it is in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Failure, NewRotation, Retry, State};
use keywheel_policies::Policy;
use keywheel_sdk::{Bundle, Call, Effect, Rotator, RotatorError, Target};
use keywheel_secrets::{Label, SecretStore, SecretsError, Selector};

use crate::account::target_of;
use crate::step::Outcome;
use crate::{Clock, Engine};

/// One rotation at work in this process.
pub(crate) struct Context<'a> {
    pub engine: &'a Engine,
    pub policy: &'a Policy,
    pub rotator: Arc<dyn Rotator>,
    pub fixed: NewRotation,
    pub fence: u64,
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

    /// How long one call to a rotator may take.
    pub fn deadline(&self) -> Duration {
        self.engine.limits.step
    }

    /// The target, with the admin's credential as it is at this moment: it may itself have been rotated meanwhile.
    pub async fn target(&self) -> Result<Target, Failure> {
        target_of(self.policy, self.secrets(), &self.engine.environment)
            .await
            .map_err(|error| Failure::new("admin", error.to_string(), Retry::Now))
    }

    /// The frame of a call.
    pub fn call<'t>(&self, target: &'t Target, rotation: &'t str) -> Call<'t> {
        Call { target, rotation, fence: self.fence, deadline: self.deadline() }
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

    /// What `CURRENT` is now, with its version.
    pub async fn current(&self) -> Result<Option<(String, Bundle)>, Failure> {
        let stored = self.secrets().read(&self.fixed.secret, Selector::Label(Label::Current)).await;
        Ok(stored.map_err(reading_failed)?.map(|stored| (stored.version, stored.bundle)))
    }

    /// When the grace period after promotion is over.
    pub fn grace_over(&self, state: &State) -> Timestamp {
        keywheel_core::decide::later(state.promoted_at.unwrap_or_else(|| self.now()), self.policy.revoke.after)
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

/// Keeps a call to its deadline. Past it, nobody knows.
pub(crate) async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, RotatorError>>,
) -> Result<T, RotatorError> {
    tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
        Err(RotatorError::unknown("deadline", format!("no answer within {} s", deadline.as_secs_f32())))
    })
}
