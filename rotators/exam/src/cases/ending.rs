//! The end of the previous credential: disabled, revoked, and when it was last used.

use std::time::{Duration, SystemTime};

use keywheel_sdk::Retry;

use super::super::Candidate;
use super::super::sitting::{HARD, KEEP, Sitting, Verdict, expect, not_done, said};

/// Many targets tell the day of a use and no more.
const COARSEST: Duration = Duration::from_secs(25 * 60 * 60);

pub(super) async fn revoke_twice(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.refused("the replaced credential", current).await
}

/// What the target has never accepted, or does not accept any more.
pub(super) async fn revoke_of_absent(sitting: &Sitting<'_>) -> Verdict {
    let (absent, current) = (sitting.unaccepted().await?, &sitting.stage.current);
    for times in ["once", "twice"] {
        sitting.revoke(&absent, current, KEEP).await?;
        sitting.accepted(&format!("current, after what is absent was revoked {times},"), current).await?;
        sitting.refused("what is absent", &absent).await?;
    }
    sitting.more_keys("after revoke", 0).await
}

pub(super) async fn revoke_hard(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    sitting.revoke(current, &candidate, HARD).await?;
    sitting.accepted("candidate", &candidate).await?;
    sitting.refused("the replaced credential", current).await
}

pub(super) async fn revoke_of_current(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let same = current.duplicate();
    let revoked = sitting.subject.rotator().revoke(&sitting.call(), &same, current, HARD).await;
    let error = not_done("revoke of the live credential", revoked)?;
    expect(error.retry == Retry::Never, || format!("retry never, got {error:?}"))?;
    sitting.accepted("current", current).await
}

pub(super) async fn disable_previous(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let candidate = sitting.candidate().await?;
    sitting.apply(&candidate, Some(current)).await?;
    for times in ["once", "twice"] {
        sitting.disable(current, &candidate).await?;
        sitting.refused(&format!("the replaced credential, disabled {times},"), current).await?;
        sitting.accepted(&format!("candidate while the replaced one is disabled {times}"), &candidate).await?;
    }
    // What was disabled is still there, for a person to undo it.
    let provider_made = matches!(sitting.stage.candidate, Candidate::Generated);
    sitting.more_keys("while one is disabled", usize::from(provider_made)).await?;
    sitting.revoke(current, &candidate, KEEP).await?;
    sitting.refused("the replaced credential after revoke", current).await?;
    sitting.accepted("candidate after revoke", &candidate).await?;
    sitting.more_keys("after revoke", 0).await
}

pub(super) async fn disable_of_current(sitting: &Sitting<'_>) -> Verdict {
    let current = &sitting.stage.current;
    let same = current.duplicate();
    let disabled = sitting.subject.rotator().disable(&sitting.call(), &same, current).await;
    let error = not_done("disable of the live credential", disabled)?;
    expect(error.retry == Retry::Never, || format!("retry never, got {error:?}"))?;
    sitting.accepted("current", current).await
}

pub(super) async fn last_used(sitting: &Sitting<'_>) -> Verdict {
    let rotator = sitting.subject.rotator();
    let candidate = sitting.candidate().await?;
    let before = rotator.last_used(&sitting.call(), &candidate).await.map_err(said("last_used"))?;
    if matches!(sitting.stage.candidate, Candidate::Generated) {
        expect(before.is_none(), || format!("a key that nobody used to be told so, got {before:?}"))?;
    }
    sitting.apply_and_verify(&candidate, &sitting.stage.current).await?;
    let used = rotator.last_used(&sitting.call(), &candidate).await.map_err(said("last_used"))?;
    let used = used.ok_or("expected the use by verify to be known, got none")?;
    #[expect(clippy::disallowed_methods, reason = "the target stamps a use by the world's time")]
    let now = SystemTime::now();
    // Either clock may be ahead a little.
    let minute = Duration::from_secs(60);
    expect(used <= now + minute && used + COARSEST >= now, || format!("a use of just now ({now:?}), got {used:?}"))
}
