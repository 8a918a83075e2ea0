//! `usage`: who still uses a credential.

use keywheel_sdk::{Bundle, Call, RotatorError, Usage};

use crate::PostgresRotator;
use crate::access::{Access, never};
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column};

/// Counts the sessions of the credential's role, in all databases. The server does not say with which password a session
/// was opened, so for a role that is rotated in place the number says nothing about one of its passwords.
pub(crate) async fn usage(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    credential: &Bundle,
) -> Result<Usage, RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(credential)?;
    let pool = access.pool()?.ok_or_else(|| {
        never("self-managed", "counting the sessions of a role that manages itself is not possible".to_owned())
    })?;
    let doing = "count the sessions";
    let query =
        Sql::new("SELECT count(*) AS sessions FROM pg_catalog.pg_stat_activity WHERE usename = ").literal(&account);
    let rows = pool.read(&access.frame, &query, doing).await?;
    let count = rows.first().map(|row| column(row, "sessions")).transpose();
    let count = count.map_err(|error| sqlstate::failure(&error, Moment::Reading, doing))?;
    let count = count.flatten().and_then(|count| count.parse().ok());
    count.map(|sessions| Usage { sessions }).ok_or_else(|| never("protocol", "the server gave no count".to_owned()))
}
