//! Tells consumers: what applications, or those who run them, do once they are to read another version.

use jiff::Timestamp;
use keywheel_core::{Failure, Hold, Retry, State, Why};
use keywheel_sdk::{Bundle, USERNAME, mask};

use super::Outcome;
use crate::consumers::{Moment, Occasion};
use crate::context::Context;

/// Has the consumers of the policy take over the new version, unless they did before. `None`: there is nothing more to do here.
/// Once all have, that is written down with what is left of the grace period; before, nothing is revoked.
pub(crate) async fn taken_over(cx: &Context<'_>, candidate: u32, state: &State) -> Option<Outcome> {
    let names = &cx.policy.after_promote;
    if names.is_empty() || state.consumed_at.is_some() {
        return None;
    }
    let (version, current) = match cx.current().await {
        Ok(current) => current?,
        Err(failure) => return Some(Outcome::NotApplied(failure)),
    };
    // Not ours any more: who replaced it has told whom that concerns.
    if version != cx.fixed.version(candidate) {
        return None;
    }
    if let Err(failure) = tell(cx, Moment::AfterPromote, names, &version, &current).await {
        return Some(Outcome::NotApplied(failure));
    }
    let over: Timestamp = if cx.fixed.replaces.is_some() { cx.grace_over(state) } else { cx.now() };
    Some(Outcome::Wait(Hold { until: over.max(cx.now()), why: Why::Consumed }))
}

/// Tells the consumers that the policy names for it that the previous version is about to end.
pub(crate) async fn before_revoke(cx: &Context<'_>, version: &str, current: &Bundle) -> Result<(), Failure> {
    tell(cx, Moment::BeforeRevoke, &cx.policy.before_revoke, version, current).await
}

/// One after the other, since a later one may need what an earlier one did.
async fn tell(
    cx: &Context<'_>,
    moment: Moment,
    names: &[String],
    version: &str,
    current: &Bundle,
) -> Result<(), Failure> {
    for name in names {
        let occasion = Occasion {
            moment,
            rotation: cx.fixed.id,
            secret: &cx.fixed.secret,
            policy: &cx.policy.name,
            version,
            current,
        };
        let told = tokio::time::timeout_at(cx.until().into(), cx.engine.consumers.tell(name, &occasion)).await;
        let why = match told {
            Ok(Ok(())) => {
                tracing::info!(consumer = name, version, "told");
                continue;
            }
            Ok(Err(why)) => why,
            Err(_) => {
                "it was not done within the time of this step (`deadlines: { step }` in keywheel.yaml)".to_owned()
            }
        };
        let why = mask(&why, current.fields().filter(|(field, _)| *field != USERNAME).map(|(_, value)| value));
        let message = format!(
            "the consumer `{name}` failed: {why}; the previous credential stays until it succeeds, or until the policy does not name it any more"
        );
        return Err(Failure::new("consumer", message, Retry::Now));
    }
    Ok(())
}
