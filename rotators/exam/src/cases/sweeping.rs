//! `sweep`: nothing of a rotation is left but what is kept, and all else is untouched.

use super::super::sitting::{Sitting, Verdict, broke_once, unknown};

pub(super) async fn deletes_what_is_not_kept(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let orphan = sitting.candidate().await?;
    for times in ["once", "twice"] {
        sitting.sweep(&[current]).await?;
        sitting.refused(&format!("what was swept {times}"), &orphan).await?;
        sitting.accepted(&format!("current, swept {times},"), current).await?;
        sitting.more_keys(&format!("swept {times}"), 0).await?;
    }
    Ok(())
}

pub(super) async fn keeps(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let key = sitting.candidate().await?;
    sitting.apply(&key, Some(current)).await?;
    sitting.sweep(&[current, &key]).await?;
    sitting.accepted("what is kept", &key).await?;
    sitting.accepted("current", current).await?;
    sitting.more_keys("after a sweep that keeps", 1).await
}

/// The live key was made by hand; the other one by the next rotation, then by this one.
pub(super) async fn touches_no_other(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let next = sitting.next_rotation();
    for (maker, other) in [(&next, sitting), (sitting, &next)] {
        let key = maker.candidate().await?;
        maker.apply(&key, Some(current)).await?;
        other.sweep(&[]).await?;
        sitting.accepted("a key with another rotation's tag", &key).await?;
        sitting.accepted("a key that no rotation made", current).await?;
        sitting.more_keys("after another rotation's sweep", 1).await?;
        maker.sweep(&[]).await?;
        sitting.refused("a key after the sweep of its own rotation", &key).await?;
        sitting.accepted("a key that no rotation made", current).await?;
        sitting.more_keys("after its own rotation's sweep", 0).await?;
    }
    Ok(())
}

pub(super) async fn what_earlier_ones_left(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let earlier = sitting.next_rotation();
    let left = earlier.candidate().await?;
    earlier.apply(&left, Some(current)).await?;
    sitting.sweep_after(&earlier, &[current, &left]).await?;
    sitting.accepted("an earlier rotation's key that is kept", &left).await?;
    sitting.more_keys("while it is kept", 1).await?;
    for times in ["once", "twice"] {
        sitting.sweep_after(&earlier, &[current]).await?;
        sitting.refused(&format!("an earlier rotation's key, swept {times},"), &left).await?;
        sitting.accepted(&format!("current, swept {times},"), current).await?;
        sitting.more_keys(&format!("swept {times}"), 0).await?;
    }
    Ok(())
}

pub(super) async fn lost_sweep(sitting: &Sitting<'_>) -> Verdict {
    let (target, line) = sitting.line()?;
    let current = &sitting.stage.current;
    let orphan = sitting.candidate().await?;
    let strikes = line.strikes();
    line.lose_next_acknowledgement();
    let swept = sitting.subject.rotator().sweep(&sitting.call_on(target), &[], &[current]).await;
    unknown("sweep without acknowledgement", swept)?;
    broke_once(line, strikes)?;
    sitting.sweep(&[current]).await?;
    sitting.refused("the orphan", &orphan).await?;
    sitting.accepted("current", current).await?;
    sitting.more_keys("after the second sweep", 0).await
}
