//! Refused admins, broken lines, and no time left.

use std::time::{Duration, Instant};

use keywheel_sdk::{Bundle, Call, Retry, RotatorError};

use super::super::Candidate;
use super::super::sitting::{Sitting, Verdict, broke_once, expect, failed, not_done, unknown};

/// Until a call over a stalled line must have ended.
const SHORT: Duration = Duration::from_secs(5);

/// The effect with which a candidate comes to the target: `apply` of a given one, `generate` of one that is not there yet.
async fn introduce(sitting: &Sitting<'_>, call: &Call<'_>) -> Result<Option<Bundle>, RotatorError> {
    let current = Some(&sitting.stage.current);
    match &sitting.stage.candidate {
        Candidate::Given(candidate) => sitting.subject.rotator().apply(call, candidate, current).await.map(|()| None),
        Candidate::Generated => sitting.subject.rotator().generate(call, current).await.map(Some),
    }
}

/// As if nothing had happened.
async fn unchanged(sitting: &Sitting<'_>) -> Verdict {
    sitting.accepted("current", &sitting.stage.current).await?;
    match &sitting.stage.candidate {
        Candidate::Given(candidate) => sitting.refused("candidate", candidate).await,
        Candidate::Generated => sitting.more_keys("as before", 0).await,
    }
}

pub(super) async fn wrong_admin(sitting: &Sitting<'_>) -> Verdict {
    let target = sitting.stage.wrong_admin.as_ref().ok_or("a wrong admin")?;
    let error = not_done("a wrong admin's change", introduce(sitting, &sitting.call_on(target)).await)?;
    // The admin's credential may be just being rotated: later is as good an answer as never.
    expect(matches!(error.retry, Retry::Never | Retry::After(_)), || format!("retry never or later, got {error:?}"))?;
    if matches!(sitting.stage.candidate, Candidate::Generated) {
        let current = &sitting.stage.current;
        let swept = sitting.subject.rotator().sweep(&sitting.call_on(target), &[], &[current]).await;
        not_done("a wrong admin's sweep", swept)?;
    }
    unchanged(sitting).await
}

pub(super) async fn after_the_deadline(sitting: &Sitting<'_>) -> Verdict {
    let late = Call { until: Instant::now(), ..sitting.call() };
    failed("a change after the deadline", introduce(sitting, &late).await)?;
    unchanged(sitting).await
}

pub(super) async fn lost_acknowledgement(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    let strikes = line.strikes();
    line.lose_next_acknowledgement();
    let applied = sitting.subject.rotator().apply(&sitting.call_on(target), &candidate, Some(current)).await;
    broke_once(line, strikes)?;
    unknown("apply without acknowledgement", applied)?;
    sitting.probed_on(target, "candidate", &candidate, &[current], true).await?;
    sitting.accepted("candidate", &candidate).await
}

pub(super) async fn cut_before_effect(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    line.cut_before_next_change();
    let applied = sitting.subject.rotator().apply(&sitting.call_on(target), &candidate, Some(current)).await;
    // The rotator cannot know whether the bytes arrived: only the probe can.
    unknown("apply over a cut line", applied)?;
    sitting.probed_on(target, "candidate", &candidate, &[current], false).await?;
    sitting.accepted("current", current).await
}

pub(super) async fn stalled_line(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    line.stall_next_change();
    let short = Call { until: Instant::now() + SHORT, ..sitting.call_on(target) };
    unknown("apply over a stalled line", sitting.subject.rotator().apply(&short, &candidate, Some(current)).await)?;
    sitting.probed_on(target, "candidate", &candidate, &[current], false).await?;
    sitting.accepted("current", current).await
}
