//! Two rotations at once, by one rotator.

use super::super::sitting::{KEEP, Sitting, Verdict};

pub(super) async fn two_at_once(sitting: &Sitting<'_>) -> Verdict {
    let stage = sitting.subject.stage().await;
    let other = Sitting::begin(sitting.overheard, &stage).await.next_rotation();
    let (first, second) = tokio::join!(rotated(sitting), rotated(&other));
    first.map_err(|how| format!("of the first rotation: {how}"))?;
    second.map_err(|how| format!("of the second rotation: {how}"))
}

async fn rotated(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply_and_verify(&candidate, current).await?;
    sitting.accepted("candidate after apply", &candidate).await?;
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.accepted("candidate after revoke", &candidate).await?;
    sitting.refused("the replaced credential", current).await
}
