//! Ends the previous credential: only after its successor is seen to work, and only when nobody needs it any more.

use std::time::Duration;

use keywheel_core::handle::{Attempt, Revoke};
use keywheel_core::{Failure, Hold, Retry, Shape, State, Why, decide};
use keywheel_policies::{OnDeadline, RevokeWhen};
use keywheel_sdk::{Answer, Bundle, Call, Origin, RevokeHow};

use super::{Outcome, ready, sweep_all};
use crate::context::{Context, failure_of, outcome_of, within, writing_failed};

/// How often a drain is looked at.
const DRAIN_POLL: Duration = Duration::from_secs(15);

pub(crate) async fn revoke(cx: &Context<'_>, attempt: &Attempt<Revoke>, state: &State) -> Outcome {
    const FIRST: &str = "there was no CURRENT before";
    if cx.fixed.replaces.is_none() && cx.origin == Origin::Engine {
        return Outcome::noted(FIRST);
    }
    let Some((live, current)) = ready!(cx.current().await) else {
        return Outcome::NotApplied(never(
            "CURRENT is gone from the secret store; nothing is revoked without a successor",
        ));
    };
    if live != cx.fixed.version(attempt.candidate()) {
        return Outcome::NotApplied(never(format!(
            "CURRENT is now version {live}, which this rotation did not make; nothing is revoked on its word"
        )));
    }
    let Some(version) = cx.fixed.replaces.as_deref() else { return swept(cx, &current, FIRST).await };
    let Some(previous) = ready!(cx.replaced().await) else {
        return swept(cx, &current, "the previous version is gone already").await;
    };
    let target = ready!(cx.target().await);
    let rotation = attempt.rotation().to_string();
    let call = cx.call(&target, &rotation);

    // Two accounts or keys: the successor must work at this moment, however long the grace period was. One account: revoking
    // changes nothing, it only proves that the old value is refused.
    let two_accounts = match cx.fixed.shape {
        Shape::Overlapping => true,
        Shape::InPlace | Shape::Alternating => ready!(username(&previous)) != ready!(username(&current)),
    };
    if two_accounts {
        match successor_works(cx, &call, &current, &previous).await {
            Ok(()) => {}
            Err(failure) => return Outcome::NotApplied(failure),
        }
        if let Some(outcome) = drained(cx, &call, &previous, state).await {
            return outcome;
        }
    }
    // Only now: what is deleted here goes on the word of a list.
    if let Err(outcome) = sweep_all(cx, &[&current, &previous]).await {
        return outcome;
    }
    let how = RevokeHow { disable: cx.policy.revoke.disable, terminate_sessions: cx.policy.revoke.terminate_sessions };
    if let Err(error) = within(cx, cx.rotator.revoke(&call, &previous, &current, how)).await {
        return outcome_of(&error);
    }
    match cx.secrets().discard(&cx.fixed.secret, version, cx.fence).await {
        Ok(()) => Outcome::noted("the old credential is refused"),
        Err(error) => writing_failed(error),
    }
}

/// Nothing is to be revoked, and nothing of this rotation is left over.
async fn swept(cx: &Context<'_>, current: &Bundle, note: &str) -> Outcome {
    match sweep_all(cx, &[current]).await {
        Ok(()) => Outcome::noted(note),
        Err(outcome) => outcome,
    }
}

async fn successor_works(
    cx: &Context<'_>,
    call: &Call<'_>,
    current: &Bundle,
    previous: &Bundle,
) -> Result<(), Failure> {
    let answer = async { Ok(cx.rotator.probe(call, current, &[previous]).await) };
    match within(cx, answer).await {
        Ok(Answer::Yes) => Ok(()),
        Ok(Answer::No { reason }) => Err(Failure::new(
            "successor-refused",
            format!("the target refuses CURRENT ({reason}), so the old credential stays; somebody changed it"),
            Retry::Now,
        )),
        Ok(Answer::Partly { reason }) => Err(Failure::new(
            "successor-refused",
            format!("not every part of the target is seen to accept CURRENT ({reason}), so the old credential stays"),
            Retry::Now,
        )),
        Ok(Answer::Unknown(error)) | Err(error) => Err(failure_of(&error)),
    }
}

/// `None` once the old credential may go; otherwise why not.
async fn drained(cx: &Context<'_>, call: &Call<'_>, previous: &Bundle, state: &State) -> Option<Outcome> {
    match cx.policy.revoke.when {
        RevokeWhen::Always => return None,
        RevokeWhen::NoSessions => {}
    }
    let sessions = match within(cx, cx.rotator.usage(call, previous)).await {
        Ok(usage) => usage.sessions,
        Err(error) => return Some(Outcome::NotApplied(failure_of(&error))),
    };
    let deadline = decide::later(cx.grace_over(state), cx.policy.revoke.deadline);
    let now = cx.now();
    if sessions == 0 {
        None
    } else if now < deadline {
        let until = decide::later(now, DRAIN_POLL).min(deadline);
        Some(Outcome::Wait(Hold { until, why: Why::Drain }))
    } else {
        match cx.policy.revoke.on_deadline {
            OnDeadline::Revoke => None,
            OnDeadline::Park => Some(Outcome::NotApplied(never(format!(
                "{sessions} sessions still use the old credential after the policy's deadline"
            )))),
        }
    }
}

fn username(bundle: &Bundle) -> Result<String, Failure> {
    bundle.username().map_err(|error| never(error.to_string()))
}

fn never(message: impl Into<String>) -> Failure {
    Failure::new("revoke", message, Retry::Never)
}
