//! The sessions of an account: counted, and ended where a policy says so. Neither a new password nor DISABLE ends them.

use std::time::Duration;

use keywheel_sdk::{Retry, RotatorError};
use tiberius::Row;

use crate::access::never;
use crate::answer;
use crate::fence::Fenced;
use crate::settings::Kind;
use crate::statement::{Sql, number};

/// How often the sessions are looked at again: what they had not finished is rolled back first, and new ones may come.
const ROUNDS: usize = 20;

/// The account's sessions, and whether all of them can be seen. Without the right only one's own are shown, which says
/// nothing.
pub(crate) fn query(kind: Kind, account: &str) -> Sql {
    let query = Sql::new("SELECT CASE WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 ")
        .fixed("OR HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 ")
        .fixed("OR (HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'VIEW DATABASE STATE') = 1 ")
        .fixed("AND CONVERT(int, SERVERPROPERTY(N'EngineEdition')) = 5) THEN 1 ELSE 0 END AS sees_all; ")
        .fixed("SELECT CONVERT(int, s.session_id) AS session FROM sys.dm_exec_sessions AS s ")
        .fixed("WHERE s.is_user_process = 1 AND s.session_id <> @@SPID AND s.original_login_name = ")
        .literal(account);
    match kind {
        Kind::Login => query,
        // A login of the server may have the same name.
        Kind::ContainedUser => query.fixed(" AND s.authenticating_database_id = DB_ID()"),
    }
}

/// The sessions among the rows of [`query`].
pub(crate) fn read(rows: &[Row]) -> Result<Vec<i32>, RotatorError> {
    if rows.iter().find_map(|row| number(row, "sees_all")) != Some(1) {
        return Err(never(
            "300",
            "the admin cannot see the sessions of others: it needs VIEW SERVER STATE (on Azure SQL Database, VIEW DATABASE \
             STATE)"
                .to_owned(),
        ));
    }
    Ok(rows.iter().filter_map(|row| number(row, "session")).collect())
}

/// Ends the sessions of an account that can no longer log in.
pub(crate) async fn end(fenced: &mut Fenced, kind: Kind, account: &str) -> Result<(), RotatorError> {
    let doing = "end the sessions of the previous account";
    for _ in 0..ROUNDS {
        let open = read(&fenced.run(&query(kind, account), doing).await?)?;
        if open.is_empty() {
            return Ok(());
        }
        for session in open {
            end_one(fenced, kind, account, session).await?;
        }
        fenced.run(&Sql::new("WAITFOR DELAY '00:00:00.100'"), doing).await?;
    }
    let message = format!("could not {doing}: some are still rolling back, or new ones come");
    Err(RotatorError::not_done(Retry::After(Duration::from_secs(30)), "sessions", message))
}

/// Session numbers are used again, so whether it is still the account's is asked in the batch that ends it. `KILL` takes no
/// variable.
async fn end_one(fenced: &mut Fenced, kind: Kind, account: &str, session: i32) -> Result<(), RotatorError> {
    let still = match kind {
        Kind::Login => Sql::new("IF EXISTS (SELECT 1 FROM sys.dm_exec_sessions AS s WHERE s.session_id = "),
        Kind::ContainedUser => Sql::new(
            "IF EXISTS (SELECT 1 FROM sys.dm_exec_sessions AS s WHERE s.authenticating_database_id = DB_ID() AND s.session_id = ",
        ),
    };
    let batch = still
        .number(session.into())
        .fixed(" AND s.original_login_name = ")
        .literal(account)
        .fixed(") KILL ")
        .number(session.into());
    match fenced.try_run(&batch).await? {
        Ok(_) => Ok(()),
        // Gone by itself, or ending already.
        Err(error) if matches!(error.code(), Some(6106 | 6107)) => Ok(()),
        Err(error) => Err(answer::failure(&error, answer::Moment::Reading, "end a session of the previous account")),
    }
}
