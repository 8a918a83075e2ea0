//! `revoke`: the provider refuses the previous key.

use keywheel_sdk::{Answer, Bundle, Call, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::probe::ask;
use crate::remove::end;
use crate::restore::differ;

/// Deletes the previous key by its id and proves that it is refused. Fine if it is gone. Nothing is deleted unless the
/// current key is another one and is accepted at this moment.
pub(crate) async fn revoke(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    previous: &Bundle,
    current: &Bundle,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    differ(previous, current, "previous")?;
    match ask(&access, current).await {
        Answer::Yes => {}
        Answer::No { reason } | Answer::Partly { reason } => {
            let message = format!("the current key is refused ({reason}), so the previous one stays");
            return Err(RotatorError::not_done(Retry::Now, "current-refused", message));
        }
        Answer::Unknown(error) => return Err(error),
    }
    end(&access, previous).await
}
