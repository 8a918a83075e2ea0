//! The way back: the candidate is refused, and all else is as before.

use super::super::sitting::{Sitting, Verdict, unknown};

pub(super) async fn after_apply(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    sitting.restore(&candidate, Some(current)).await?;
    sitting.accepted("current", current).await?;
    sitting.refused("candidate", &candidate).await?;
    sitting.more_keys("after restore", 0).await
}

pub(super) async fn without_apply(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.restore(&candidate, Some(current)).await?;
    sitting.accepted("current", current).await?;
    sitting.refused("candidate", &candidate).await?;
    sitting.more_keys("after restore", 0).await
}

pub(super) async fn without_current(sitting: &Sitting<'_>) -> Verdict {
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(&sitting.stage.current)).await?;
    sitting.restore(&candidate, None).await?;
    sitting.refused("candidate", &candidate).await?;
    sitting.more_keys("after restore", 0).await
}

pub(super) async fn twice(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    sitting.restore(&candidate, Some(current)).await?;
    sitting.restore(&candidate, Some(current)).await?;
    sitting.accepted("current", current).await?;
    sitting.refused("candidate", &candidate).await?;
    sitting.more_keys("after restore", 0).await
}

pub(super) async fn lost_restore(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    line.lose_next_acknowledgement();
    let restored = sitting.subject.rotator().restore(&sitting.call_on(target), &candidate, Some(current)).await;
    unknown("restore without acknowledgement", restored)?;
    sitting.restore(&candidate, Some(current)).await?;
    sitting.accepted("current", current).await?;
    sitting.refused("candidate", &candidate).await?;
    sitting.more_keys("after restore", 0).await
}
