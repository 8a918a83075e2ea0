//! Rolling back in the secret store: the candidates are destroyed, now that the target refuses them.

use keywheel_core::handle::{Attempt, Discard};

use super::{Outcome, sweep_own};
use crate::context::{Context, writing_failed};

pub(crate) async fn discard(cx: &Context<'_>, attempt: &Attempt<Discard>) -> Outcome {
    if let Err(outcome) = sweep_own(cx).await {
        return outcome;
    }
    // Earlier candidates were refused, and are usually destroyed when a later one is staged; a later one may never have been.
    for candidate in 1..=attempt.candidate() {
        if let Err(error) = cx.secrets().discard(&cx.fixed.secret, &cx.fixed.version(candidate), cx.fence).await {
            return writing_failed(error);
        }
    }
    Outcome::DONE
}
