//! Refused admins, broken lines, and no time left.

use std::time::{Duration, Instant};

use keywheel_sdk::{Answer, Bundle, Call, Retry, RotatorError, Target};
use tokio::time::timeout;

use super::super::Candidate;
use super::super::sitting::{KEEP, Sitting, Verdict, broke_once, expect, failed, not_done, unknown};

/// Until a call over a stalled line must have ended.
const SHORT: Duration = Duration::from_secs(5);
/// After its deadline a call may take this long to come back, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);
/// What comes later than the answer that it cannot come any more, comes within this.
const LATER: Duration = Duration::from_secs(1);

/// The effect with which a candidate comes to the target: `apply` of a given one, `generate` of one that is not there yet.
pub(super) async fn introduce(sitting: &Sitting<'_>, call: &Call<'_>) -> Result<Option<Bundle>, RotatorError> {
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
    in_short_time(sitting, target, &candidate).await?;
    sitting.probed_on(target, "candidate", &candidate, &[current], false).await?;
    sitting.accepted("current", current).await?;
    later().await;
    sitting.refused("candidate, some time after the probe said no,", &candidate).await?;
    sitting.accepted("current, some time later,", current).await
}

pub(super) async fn committed_and_late(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    let strikes = line.strikes();
    line.stall_after_next_change();
    in_short_time(sitting, target, &candidate).await?;
    broke_once(line, strikes)?;
    sitting.probed_on(target, "candidate", &candidate, &[current], true).await?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.apply_and_verify(&candidate, current).await?;
    sitting.accepted("candidate, applied again,", &candidate).await
}

/// Applies over a line that stalls: an end with an unknown outcome, in time.
async fn in_short_time(sitting: &Sitting<'_>, target: &Target, candidate: &Bundle) -> Verdict {
    let short = Call { until: Instant::now() + SHORT, ..sitting.call_on(target) };
    let applying = sitting.subject.rotator().apply(&short, candidate, Some(&sitting.stage.current));
    let applied = timeout(SHORT + SLACK, applying).await;
    let applied = applied.map_err(|_| "expected apply to end at its deadline, it did not")?;
    unknown("apply over a stalled line", applied).map(drop)
}

#[expect(clippy::disallowed_methods, reason = "what must not happen gives no signal when it does not")]
async fn later() {
    tokio::time::sleep(LATER).await;
}

pub(super) async fn lost_revoke(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    sitting.apply(&candidate, Some(current)).await?;
    let strikes = line.strikes();
    line.lose_next_acknowledgement();
    let revoked = sitting.subject.rotator().revoke(&sitting.call_on(target), current, &candidate, KEEP).await;
    unknown("revoke without acknowledgement", revoked)?;
    broke_once(line, strikes)?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.refused("the replaced credential", current).await?;
    sitting.accepted("candidate after revoke", &candidate).await
}

pub(super) async fn probe_of_a_wrong_admin(sitting: &Sitting<'_>) -> Verdict {
    let target = sitting.stage.wrong_admin.as_ref().ok_or("a wrong admin")?;
    let (unaccepted, current) = (sitting.unaccepted().await?, &sitting.stage.current);
    let probe =
        async |credential, other| sitting.subject.rotator().probe(&sitting.call_on(target), credential, &[other]).await;
    let live = probe(current, &unaccepted).await;
    expect(matches!(live, Answer::Yes | Answer::Unknown(_)), || format!("no no about what is accepted, got {live:?}"))?;
    let idle = probe(&unaccepted, current).await;
    expect(matches!(idle, Answer::No { .. } | Answer::Unknown(_)), || {
        format!("no yes about what is refused, got {idle:?}")
    })?;
    sitting.accepted("current", current).await
}

pub(super) async fn revoke_of_a_wrong_admin(sitting: &Sitting<'_>) -> Verdict {
    let target = sitting.stage.wrong_admin.as_ref().ok_or("a wrong admin")?;
    let (candidate, current) = (sitting.candidate().await?, &sitting.stage.current);
    sitting.apply(&candidate, Some(current)).await?;
    let revoked = sitting.subject.rotator().revoke(&sitting.call_on(target), current, &candidate, KEEP).await;
    not_done("a wrong admin's revoke", revoked)?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.accepted("what was not revoked", current).await
}
