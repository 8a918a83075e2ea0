//! Makes the candidate's value, or has the provider make it. Either way it lives in memory until `stage`.
//!
//! What the engine made costs nothing but itself if the process dies. What a provider made stays at the provider: it carries
//! the rotation's tag, by which it is found and swept away before another is made, and before the rotation ends.

use keywheel_core::handle::{Attempt, Generate};
use keywheel_core::{Failure, Retry};
use keywheel_policies::{Policy, Strategy};
use keywheel_sdk::{Bundle, Call, Origin, PASSWORD, USERNAME};
use keywheel_secrets::generate_password;

use super::{Outcome, ready, sweep_before};
use crate::account::recipe_of;
use crate::context::{Context, outcome_of, within};

pub(crate) async fn generate(cx: &Context<'_>, attempt: &Attempt<Generate>) -> Outcome {
    match cx.origin {
        Origin::Engine => by_the_engine(cx, attempt).await,
        Origin::Provider => by_the_provider(cx, attempt).await,
    }
}

/// Nobody holds the values of earlier tries, so they go first.
async fn by_the_provider(cx: &Context<'_>, attempt: &Attempt<Generate>) -> Outcome {
    let current = ready!(cx.still_current().await);
    let target = ready!(cx.target().await);
    let rotation = attempt.rotation().to_string();
    let call = cx.call(&target, &rotation);
    if let Err(outcome) = sweep_before(cx, &target).await {
        return outcome;
    }
    let bundle = match within(cx, cx.rotator.generate(&call, current.as_ref())).await {
        Ok(bundle) => bundle,
        Err(error) => return outcome_of(&error),
    };
    if let Some(field) = cx.policy.secret.fields.iter().find(|field| bundle.get(field).is_err()) {
        let message = format!("the provider's answer holds no `{field}`; what it made is swept away");
        // In doubt, so that it is swept away before the rotation ends.
        return Outcome::Unknown(Failure::new("field", message, Retry::Never));
    }
    cx.keep_candidate(attempt.candidate(), bundle);
    Outcome::DONE
}

async fn by_the_engine(cx: &Context<'_>, attempt: &Attempt<Generate>) -> Outcome {
    let target = ready!(cx.target().await);
    let current = ready!(cx.still_current().await);
    let username = ready!(account(cx.policy, current.as_ref()));
    let password = ready!(
        recipe_of(&cx.policy.generate).and_then(|recipe| generate_password(&recipe)).map_err(|error| Failure::new(
            "generate",
            error.to_string(),
            Retry::Never
        ))
    );
    let rotation = attempt.rotation().to_string();
    let bundle = match complete(cx, &cx.call(&target, &rotation), Bundle::login(&username, password)).await {
        Ok(bundle) => bundle,
        Err(outcome) => return outcome,
    };
    cx.keep_candidate(attempt.candidate(), bundle);
    Outcome::noted(format!("for `{username}`"))
}

/// Which account gets the new value: the only one, or the one whose turn it is.
fn account(policy: &Policy, current: Option<&Bundle>) -> Result<String, Failure> {
    let never = |message: String| Failure::new("account", message, Retry::Never);
    let live = current.map(|bundle| bundle.username().map_err(|error| never(error.to_string()))).transpose()?;
    match (&policy.strategy, live) {
        (Strategy::InPlace { user }, None) => Ok(user.clone()),
        (Strategy::InPlace { user }, Some(live)) if live == *user => Ok(live),
        (Strategy::InPlace { user }, Some(live)) => {
            Err(never(format!("CURRENT is for `{live}`, but the policy rotates `{user}`; put the right value first")))
        }
        (Strategy::Alternating { users, .. }, None) => Ok(users[0].clone()),
        (Strategy::Alternating { users: [a, b], .. }, Some(live)) if live == *a => Ok(b.clone()),
        (Strategy::Alternating { users: [a, b], .. }, Some(live)) if live == *b => Ok(a.clone()),
        (Strategy::Alternating { users: [a, b], .. }, Some(live)) => {
            Err(never(format!("CURRENT is for `{live}`, which is neither `{a}` nor `{b}`; put the right value first")))
        }
        (Strategy::Overlapping, _) => Err(never("this rotator does not make overlapping credentials".to_owned())),
    }
}

/// Adds the fields that the policy wants and the rotator derives.
async fn complete(cx: &Context<'_>, call: &Call<'_>, mut bundle: Bundle) -> Result<Bundle, Outcome> {
    for field in cx.policy.secret.fields.iter().filter(|field| ![USERNAME, PASSWORD].contains(&field.as_str())) {
        let derived = within(cx, cx.rotator.derive_field(call, &bundle, field)).await;
        let Some(value) = derived.map_err(|error| outcome_of(&error))? else {
            let message = format!("the rotator cannot make the field `{field}`");
            return Err(Outcome::NotApplied(Failure::new("field", message, Retry::Never)));
        };
        bundle = bundle.with(field, value);
    }
    Ok(bundle)
}
