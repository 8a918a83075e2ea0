//! `disable` and `revoke`: the provider refuses the previous key, for now or for good.

use keywheel_sdk::{Answer, Bundle, Call, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::probe::{OTHER_KEY, ask, see_refused};
use crate::put::accepted;
use crate::remove::{disable_only, end};
use crate::restore::differ;

/// Disables the previous key by its id and proves that it is refused. Fine if it is gone. Nothing is disabled unless the
/// current key is another one and is accepted at this moment, or where `previous` lacks a field that the proof needs.
pub(crate) async fn disable(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    previous: &Bundle,
    current: &Bundle,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    has_successor(&access, previous, current).await?;
    see_own_id(&access, previous).await?;
    access.request(&access.provider.verify.request, Some(previous)).await?;
    disable_only(&access, previous).await?;
    see_refused(&access, previous).await
}

/// Deletes the previous key by its id and proves that it is refused. Fine if it is gone. Nothing is deleted unless the
/// current key is another one and is accepted at this moment.
pub(crate) async fn revoke(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    previous: &Bundle,
    current: &Bundle,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    has_successor(&access, previous, current).await?;
    see_own_id(&access, previous).await?;
    end(&access, previous).await
}

/// Where the provider says which key a value is: that the id which is deleted is this one's. A person may have put the two
/// together wrongly.
async fn see_own_id(access: &Access<'_>, previous: &Bundle) -> Result<(), RotatorError> {
    if access.provider.verify.key_id.is_none() {
        return Ok(());
    }
    match ask(access, previous).await {
        Answer::Unknown(error) if error.code == OTHER_KEY => {
            let message = format!("{}; nothing is deleted by an id that is another key's", error.message);
            Err(RotatorError::not_done(Retry::Never, OTHER_KEY, message))
        }
        Answer::Yes | Answer::No { .. } | Answer::Partly { .. } | Answer::Unknown(_) => Ok(()),
    }
}

async fn has_successor(access: &Access<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
    differ(access, previous, current, "previous")?;
    accepted(access, current).await
}
