//! Ends the previous credential: only after its successor is seen to work, and only when nobody needs it any more.

use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::handle::{Attempt, Revoke};
use keywheel_core::{Failure, Hold, Retry, Shape, State, Why, decide};
use keywheel_policies::{OnDeadline, RevokeWhen};
use keywheel_sdk::{Answer, Bundle, Call, Origin, RevokeHow};

use super::{Outcome, before_revoke, ready, sweep_all, taken_over};
use crate::context::{Context, failure_of, outcome_of, within, writing_failed};

/// How often a drain is looked at.
const DRAIN_POLL: Duration = Duration::from_secs(15);

pub(crate) async fn revoke(cx: &Context<'_>, attempt: &Attempt<Revoke>, state: &State) -> Outcome {
    const FIRST: &str = "there was no CURRENT before";
    if let Some(outcome) = taken_over(cx, attempt.candidate(), state).await {
        return outcome;
    }
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
    // Where consumers were named at promotion and are no more, nobody has waited yet.
    if let Some(outcome) = graced(cx, state) {
        return outcome;
    }
    let Some(version) = cx.fixed.replaces.as_deref() else { return swept(cx, &current, FIRST).await };
    let Some(previous) = ready!(cx.replaced().await) else {
        return swept(cx, &current, "the previous version is gone already").await;
    };
    let target = ready!(cx.target().await);
    let rotation = attempt.rotation().to_string();
    let call = cx.call(&target, &rotation);
    let disabled_first = cx.policy.revoke.disable_first.is_some();

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
        if state.disabled_at.is_none()
            && let Some(outcome) = drained(cx, &call, &previous, state).await
        {
            return outcome;
        }
        // Who is told before the previous one ends is told before it is refused at all.
        if disabled_first
            && state.disabled_at.is_none()
            && let Err(failure) = before_revoke(cx, &live).await
        {
            return Outcome::NotApplied(failure);
        }
        let call = cx.call(&target, &rotation);
        if let Some(outcome) = disabled(cx, &call, &previous, &current, state).await {
            return outcome;
        }
    }
    let told = cx.policy.before_revoke.is_empty() || (two_accounts && disabled_first);
    if !told {
        if let Err(failure) = before_revoke(cx, &live).await {
            return Outcome::NotApplied(failure);
        }
        // That may have taken a while.
        let call = cx.call(&target, &rotation);
        if two_accounts && let Err(failure) = successor_works(cx, &call, &current, &previous).await {
            return Outcome::NotApplied(failure);
        }
    }
    let call = cx.call(&target, &rotation);
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

/// A commit that takes long must not make a grace period that was waited for look too short.
const SLACK: Duration = Duration::from_secs(5);

/// `None` once the grace period is over.
fn graced(cx: &Context<'_>, state: &State) -> Option<Outcome> {
    let over = cx.grace_over(state);
    let waits = cx.fixed.replaces.is_some() && state.consumed_at.is_none() && decide::later(cx.now(), SLACK) < over;
    waits.then_some(Outcome::Wait(Hold { until: over, why: Why::Grace }))
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
    let now = cx.now();
    // Until when it is certainly in use, and how that is told.
    let (busy_until, used) = match cx.policy.revoke.when {
        RevokeWhen::Always => return None,
        RevokeWhen::NoSessions => match within(cx, cx.rotator.usage(call, previous)).await {
            Ok(usage) if usage.sessions == 0 => return None,
            Ok(usage) => {
                (decide::later(now, DRAIN_POLL), format!("{} sessions still use the old credential", usage.sessions))
            }
            Err(error) => return Some(Outcome::NotApplied(failure_of(&error))),
        },
        RevokeWhen::Unused(quiet) => {
            let last = match within(cx, cx.rotator.last_used(call, previous)).await {
                Ok(last) => last.and_then(|last| Timestamp::try_from(last).ok()),
                Err(error) => return Some(Outcome::NotApplied(failure_of(&error))),
            };
            // Readers had the old value until promotion, whatever the provider saw of it.
            let last = last.max(state.promoted_at).unwrap_or(now);
            let free = decide::later(last, quiet);
            if free <= now {
                return None;
            }
            (free.max(decide::later(now, DRAIN_POLL)), format!("the old credential was last used at {last}"))
        }
    };
    let deadline = decide::later(cx.grace_over(state), cx.policy.revoke.deadline);
    if now < deadline {
        return Some(Outcome::Wait(Hold { until: busy_until.min(deadline), why: Why::Drain }));
    }
    match cx.policy.revoke.on_deadline {
        OnDeadline::Revoke => None,
        OnDeadline::Park => Some(Outcome::NotApplied(never(format!("{used}, after the policy's deadline")))),
    }
}

/// `None` once the old credential has been disabled for as long as the policy wants; disables it if it is not. It is disabled
/// again after a crash in between, which changes nothing.
async fn disabled(
    cx: &Context<'_>,
    call: &Call<'_>,
    previous: &Bundle,
    current: &Bundle,
    state: &State,
) -> Option<Outcome> {
    let pause = cx.policy.revoke.disable_first?;
    let since = match state.disabled_at {
        Some(since) => since,
        None => match within(cx, cx.rotator.disable(call, previous, current)).await {
            Ok(()) => cx.now(),
            Err(error) => return Some(outcome_of(&error)),
        },
    };
    let until = decide::later(since, pause);
    if cx.now() < until {
        return Some(Outcome::Wait(Hold { until, why: Why::Disabled }));
    }
    // Its owner may have asked for it back meanwhile.
    let answer = async { Ok(cx.rotator.probe(call, previous, &[current]).await) };
    match within(cx, answer).await {
        Ok(Answer::No { .. }) => None,
        Ok(Answer::Yes | Answer::Partly { .. }) => Some(Outcome::NotApplied(never(
            "somebody has enabled the old credential again, so it is not deleted; disable or delete it at the target, and \
             then resume",
        ))),
        Ok(Answer::Unknown(error)) | Err(error) => Some(Outcome::NotApplied(failure_of(&error))),
    }
}

fn username(bundle: &Bundle) -> Result<String, Failure> {
    bundle.username().map_err(|error| never(error.to_string()))
}

fn never(message: impl Into<String>) -> Failure {
    Failure::new("revoke", message, Retry::Never)
}
