//! Keys that the provider makes: one stands beside the live one, or nobody knows whether it does.

use std::time::{Duration, Instant};

use keywheel_sdk::{Bundle, Call, RotatorError, Target};

use super::super::sitting::{KEEP, Sitting, Verdict, broke_once, expect, failed, unknown};

/// Until a call over a stalled line must have ended.
const SHORT: Duration = Duration::from_secs(2);
/// After its deadline a call may take this long to come back, on a busy machine.
const SLACK: Duration = Duration::from_secs(20);

pub(super) async fn beside_the_live_one(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let key = sitting.candidate().await?;
    sitting.more_keys("after generate", 1).await?;
    expect(!key.same_as(current), || "another key than the live one, got the same".to_owned())?;
    sitting.apply_and_verify(&key, current).await?;
    sitting.accepted("the made key", &key).await?;
    sitting.accepted("current", current).await?;
    sitting.more_keys("after apply and verify", 1).await
}

pub(super) async fn lost_answer(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let current = &sitting.stage.current;
    let strikes = line.strikes();
    line.lose_next_acknowledgement();
    unknown("generate without an answer", generate(sitting, target).await)?;
    broke_once(line, strikes)?;
    sitting.more_keys("with an orphan", 1).await?;
    sitting.sweep(&[current]).await?;
    sitting.more_keys("after the sweep", 0).await?;
    sitting.accepted("current", current).await
}

pub(super) async fn another_after_a_lost_one(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let current = &sitting.stage.current;
    line.lose_next_acknowledgement();
    failed("generate without an answer", generate(sitting, target).await)?;
    let key = sitting.candidate().await?;
    sitting.more_keys("after the second generate", 1).await?;
    sitting.apply_and_verify(&key, current).await?;
    sitting.accepted("the second key", &key).await?;
    sitting.revoke(current, &key, KEEP).await?;
    sitting.more_keys("after revoke", 0).await?;
    sitting.accepted("the second key after revoke", &key).await
}

pub(super) async fn cut_before(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    line.cut_before_next_change();
    // The rotator cannot know whether the bytes arrived: only the list can.
    unknown("generate over a cut line", generate(sitting, target).await)?;
    nothing_was_made(sitting).await
}

pub(super) async fn stalled(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    line.stall_next_change();
    let short = Call { until: Instant::now() + SHORT, ..sitting.call_on(target) };
    let making = sitting.subject.rotator().generate(&short, Some(&sitting.stage.current));
    let made = tokio::time::timeout(SHORT + SLACK, making).await;
    unknown("generate over a stalled line", made.map_err(|_| "expected generate to end at its deadline, it did not")?)?;
    nothing_was_made(sitting).await
}

pub(super) async fn made_and_late(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let current = &sitting.stage.current;
    let strikes = line.strikes();
    line.stall_after_next_change();
    let short = Call { until: Instant::now() + SHORT, ..sitting.call_on(target) };
    let making = sitting.subject.rotator().generate(&short, Some(current));
    let made = tokio::time::timeout(SHORT + SLACK, making).await;
    let made = made.map_err(|_| "expected generate to end at its deadline, it did not")?;
    unknown("generate without an answer in time", made)?;
    broke_once(line, strikes)?;
    sitting.more_keys("with an orphan", 1).await?;
    sitting.sweep(&[current]).await?;
    sitting.more_keys("after the sweep", 0).await?;
    sitting.accepted("current", current).await
}

async fn nothing_was_made(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    sitting.more_keys("before the sweep", 0).await?;
    sitting.sweep(&[current]).await?;
    sitting.more_keys("after the sweep", 0).await?;
    sitting.accepted("current", current).await
}

async fn generate(sitting: &Sitting<'_>, target: &Target) -> Result<Bundle, RotatorError> {
    sitting.subject.rotator().generate(&sitting.call_on(target), Some(&sitting.stage.current)).await
}
