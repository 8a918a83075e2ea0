//! `restore`: the provider refuses the candidate.

use keywheel_sdk::{Bundle, Call, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::control::{PROVES_NOTHING, see_wrong_refused};
use crate::list::list;
use crate::probe::STILL_ACCEPTED;
use crate::remove::end;

/// Deletes the candidate by its id and proves that it is refused. Fine if it is gone. `current` is untouched.
pub(crate) async fn restore(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    if let Some(current) = current {
        differ(&access, candidate, current, "candidate")?;
    }
    match end(&access, candidate).await {
        // Where `verify` takes any key it proves nothing, which may be why this is taken back: then the list must do.
        Err(error) if error.code == STILL_ACCEPTED => {
            let proves = see_wrong_refused(&access, candidate).await;
            let id = access.key_id(candidate)?;
            if proves.is_err_and(|why| why.code == PROVES_NOTHING)
                && !list(&access).await?.iter().any(|key| key.key_id == id)
            {
                return Ok(());
            }
            Err(error)
        }
        ended => ended,
    }
}

/// Refuses to end a key that is the live one.
pub(crate) fn differ(access: &Access<'_>, other: &Bundle, current: &Bundle, what: &str) -> Result<(), RotatorError> {
    if access.key_id(other)? != access.key_id(current)? {
        return Ok(());
    }
    let message = format!(
        "{what} and current have the same `{}`: deleting it would end the live key",
        access.provider.id_field()
    );
    Err(RotatorError::not_done(Retry::Never, "same-key", message))
}
