//! Makes the candidate durable in the secret store, before the target hears of it.

use keywheel_core::handle::{Attempt, Stage};
use keywheel_core::{Failure, Retry};

use super::Outcome;
use crate::context::{Context, writing_failed};

pub(crate) async fn stage(cx: &Context<'_>, attempt: &Attempt<Stage>) -> Outcome {
    let Some(bundle) = cx.candidate_in_memory(attempt.candidate()) else {
        // It was made by a process that died, or before a pause. Nobody else saw it.
        let lost = "the value was not staged before the engine stopped";
        return Outcome::NotApplied(Failure::new("candidate-lost", lost, Retry::NewCandidate));
    };
    let version = cx.fixed.version(attempt.candidate());
    match cx.secrets().stage(&cx.fixed.secret, &version, &bundle, cx.now(), cx.fence).await {
        Ok(()) => Outcome::noted(format!("version {version} is PENDING")),
        Err(error) => writing_failed(error),
    }
}
