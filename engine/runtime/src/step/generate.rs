//! Makes the candidate's value. It lives in memory until `stage`; a crash before that costs nothing but the value.

use keywheel_core::handle::{Attempt, Generate};
use keywheel_core::{Failure, Retry};
use keywheel_policies::{Policy, Strategy};
use keywheel_sdk::{Bundle, PASSWORD, Target, USERNAME};
use keywheel_secrets::generate_password;

use super::{Outcome, ready};
use crate::account::recipe_of;
use crate::context::Context;

pub(crate) async fn generate(cx: &Context<'_>, attempt: &Attempt<Generate>) -> Outcome {
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
    let bundle = ready!(complete(cx, &target, Bundle::login(&username, password)));
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
fn complete(cx: &Context<'_>, target: &Target, mut bundle: Bundle) -> Result<Bundle, Failure> {
    for field in cx.policy.secret.fields.iter().filter(|field| ![USERNAME, PASSWORD].contains(&field.as_str())) {
        let Some(value) = cx.rotator.derive_field(target, &bundle, field) else {
            return Err(Failure::new("field", format!("the rotator cannot make the field `{field}`"), Retry::Never));
        };
        bundle = bundle.with(field, value);
    }
    Ok(bundle)
}
