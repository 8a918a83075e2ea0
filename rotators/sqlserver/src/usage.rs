//! `usage`: who still uses a credential.

use keywheel_sdk::{Bundle, Call, RotatorError, Usage};

use crate::access::{Access, never};
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
        let pool = instance.pool().ok_or_else(|| {
            never("self-managed", "counting the sessions of an account that manages itself is not possible".to_owned())
        })?;
        let query = sessions::query(access.settings.kind, &account);
        let rows = pool.read(&access.frame, &query, "count the sessions").await;
        let located = |error| access.located(instance.address, error);
        count += sessions::read(&rows.map_err(located)?).map_err(located)?.len();
    }
    Ok(Usage { sessions: u64::try_from(count).unwrap_or(u64::MAX) })
}
