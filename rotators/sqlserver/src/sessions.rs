//! The sessions of an account: counted, and ended where a policy says so. Neither a new password nor DISABLE ends them.
//!
//! Azure SQL Database shows and ends a login's sessions only from within the database where they are; everywhere else a login's
//! are seen from `master`, and a contained user's from its own database.

use std::sync::Arc;
use std::time::Duration;

use keywheel_sdk::{Retry, RotatorError};
use tiberius::Row;

use crate::access::never;
use crate::answer::{self, Moment};
use crate::connect::{Pool, Session, late};
use crate::fence::{AZURE_SQL_DATABASE, Fenced};
use crate::frame::Frame;
use crate::instance::Instance;
use crate::settings::Kind;
use crate::statement::{Sql, number};

/// How often the sessions are looked at again: what they had not finished is rolled back first, and new ones may come.
const ROUNDS: usize = 20;

/// 1 where the one who asks sees all sessions of the server; of the database on Azure SQL Database. Else 0.
pub(crate) const SEES_ALL: &str = "CASE WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER STATE') = 1 \
     OR HAS_PERMS_BY_NAME(NULL, NULL, N'VIEW SERVER PERFORMANCE STATE') = 1 \
     OR (CONVERT(int, SERVERPROPERTY(N'EngineEdition')) = 5 \
     AND HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW DATABASE STATE') = 1) THEN 1 ELSE 0 END";
/// 1 where the one who asks may end them, else 0.
pub(crate) const ENDS: &str = "CASE WHEN HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY CONNECTION') = 1 \
     OR (CONVERT(int, SERVERPROPERTY(N'EngineEdition')) = 5 \
     AND HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'KILL DATABASE CONNECTION') = 1) THEN 1 ELSE 0 END";

/// How many sessions an account has on this instance.
pub(crate) async fn count(instance: &Instance<'_>, account: &str) -> Result<usize, RotatorError> {
    let doing = "count the sessions";
    let pool = instance.pool().ok_or_else(|| {
        never("self-managed", "counting the sessions of an account that manages itself is not possible".to_owned())
    })?;
    let kind = instance.settings.kind;
    let mut rows = pool.read(&instance.frame, &query(kind, account), doing).await?;
    let azure = rows.iter().find_map(|row| number(row, "edition")) == Some(AZURE_SQL_DATABASE);
    if azure && kind == Kind::Login {
        rows = applications_pool(instance)?.read(&instance.frame, &query(kind, account), doing).await?;
    }
    Ok(read(&rows)?.len())
}

/// Where Azure SQL Database shows a login's sessions.
pub(crate) fn applications_pool(instance: &Instance<'_>) -> Result<Arc<Pool>, RotatorError> {
    let database = &instance.settings.database;
    let pool = instance.pool_in(database).filter(|_| !database.eq_ignore_ascii_case("master"));
    pool.ok_or_else(|| {
        never(
            "sessions",
            "the login's sessions cannot be seen: Azure SQL Database shows them in the database where they are only, so name \
             the application's database in `target.database`"
                .to_owned(),
        )
    })
}

/// The account's sessions, and whether all of them can be seen. Without the right only one's own are shown, which says
/// nothing.
fn query(kind: Kind, account: &str) -> Sql {
    Sql::new("SELECT ")
        .fixed(SEES_ALL)
        .fixed(" AS sees_all, CONVERT(int, SERVERPROPERTY(N'EngineEdition')) AS edition; ")
        .fixed("SELECT CONVERT(int, s.session_id) AS session FROM sys.dm_exec_sessions AS s ")
        .fixed("WHERE s.is_user_process = 1 AND s.session_id <> @@SPID AND ")
        .then(&of_account(kind, account))
}

/// A login and a contained user may have the same name. For logins the database is 0 by the documentation of
/// `sys.dm_exec_sessions`; 1 is `master`, where they are looked up.
fn of_account(kind: Kind, account: &str) -> Sql {
    let database = match kind {
        Kind::Login => "s.authenticating_database_id IN (0, 1)",
        Kind::ContainedUser => "s.authenticating_database_id = DB_ID()",
    };
    Sql::new(database).fixed(" AND s.original_login_name = ").literal(account)
}

/// The sessions among the rows of [`query`].
fn read(rows: &[Row]) -> Result<Vec<i32>, RotatorError> {
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

/// From where sessions are ended.
struct Ground<'f> {
    frame: Frame,
    by: By<'f>,
}

enum By<'f> {
    /// The session that holds the account's lock.
    Fence(&'f mut Fenced),
    /// One in the application's database.
    Application(Session),
}

/// Ends the sessions of an account that can no longer log in.
pub(crate) async fn end(instance: &Instance<'_>, fenced: &mut Fenced, account: &str) -> Result<(), RotatorError> {
    let (doing, kind) = ("end the sessions of the previous account", instance.settings.kind);
    let by = match fenced.is_azure() && kind == Kind::Login {
        true => By::Application(applications_pool(instance)?.session(&instance.frame, true).await?),
        false => By::Fence(fenced),
    };
    let mut ground = Ground { frame: instance.frame, by };
    for _ in 0..ROUNDS {
        let open = read(&ground.run(&query(kind, account), doing).await?)?;
        if open.is_empty() {
            return Ok(());
        }
        for session in open {
            ground.end_one(kind, account, session).await?;
        }
        ground.run(&Sql::new("WAITFOR DELAY '00:00:00.100'"), doing).await?;
    }
    let message = format!("could not {doing}: some are still rolling back, or new ones come");
    Err(RotatorError::not_done(Retry::After(Duration::from_secs(30)), "sessions", message))
}

impl Ground<'_> {
    async fn try_run(&mut self, batch: &Sql) -> Result<Result<Vec<Row>, tiberius::error::Error>, RotatorError> {
        match &mut self.by {
            By::Fence(fenced) => fenced.try_run(batch).await,
            By::Application(session) => {
                self.frame.within(batch.run(session.line()), || late("end the account's sessions")).await
            }
        }
    }

    async fn run(&mut self, batch: &Sql, doing: &str) -> Result<Vec<Row>, RotatorError> {
        self.try_run(batch).await?.map_err(|error| answer::failure(&error, Moment::Reading, doing))
    }

    /// Session numbers are used again, so whether it is still the account's is asked in the batch that ends it. `KILL` takes
    /// no variable.
    async fn end_one(&mut self, kind: Kind, account: &str, session: i32) -> Result<(), RotatorError> {
        let batch = Sql::new("IF EXISTS (SELECT 1 FROM sys.dm_exec_sessions AS s WHERE s.session_id = ")
            .number(session.into())
            .fixed(" AND ")
            .then(&of_account(kind, account))
            .fixed(") KILL ")
            .number(session.into());
        match self.try_run(&batch).await? {
            Ok(_) => Ok(()),
            // Gone by itself, or ending already.
            Err(error) if matches!(error.code(), Some(6106 | 6107)) => Ok(()),
            Err(error) => Err(answer::failure(&error, Moment::Reading, "end a session of the previous account")),
        }
    }
}
