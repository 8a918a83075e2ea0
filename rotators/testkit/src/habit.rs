//! Rotators with a bad habit: each does one thing wrong at every call, as a rotator would that was written so.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use keywheel_sdk::{
    Answer, Bundle, Call, Capabilities, Check, Descriptor, Effect, Finding, Retry, RevokeHow, Rotator, RotatorError,
    Secret, Severity, Usage,
};
use serde_json::{Map, Value};

/// What a [`HabitualLiar`] does wrong. All else is the work of the honest one inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Habit {
    /// Keys are made with another tag than the rotation's.
    MakesUntagged,
    /// Whatever it is not certain of, it tells as if nothing had happened.
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
    /// It claims to count who uses a credential, and cannot.
    ClaimsUsage,
    /// It claims that accounts can change their own passwords, and has no way.
    ClaimsSelfManaged,
    /// `probe` says yes to what it was last told to apply, whatever became of it.
    BelievesItself,
    /// `probe` sets anew what it has found accepted.
    ProbesByTouching,
    /// `probe` takes an admin that is refused for a credential that is.
    BlamesTheCredential,
    /// `apply` refuses what it has applied before.
    AppliesOnce,
    /// `apply` refuses everything after a call that did not end.
    LocksForGood,
    /// What two calls of `apply` are at work on at once, it mixes up.
    MixesUp,
    /// `apply` waits for an answer, whatever the deadline says.
    NeverGivesUp,
    /// `revoke` of what is not accepted fails.
    RevokesOnlyWhatIsThere,
    /// `verify` logs in, and runs no other check.
    SkipsChecks,
    /// What is not accepted stands in the error of `verify`.
    SaysSecrets,
    /// What is applied stands in the arguments of a process meanwhile.
    ShowsArguments,
}

/// A decorator over any rotator, for tests of the exam.
pub struct HabitualLiar<R> {
    inner: R,
    habit: Habit,
    /// All that `generate` made, with the rotation, or was shown, for [`Habit::SweepsForeign`].
    seen: Mutex<Vec<(Option<String>, Bundle)>>,
    /// What `apply` was last given.
    applied: Mutex<Option<Bundle>>,
    /// A call of `apply` has begun and not ended.
    at_work: AtomicBool,
}

impl<R: Rotator> HabitualLiar<R> {
    /// Lies in this way only.
    pub fn new(inner: R, habit: Habit) -> Self {
        HabitualLiar {
            inner,
            habit,
            seen: Mutex::default(),
            applied: Mutex::default(),
            at_work: AtomicBool::new(false),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(Option<String>, Bundle)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applied(&self) -> MutexGuard<'_, Option<Bundle>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_applied(&self, credential: &Bundle) -> bool {
        self.applied().as_ref().is_some_and(|applied| applied.same_as(credential))
    }

    fn told<T>(&self, result: Result<T, RotatorError>) -> Result<T, RotatorError> {
        let denies = self.habit == Habit::DeniesTheUnknown;
        result.map_err(|error| if denies { RotatorError { effect: Effect::None, ..error } } else { error })
    }
}

fn refusal() -> RotatorError {
    RotatorError::not_done(Retry::Never, "habit", "it would not")
}

/// A process that has these words in its arguments until this is dropped.
fn shown(words: &Bundle) -> Option<tokio::process::Child> {
    let password = words.password().ok()?;
    let mut command = tokio::process::Command::new("/bin/sh");
    command.args(["-c", "read -r end", "sh"]).stdin(Stdio::piped()).kill_on_drop(true);
    password.expose(|password| command.arg(password).spawn()).ok()
}

#[async_trait]
impl<R: Rotator> Rotator for HabitualLiar<R> {
    fn describe(&self) -> Descriptor {
        let honest = self.inner.describe();
        let claims = matches!(self.habit, Habit::ClaimsLastUsed | Habit::SaysLastUsed(_));
        let last_used = claims || honest.capabilities.last_used;
        let usage = self.habit == Habit::ClaimsUsage || honest.capabilities.usage;
        let self_managed = self.habit == Habit::ClaimsSelfManaged || honest.capabilities.self_managed;
        let capabilities = Capabilities { last_used, usage, self_managed, ..honest.capabilities };
        Descriptor { capabilities, ..honest }
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
        if self.habit == Habit::BelievesItself && self.was_applied(credential) {
            return Answer::Yes;
        }
        if self.habit == Habit::BlamesTheCredential {
            let found = self.inner.preflight(call, None).await.unwrap_or_default();
            if found.iter().any(|finding| finding.severity == Severity::Error) {
                return Answer::No { reason: "refused".to_owned() };
            }
        }
        let answer = self.inner.probe(call, credential, others).await;
        if self.habit == Habit::ProbesByTouching && answer == Answer::Yes {
            self.inner.apply(call, credential, None).await.ok();
        }
        answer
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        let foreign = Call { rotation: "nobody", ..*call };
        let call = if self.habit == Habit::MakesUntagged { &foreign } else { call };
        let made = self.inner.generate(call, current).await;
        self.seen().extend(current.map(|current| (None, current.duplicate())));
        self.seen().extend(made.iter().map(|made| (Some(call.rotation.to_owned()), made.duplicate())));
        self.told(made)
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
        self.told(self.inner.sweep(call, earlier, keep).await)
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        let again = self.was_applied(candidate);
        let left_at_work = self.at_work.swap(true, Ordering::SeqCst);
        *self.applied() = Some(candidate.duplicate());
        if self.habit == Habit::AppliesOnce && again || self.habit == Habit::LocksForGood && left_at_work {
            return Err(refusal());
        }
        let mixed = if self.habit == Habit::MixesUp {
            self.inner.preflight(call, None).await?;
            self.applied().as_ref().map(Bundle::duplicate)
        } else {
            None
        };
        let endless = Call { until: call.until + Duration::from_secs(3600), ..*call };
        let call = if self.habit == Habit::NeverGivesUp { &endless } else { call };
        let shown = if self.habit == Habit::ShowsArguments { shown(candidate) } else { None };
        let applied = self.inner.apply(call, mixed.as_ref().unwrap_or(candidate), current).await;
        drop(shown);
        self.at_work.store(false, Ordering::SeqCst);
        self.told(applied)
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        let checks = if self.habit == Habit::SkipsChecks { &[Check::Login] } else { checks };
        let verified = self.inner.verify(call, candidate, current, checks).await;
        match candidate.password() {
            Ok(password) if self.habit == Habit::SaysSecrets => verified.map_err(|error| {
                let message = password.expose(|password| format!("{password} is refused"));
                RotatorError { message, ..error }
            }),
            _ => verified,
        }
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        if self.habit == Habit::RestoresNothing {
            return Ok(());
        }
        self.told(self.inner.restore(call, candidate, current).await)
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
        if self.habit == Habit::RevokesOnlyWhatIsThere
            && matches!(self.inner.probe(call, previous, &[current]).await, Answer::No { .. })
        {
            return Err(refusal());
        }
        self.told(self.inner.revoke(call, previous, current, how).await)
    }
}
