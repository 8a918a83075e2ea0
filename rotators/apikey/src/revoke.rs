//! `disable` and `revoke`: the provider refuses the previous key, for now or for good.

use keywheel_sdk::{Bundle, Call, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::probe::see_refused;
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
    end(&access, previous).await
}

async fn has_successor(access: &Access<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
    differ(access, previous, current, "previous")?;
    accepted(access, current).await
}
