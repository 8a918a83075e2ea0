//! `apply` and `verify`: the candidate is accepted.

use keywheel_sdk::{Bundle, Call, Check, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::probe::see_accepted;

/// There is nothing to change, since the provider made the key; it ends when the key is accepted.
pub(crate) async fn apply(rotator: &ApiKeyRotator, call: &Call<'_>, candidate: &Bundle) -> Result<(), RotatorError> {
    see_accepted(&Access::of(rotator, call)?, candidate).await
}

/// Uses the candidate as an application would.
pub(crate) async fn verify(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    checks: &[Check],
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    for check in checks {
        match check {
            Check::Login => {}
            Check::Sql(_) => {
                let message = "an API key runs no SQL: leave `sql` out of the policy's `verify`";
                return Err(RotatorError::not_done(Retry::Never, "unsupported", message));
            }
        }
    }
    see_accepted(&access, candidate).await
}
