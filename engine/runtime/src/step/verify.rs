//! Logs in as the application would, and runs the policy's checks. Changes nothing, so no failure leaves a doubt.

use keywheel_core::handle::{Attempt, Verify};
use keywheel_sdk::Check;

use super::{Outcome, ready};
use crate::context::{Context, failure_of, within};

pub(crate) async fn verify(cx: &Context<'_>, attempt: &Attempt<Verify>) -> Outcome {
    let candidate = ready!(cx.candidate(attempt.candidate()).await);
    let current = ready!(cx.replaced().await);
    let target = ready!(cx.target().await);
    let checks: Vec<Check> = cx.policy.verify.iter().map(check).collect();
    let rotation = attempt.rotation().to_string();
    let call = cx.call(&target, &rotation);
    match within(cx, cx.rotator.verify(&call, &candidate, current.as_ref(), &checks)).await {
        Ok(()) => Outcome::DONE,
        Err(error) => Outcome::NotApplied(failure_of(&error)),
    }
}

fn check(check: &keywheel_policies::Check) -> Check {
    match check {
        keywheel_policies::Check::Login => Check::Login,
        keywheel_policies::Check::Sql(statement) => Check::Sql(statement.clone()),
    }
}
