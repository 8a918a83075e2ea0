//! `usage`: who still uses a credential.

use keywheel_sdk::{Bundle, Call, RotatorError, Usage};

use crate::access::Access;
use crate::{SqlServerRotator, sessions};

/// Counts the sessions of the credential's account, on all instances. The server does not say with which password a session
/// was opened, so for an account that is rotated in place the number says nothing about one of its passwords.
pub(crate) async fn usage(
    rotator: &SqlServerRotator,
    call: &Call<'_>,
    credential: &Bundle,
) -> Result<Usage, RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(credential)?;
    let mut count = 0;
    for instance in access.instances() {
        let here = sessions::count(&instance, &account).await;
        count += here.map_err(|error| access.located(instance.address, error))?;
    }
    Ok(Usage { sessions: u64::try_from(count).unwrap_or(u64::MAX) })
}
