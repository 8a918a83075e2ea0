//! Turns one rotation: one match over the next step, each arm runs the effect and records how it went.

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::decide::{self, Limits};
use keywheel_core::handle::{AnyAttempt, Attempt, Finish, StepKind};
use keywheel_core::{Failure, Hold, Progress, Step};
use keywheel_policies::{Exhausted, Policy, Strategy};
use keywheel_state::StateError;
use tracing::Instrument;

use crate::Observed;
use crate::context::Context;
use crate::journal::{Journal, Turn};
use crate::settle::settle;
use crate::step::{self, Outcome};

/// Why a rotation is not being turned any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// `CURRENT` is the new value and the old one is refused.
    Done,
    /// All is as before.
    RolledBack { reason: String },
    /// Nothing to do before this.
    Held(Hold),
    /// A step's outcome is unknown and looking did not settle it yet. Look again after `until`.
    InDoubt { step: Step, until: Timestamp, why: String },
    /// A person must act.
    Parked { step: Step, reason: String },
    /// The process is stopping; it goes on at the next start.
    Stopping,
}

/// How this policy meets failures.
fn limits_of(policy: &Policy) -> Limits {
    Limits {
        attempts: policy.on_failure.attempts,
        backoff: (policy.on_failure.backoff.min, policy.on_failure.backoff.max),
        park: match policy.on_failure.then {
            Exhausted::RollBack => false,
            Exhausted::Park => true,
        },
    }
}

/// The longest pause while readers of an account in place may be refused.
const GAP_PAUSE: Duration = Duration::from_secs(15);

/// How this policy meets failures of this step. In place, from apply until promote or restore are through, `CURRENT` may be
/// refused: then pauses are seconds, and tries run out soon.
pub(crate) fn limits_at(policy: &Policy, step: Step) -> Limits {
    let limits = limits_of(policy);
    match (&policy.strategy, step) {
        (Strategy::InPlace { .. }, Step::Apply | Step::Verify | Step::Promote | Step::Restore) => gap(limits),
        // Applications that do not read the store have the new value from consumers, and are refused until then.
        (Strategy::InPlace { .. }, Step::Revoke) if !policy.after_promote.is_empty() => gap(limits),
        (Strategy::InPlace { .. } | Strategy::Alternating { .. } | Strategy::Overlapping, _) => limits,
    }
}

fn gap(limits: Limits) -> Limits {
    let (min, max) = limits.backoff;
    Limits { backoff: (min.min(Duration::from_secs(1)), max.min(GAP_PAUSE)), ..limits }
}

/// Turns the rotation until it ends, waits or is in a doubt that does not clear. `looks` counts the vain looks before.
///
/// ## Cancellation
/// Dropping the future is safe at any point: it leaves the rotation as a crash would, in doubt.
pub(crate) async fn drive(cx: &Context<'_>, journal: &mut Journal, looks: u32) -> Result<Stop, StateError> {
    let mut turn = journal.take_up().await?;
    let mut cause = None;
    loop {
        let attempt = match turn {
            Turn::Act(attempt) => attempt,
            Turn::Look(doubt) => match settle(cx, &doubt, journal.state(), cause.as_ref()).await {
                Ok(finish) => {
                    cause = None;
                    observe(cx, doubt.step(), &finish);
                    turn = journal.record(doubt.settle(finish)).await?;
                    continue;
                }
                Err(failure) => {
                    let limits = limits_at(cx.policy, doubt.step());
                    let pause = decide::backoff(looks + 1, limits.backoff, cx.clock().roll());
                    let until = decide::later(cx.now(), pause);
                    tracing::warn!(step = doubt.step().name(), code = failure.code, error = failure.message, %until, "in doubt");
                    return Ok(Stop::InDoubt { step: doubt.step(), until, why: failure.message });
                }
            },
            Turn::Held(hold) => return Ok(Stop::Held(hold)),
            Turn::Parked { step, reason } => return Ok(Stop::Parked { step, reason }),
            Turn::Ended => return Ok(ended(journal)),
            Turn::Stopping => return Ok(Stop::Stopping),
        };
        let step = attempt.step();
        cx.set_time(journal.began());
        cx.engine.observe(&Observed::Began { rotation: cx.fixed.id, secret: &cx.fixed.secret, step });
        let span = tracing::info_span!("step", step = step.name(), attempt = journal.state().attempts);
        turn = async {
            match attempt {
                AnyAttempt::Generate(it) => finish(cx, journal, &mut cause, step::generate(cx, &it).await, it).await,
                AnyAttempt::Stage(it) => finish(cx, journal, &mut cause, step::stage(cx, &it).await, it).await,
                AnyAttempt::Apply(it) => finish(cx, journal, &mut cause, step::apply(cx, &it).await, it).await,
                AnyAttempt::Verify(it) => finish(cx, journal, &mut cause, step::verify(cx, &it).await, it).await,
                AnyAttempt::Promote(it) => finish(cx, journal, &mut cause, step::promote(cx, &it).await, it).await,
                AnyAttempt::Revoke(it) => {
                    let outcome = step::revoke(cx, &it, journal.state()).await;
                    finish(cx, journal, &mut cause, outcome, it).await
                }
                AnyAttempt::Restore(it) => finish(cx, journal, &mut cause, step::restore(cx, &it).await, it).await,
                AnyAttempt::Discard(it) => finish(cx, journal, &mut cause, step::discard(cx, &it).await, it).await,
            }
        }
        .instrument(span)
        .await?;
    }
}

/// Records an outcome. An unknown one writes nothing: the attempt is in doubt, exactly as after a crash.
async fn finish<S: StepKind>(
    cx: &Context<'_>,
    journal: &mut Journal,
    cause: &mut Option<Failure>,
    outcome: Outcome,
    attempt: Attempt<S>,
) -> Result<Turn, StateError> {
    let how = match outcome {
        Outcome::Done { note, hold } => Finish::Succeeded { note, hold },
        Outcome::NotApplied(failure) => {
            let limits = limits_at(cx.policy, S::STEP);
            let then =
                decide::after_failure(S::STEP, journal.state(), failure.retry, &limits, cx.now(), cx.clock().roll());
            Finish::Failed { failure, then }
        }
        Outcome::Wait(hold) => Finish::Waited { hold },
        Outcome::Unknown(failure) => {
            tracing::warn!(code = failure.code, error = failure.message, "outcome unknown; looking");
            cx.engine.observe(&Observed::InDoubt { rotation: cx.fixed.id, step: S::STEP, why: &failure.message });
            *cause = Some(failure);
            return Ok(Turn::Look(attempt.leave_in_doubt()));
        }
    };
    observe(cx, S::STEP, &how);
    journal.record(attempt.finish(how)).await
}

/// Tells those who watch, and the log.
fn observe(cx: &Context<'_>, step: Step, how: &Finish) {
    match how {
        Finish::Succeeded { note, .. } => tracing::debug!(step = step.name(), note, "succeeded"),
        Finish::Failed { failure, then } => {
            tracing::warn!(step = step.name(), code = failure.code, error = failure.message, %then, "failed");
        }
        Finish::Waited { hold } => tracing::info!(step = step.name(), until = %hold.until, why = %hold.why, "waiting"),
    }
    cx.engine.observe(&Observed::Finished { rotation: cx.fixed.id, secret: &cx.fixed.secret, step, how });
}

fn ended(journal: &Journal) -> Stop {
    match &journal.state().progress {
        Progress::RolledBack => Stop::RolledBack { reason: journal.state().undo.clone().unwrap_or_default() },
        Progress::Done | Progress::Ready { .. } | Progress::Attempting { .. } | Progress::Parked { .. } => Stop::Done,
    }
}
