//! Rolling back at the target: it refuses the candidate, and accepts `CURRENT`.

use keywheel_core::handle::{Attempt, Restore};

use super::{Outcome, ready};
use crate::context::{Context, outcome_of, within};

pub(crate) async fn restore(cx: &Context<'_>, attempt: &Attempt<Restore>) -> Outcome {
    let candidate = ready!(cx.candidate(attempt.candidate()).await);
    // What is CURRENT now, not what was: a person may have put another value meanwhile, and that is the one to serve.
    let current = ready!(cx.current().await).map(|(_, bundle)| bundle);
    let target = ready!(cx.target().await);
    let rotation = attempt.rotation().to_string();
    let call = cx.call(&target, &rotation);
    match within(cx, cx.rotator.restore(&call, &candidate, current.as_ref())).await {
        Ok(()) => Outcome::DONE,
        Err(error) => outcome_of(&error),
    }
}
