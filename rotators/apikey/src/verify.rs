//! `apply` and `verify`: the candidate is accepted.

use keywheel_sdk::{Bundle, Call, Check, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::control::see_wrong_refused;
use crate::probe::see_accepted;

/// There is nothing to change, since the provider made the key; it ends when the key is accepted and a wrong one is not.
pub(crate) async fn apply(rotator: &ApiKeyRotator, call: &Call<'_>, candidate: &Bundle) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    see_accepted(&access, candidate).await?;
    see_wrong_refused(&access, candidate).await
}

/// Uses the candidate as an application would. That a wrong key is refused is seen here again: `apply` may have been settled by
/// a look at the candidate alone.
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
    see_accepted(&access, candidate).await?;
    see_wrong_refused(&access, candidate).await
}
