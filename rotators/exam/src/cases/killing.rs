//! Whoever asked is gone in the middle of a call: before the change reached the target, or before its acknowledgement came back.

use std::pin::pin;
use std::time::{Duration, Instant};

use keywheel_sdk::{Answer, Bundle, Effect, RotatorError, Shape, Target};
use tokio::time::timeout;

use super::super::Line;
use super::super::sitting::{KEEP, Sitting, Verdict};

/// How far the change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    /// It had not reached the target.
    Before,
    /// It had happened, and nobody was told.
    After,
}

/// The line is looked at so often.
const GLANCE: Duration = Duration::from_millis(5);
/// So long until a call has come to its change, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(25);

/// Asks a call whose change stalls, and drops it there: what its process's end does to it.
async fn killed<T>(
    line: &dyn Line,
    boundary: Boundary,
    call: impl Future<Output = Result<T, RotatorError>>,
) -> Verdict {
    match boundary {
        Boundary::Before => line.stall_next_change(),
        Boundary::After => line.stall_after_next_change(),
    }
    until_struck(line, call, || ()).await
}

/// Waits until the line has broken, looks, and drops the call.
pub(super) async fn until_struck<T, R>(
    line: &dyn Line,
    call: impl Future<Output = Result<T, RotatorError>>,
    look: impl FnOnce() -> R,
) -> Result<R, String> {
    let (before, until) = (line.strikes(), Instant::now() + PATIENCE);
    let mut calling = pin!(call);
    while line.strikes() == before {
        if let Ok(ended) = timeout(GLANCE, &mut calling).await {
            // Where nothing waits, who would wait is told at once that nobody knows.
            let in_doubt = ended.as_ref().is_err_and(|error| error.effect == Effect::Unknown);
            if in_doubt && line.strikes() > before {
                break;
            }
            let how = ended.map_or_else(|error| format!("with {error:?}"), |_| "well".to_owned());
            return Err(format!("expected the call to wait at its change, it ended {how}"));
        }
        if Instant::now() > until {
            return Err("expected the call to come to its change, it did not".to_owned());
        }
    }
    Ok(look())
}

/// The probe says what is so, whatever that is.
async fn probe_is_true(
    sitting: &Sitting<'_>,
    target: &Target,
    what: &str,
    credential: &Bundle,
    other: &Bundle,
) -> Verdict {
    match sitting.subject.rotator().probe(&sitting.call_on(target), credential, &[other]).await {
        Answer::Yes => sitting.accepted(what, credential).await,
        Answer::No { .. } => sitting.refused(what, credential).await,
        // Of several parts, some had it and others had not.
        Answer::Partly { .. } => Ok(()),
        Answer::Unknown(error) => Err(format!("expected the probe of {what} to know, got {error:?}")),
    }
}

pub(super) async fn apply(sitting: &Sitting<'_>, boundary: Boundary) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    let call = sitting.call_on(target);
    killed(line, boundary, sitting.subject.rotator().apply(&call, &candidate, Some(current))).await?;
    let happened = boundary == Boundary::After;
    sitting.probed_on(target, "candidate after the kill", &candidate, &[current], happened).await?;
    sitting.apply_and_verify(&candidate, current).await?;
    sitting.accepted("candidate, applied again,", &candidate).await?;
    match target.strategy.shape() {
        Shape::InPlace => sitting.refused("the replaced credential", current).await,
        Shape::Alternating | Shape::Overlapping => sitting.accepted("current", current).await,
    }
}

pub(super) async fn restore(sitting: &Sitting<'_>, boundary: Boundary) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    sitting.apply(&candidate, Some(current)).await?;
    let call = sitting.call_on(target);
    killed(line, boundary, sitting.subject.rotator().restore(&call, &candidate, Some(current))).await?;
    // Where there is one account, of the two the one that is accepted: some targets count failed logins.
    if boundary == Boundary::After && target.strategy.shape() == Shape::InPlace {
        probe_is_true(sitting, target, "current after the kill", current, &candidate).await?;
    } else {
        probe_is_true(sitting, target, "candidate after the kill", &candidate, current).await?;
    }
    sitting.restore(&candidate, Some(current)).await?;
    sitting.accepted("current", current).await?;
    sitting.refused("candidate, restored again,", &candidate).await?;
    sitting.more_keys("after restore", 0).await
}

pub(super) async fn revoke(sitting: &Sitting<'_>, boundary: Boundary) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    sitting.apply(&candidate, Some(current)).await?;
    let call = sitting.call_on(target);
    killed(line, boundary, sitting.subject.rotator().revoke(&call, current, &candidate, KEEP)).await?;
    probe_is_true(sitting, target, "the replaced credential after the kill", current, &candidate).await?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.refused("the replaced credential, revoked again,", current).await?;
    sitting.accepted("candidate after revoke", &candidate).await?;
    sitting.more_keys("after revoke", 0).await
}

pub(super) async fn generate(sitting: &Sitting<'_>, boundary: Boundary) -> Verdict {
    let (target, line) = sitting.line()?;
    let current = &sitting.stage.current;
    let call = sitting.call_on(target);
    killed(line, boundary, sitting.subject.rotator().generate(&call, Some(current))).await?;
    sitting.more_keys("after the kill", usize::from(boundary == Boundary::After)).await?;
    let key = sitting.candidate().await?;
    sitting.more_keys("after the second generate", 1).await?;
    sitting.apply_and_verify(&key, current).await?;
    sitting.accepted("the second key", &key).await
}
