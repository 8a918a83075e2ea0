//! Makes the target accept the candidate.

use keywheel_core::handle::{Apply, Attempt};

use super::{Outcome, ready};
use crate::context::{Context, outcome_of, within};

pub(crate) async fn apply(cx: &Context<'_>, attempt: &Attempt<Apply>) -> Outcome {
    // Asked again: while a version is PENDING nobody else moves CURRENT, so from here on it stays.
    let current = ready!(cx.still_current().await);
    let candidate = ready!(cx.candidate(attempt.candidate()).await);
    let target = ready!(cx.target().await);
    let rotation = attempt.rotation().to_string();
    let call = cx.call(&target, &rotation);
    match within(cx, cx.rotator.apply(&call, &candidate, current.as_ref())).await {
        Ok(()) => Outcome::DONE,
        Err(error) => outcome_of(&error),
    }
}
