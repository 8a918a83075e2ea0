//! Moves `CURRENT` to the candidate: a compare-and-swap, and the point of no return.

use keywheel_core::handle::{Attempt, Promote};
use keywheel_core::{Hold, Why, decide};

use super::Outcome;
use crate::context::{Context, writing_failed};

pub(crate) async fn promote(cx: &Context<'_>, attempt: &Attempt<Promote>) -> Outcome {
    let version = cx.fixed.version(attempt.candidate());
    match cx.secrets().promote(&cx.fixed.secret, &version, cx.fixed.replaces.as_deref(), cx.now(), cx.fence).await {
        Ok(()) => Outcome::Done { note: Some(format!("version {version} is CURRENT")), hold: grace(cx) },
        Err(error) => writing_failed(error),
    }
}

/// The grace period that the policy gives readers of the previous credential. Where there are consumers to tell, that comes before.
pub(crate) fn grace(cx: &Context<'_>) -> Option<Hold> {
    let grace = cx.policy.revoke.after;
    (cx.policy.after_promote.is_empty() && !grace.is_zero() && cx.fixed.replaces.is_some())
        .then(|| Hold { until: decide::later(cx.now(), grace), why: Why::Grace })
}
