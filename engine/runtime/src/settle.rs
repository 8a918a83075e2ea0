//! Settles an attempt in doubt: asks the world, and lets the pure decision read the answer.

use std::time::Instant;

use keywheel_core::decide::{self, Accepts, Evidence, Question, Verdict};
use keywheel_core::handle::{Finish, InDoubt};
use keywheel_core::{After, Failure, Retry, State, Step};
use keywheel_sdk::{Answer, Bundle, Call};

use crate::context::{Context, failure_of, reading_failed, within};
use crate::driver::limits_at;
use crate::step;

/// What looking showed: how the attempt is settled, or why it cannot be told yet.
///
/// `cause` is the failure that this process saw; `None` after a crash, which needs no pause before the next try.
pub(crate) async fn settle(
    cx: &Context<'_>,
    doubt: &InDoubt,
    state: &State,
    cause: Option<&Failure>,
) -> Result<Finish, Failure> {
    let step = doubt.step();
    cx.set_time(Instant::now());
    let evidence = match decide::question(step) {
        Question::Nobody => Evidence::None,
        Question::Store => store_evidence(cx, state, step).await?,
        Question::Target => target_evidence(cx, state, step).await?,
    };
    let verdict = match decide::settle(step, cx.fixed.shape, evidence) {
        // Of a first value there is nothing to revoke, but consumers may not have it yet.
        Verdict::Done if step == Step::Revoke && step::is_to_be_taken_over(cx, state) => Verdict::NotDone,
        verdict @ (Verdict::Done | Verdict::NotDone | Verdict::Lost | Verdict::Unknown) => verdict,
    };
    tracing::info!(step = step.name(), ?verdict, "settled by looking");
    let failed = |mut failure: Failure, crashed: bool| {
        if crashed {
            failure.message =
                "the engine stopped before the outcome was known; looking showed that it had not happened".into();
        }
        let then =
            decide::after_failure(step, state, failure.retry, &limits_at(cx.policy, step), cx.now(), cx.clock().roll());
        // A crash is no reason to wait.
        let again = matches!(then, After::Again { .. });
        let then = if crashed && again { After::Again { hold: None } } else { then };
        Finish::Failed { failure, then }
    };
    Ok(match verdict {
        Verdict::Done => {
            let hold = if step == Step::Promote { step::grace(cx) } else { None };
            Finish::Succeeded { note: Some("found done when looked at".into()), hold }
        }
        Verdict::NotDone => match cause {
            // Whether the value is refused for its content was never heard for certain.
            Some(cause) if cause.retry == Retry::NewCandidate => {
                failed(Failure { retry: Retry::Now, ..cause.clone() }, false)
            }
            Some(cause) => failed(cause.clone(), false),
            None => failed(Failure::new("interrupted", "", Retry::Now), true),
        },
        Verdict::Lost => failed(Failure::new("candidate-lost", "", Retry::NewCandidate), true),
        Verdict::Unknown => {
            return Err(Failure::new("unknown", "the target gave no clear answer", Retry::Now));
        }
    })
}

/// Older workers are fenced off first, so that what is not there now will not come later.
async fn store_evidence(cx: &Context<'_>, state: &State, step: Step) -> Result<Evidence, Failure> {
    cx.secrets().raise_fence(&cx.fixed.secret, cx.fence).await.map_err(reading_failed)?;
    let candidate = cx.fixed.version(state.candidate);
    let versions = cx.secrets().versions(&cx.fixed.secret).await.map_err(reading_failed)?;
    let held = |version: &str| versions.iter().any(|info| info.version == version);
    let labels = cx.secrets().labels(&cx.fixed.secret).await.map_err(reading_failed)?;
    Ok(Evidence::Store {
        candidate_held: match step {
            // All candidates must go.
            Step::Discard => (1..=state.candidate).any(|candidate| held(&cx.fixed.version(candidate))),
            Step::Generate
            | Step::Stage
            | Step::Apply
            | Step::Verify
            | Step::Promote
            | Step::Revoke
            | Step::Restore => held(&candidate),
        },
        candidate_current: labels.current.as_deref() == Some(candidate.as_str()),
        previous_held: cx.fixed.replaces.as_deref().is_some_and(held),
    })
}

/// Candidate first, then `CURRENT`: most doubts end with the first answer.
async fn target_evidence(cx: &Context<'_>, state: &State, step: Step) -> Result<Evidence, Failure> {
    let candidate = cx.candidate(state.candidate).await?;
    let current = cx.current().await?.map(|(_, bundle)| bundle);
    let target = cx.target().await?;
    let rotation = cx.fixed.id.to_string();
    let call = cx.call(&target, &rotation);
    let others: Vec<&Bundle> = current.iter().collect();
    let accepts_candidate = accepts(cx, &call, &candidate, &others).await?;
    let accepts_current = match &current {
        Some(current) if step == Step::Restore && accepts_candidate == Accepts::No => {
            Some(accepts(cx, &call, current, &[&candidate]).await?)
        }
        Some(_) | None => None,
    };
    Ok(Evidence::Target { candidate: accepts_candidate, current: accepts_current })
}

async fn accepts(
    cx: &Context<'_>,
    call: &Call<'_>,
    credential: &Bundle,
    others: &[&Bundle],
) -> Result<Accepts, Failure> {
    match within(cx, async { Ok(cx.rotator.probe(call, credential, others).await) }).await {
        Ok(Answer::Yes) => Ok(Accepts::Yes),
        Ok(Answer::No { .. }) => Ok(Accepts::No),
        Ok(Answer::Partly { .. }) => Ok(Accepts::Partly),
        Ok(Answer::Unknown(error)) | Err(error) => Err(failure_of(&error)),
    }
}
