//! Rotators with a bad habit: each does one thing wrong at every call, as a rotator would that was written so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use keywheel_sdk::{
    Answer, Bundle, Call, Capabilities, Check, Descriptor, Effect, Finding, RevokeHow, Rotator, RotatorError, Secret,
    Usage,
};
use serde_json::{Map, Value};

/// What a [`HabitualLiar`] does wrong. All else is the work of the honest one inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Habit {
    /// Keys are made with another tag than the rotation's.
    MakesUntagged,
    /// A lost answer to `generate` is told as if nothing had happened.
    DeniesTheUnknown,
    /// `sweep` succeeds and does nothing.
    SweepsNothing,
    /// `sweep` deletes what it is told to keep.
    KeepsNothing,
    /// `sweep` deletes nothing of the earlier rotations that it is told of.
    ForgetsEarlier,
    /// `sweep` also deletes keys of other rotations, and of none, that it has ever seen and is not told to keep.
    SweepsForeign,
    /// `restore` succeeds and does nothing.
    RestoresNothing,
    /// `revoke` succeeds and does nothing.
    RevokesNothing,
    /// `disable` succeeds and does nothing.
    DisablesNothing,
    /// `disable` deletes.
    DisablesForGood,
    /// It claims to know the last use of a credential, and has no answer.
    ClaimsLastUsed,
    /// It claims to know the last use of a credential, and always says this.
    SaysLastUsed(Option<SystemTime>),
}

/// A decorator over any rotator whose values the provider makes, for tests of the exam.
pub struct HabitualLiar<R> {
    inner: R,
    habit: Habit,
    /// All that `generate` made, with the rotation, or was shown, for [`Habit::SweepsForeign`].
    seen: Mutex<Vec<(Option<String>, Bundle)>>,
}

impl<R: Rotator> HabitualLiar<R> {
    /// Lies in this way only.
    pub fn new(inner: R, habit: Habit) -> Self {
        HabitualLiar { inner, habit, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(Option<String>, Bundle)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<R: Rotator> Rotator for HabitualLiar<R> {
    fn describe(&self) -> Descriptor {
        let honest = self.inner.describe();
        let claims = matches!(self.habit, Habit::ClaimsLastUsed | Habit::SaysLastUsed(_));
        let last_used = claims || honest.capabilities.last_used;
        Descriptor { capabilities: Capabilities { last_used, ..honest.capabilities }, ..honest }
    }

    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        self.inner.check_settings(settings)
    }

    fn place(&self, settings: &Map<String, Value>) -> keywheel_sdk::Place {
        self.inner.place(settings)
    }

    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        self.inner.derive_field(call, credential, field).await
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        self.inner.preflight(call, current).await
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        self.inner.probe(call, credential, others).await
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        let foreign = Call { rotation: "nobody", ..*call };
        let call = if self.habit == Habit::MakesUntagged { &foreign } else { call };
        let made = self.inner.generate(call, current).await;
        self.seen().extend(current.map(|current| (None, current.duplicate())));
        self.seen().extend(made.iter().map(|made| (Some(call.rotation.to_owned()), made.duplicate())));
        let denies = self.habit == Habit::DeniesTheUnknown;
        made.map_err(|error| if denies { RotatorError { effect: Effect::None, ..error } } else { error })
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        if self.habit == Habit::SweepsNothing {
            return Ok(());
        }
        let earlier = if self.habit == Habit::ForgetsEarlier { &[] } else { earlier };
        if self.habit == Habit::SweepsForeign {
            let mut seen = std::mem::take(&mut *self.seen());
            seen.retain(|(maker, key)| {
                maker.as_deref() != Some(call.rotation) && !keep.iter().any(|kept| kept.same_as(key))
            });
            for (_, key) in &seen {
                // One of another owner is not found, which is no trouble to this one.
                self.inner.restore(call, key, None).await.ok();
            }
        }
        let keep = if self.habit == Habit::KeepsNothing { &[] } else { keep };
        self.inner.sweep(call, earlier, keep).await
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.inner.apply(call, candidate, current).await
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        self.inner.verify(call, candidate, current, checks).await
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        if self.habit == Habit::RestoresNothing {
            return Ok(());
        }
        self.inner.restore(call, candidate, current).await
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        self.inner.usage(call, credential).await
    }

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        if let Habit::SaysLastUsed(used) = self.habit {
            return Ok(used);
        }
        self.inner.last_used(call, credential).await
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        if self.habit == Habit::DisablesNothing {
            return Ok(());
        }
        if self.habit == Habit::DisablesForGood {
            let how = RevokeHow { disable: false, terminate_sessions: false };
            return self.inner.revoke(call, previous, current, how).await;
        }
        self.inner.disable(call, previous, current).await
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        if self.habit == Habit::RevokesNothing {
            return Ok(());
        }
        self.inner.revoke(call, previous, current, how).await
    }
}
