//! The fence: while we change or judge an account, no earlier call of ours can still change it.
//!
//! A call may outlive its process: the batch lies in a buffer, the machine was asleep, the line was cut but the server still
//! has the session. So every change takes two messages: the first takes an application lock that belongs to the session, the
//! second (sent only after the lock was confirmed, and only before the call's deadline) changes the account. Whoever finds the
//! lock held ends the holder's session first, whatever it calls itself: the engine's lease allows one writer, so the holder is
//! a leftover, or a stranger who blocks rotations (any account of the database can take such a lock). When the server ends a
//! session it rolls back what that session had not finished, and then frees its locks; so who has the lock knows that
//! nothing is still on its way.
//!
//! Application locks are per database (SQL Server documentation, "sp_getapplock"): logins are fenced in `master`, contained
//! users in their own.

use std::time::Duration;

use aws_lc_rs::digest;
use keywheel_sdk::{Retry, RotatorError, Secret};
use tiberius::Row;

use crate::account::{self, Account, Asked};
use crate::answer::{self, Moment};
use crate::connect::{Session, late, standing};
use crate::frame::Frame;
use crate::instance::{Instance, Source};
use crate::settings::Kind;
use crate::statement::{Sql, has, number, text};

/// `EngineEdition` of Azure SQL Database (Transact-SQL reference, "SERVERPROPERTY").
pub(crate) const AZURE_SQL_DATABASE: i32 = 5;

/// A session that holds an account's lock. Dropped without [`Fenced::leave`], the session is closed, which frees the lock.
pub(crate) struct Fenced {
    session: Session,
    frame: Frame,
    lock: String,
    azure: bool,
    /// The account as it is now; `None` if there is none, or none that may be seen.
    pub(crate) account: Option<Account>,
    /// Whether accounts can be seen that are not one's own.
    pub(crate) sees: bool,
    /// Whether the two names that take turns are one account here.
    twins: bool,
}

/// Takes the lock of `name`, ending the session that holds it. With `password`, says whether it is the account's.
///
/// Changes nothing at the target, so its errors have no effect.
pub(crate) async fn enter(
    instance: &Instance<'_>,
    source: Source,
    name: &str,
    password: Option<&Secret>,
) -> Result<Fenced, RotatorError> {
    let lock = lock_of(name);
    let batch = opening(instance, &lock, name, password.is_some(), false);
    let (session, rows) = first_message(instance, source, &batch, password).await?;
    let mut fenced =
        Fenced { session, frame: instance.frame, lock, azure: false, account: None, sees: false, twins: false };
    match held(&rows) {
        true => fenced.read(&rows),
        false => fenced.displace(instance, name, password).await?,
    }
    if fenced.twins {
        fenced.leave().await?;
        return Err(twins(instance));
    }
    Ok(fenced)
}

/// As [`enter`], only to look: the lock is freed in the same message.
pub(crate) async fn look(
    instance: &Instance<'_>,
    source: Source,
    name: &str,
    password: Option<&Secret>,
) -> Result<(Option<Account>, bool), RotatorError> {
    let lock = lock_of(name);
    let batch = opening(instance, &lock, name, password.is_some(), true);
    let (session, rows) = first_message(instance, source, &batch, password).await?;
    let mut fenced =
        Fenced { session, frame: instance.frame, lock, azure: false, account: None, sees: false, twins: false };
    if held(&rows) {
        fenced.read(&rows);
        fenced.session.finish(&instance.frame).await;
        return Ok((fenced.account, fenced.sees));
    }
    fenced.displace(instance, name, password).await?;
    let seen = (fenced.account, fenced.sees);
    fenced.leave().await?;
    Ok(seen)
}

impl Fenced {
    /// Sends one change, alone in its batch as Azure SQL asks, and keeps the lock.
    ///
    /// Afterwards the change is durable. An error says whether it may have happened.
    pub(crate) async fn change(&mut self, change: &Sql, doing: &str) -> Result<(), RotatorError> {
        if self.frame.left().is_zero() {
            let message = format!("could not {doing}: the time was over before the change was sent");
            return Err(RotatorError::not_done(Retry::Now, "timeout", message));
        }
        let unknown = || {
            RotatorError::unknown(
                "timeout",
                format!("no answer in time: it is unknown whether the server could {doing}"),
            )
        };
        let batch = match self.azure {
            true => {
                self.run(&standing(), doing).await?;
                Sql::default().then(change)
            }
            // A lock of somebody else must not make the server act later than we wait.
            false => standing().fixed("SET LOCK_TIMEOUT ").number(self.frame.left_ms()).fixed("; ").then(change),
        };
        let sent = self.frame.within(batch.run(self.session.line()), unknown).await?;
        sent.map(drop).map_err(|error| answer::failure(&error, Moment::Changing, doing))
    }

    /// Frees the lock. What was changed stays.
    pub(crate) async fn leave(mut self) -> Result<(), RotatorError> {
        let free =
            Sql::new("EXEC sp_releaseapplock @Resource = ").literal(&self.lock).fixed(", @LockOwner = N'Session'");
        self.run(&free, "free the account's lock").await?;
        self.session.finish(&self.frame).await;
        Ok(())
    }

    /// Runs a batch that changes nothing.
    pub(crate) async fn run(&mut self, batch: &Sql, doing: &str) -> Result<Vec<Row>, RotatorError> {
        let answer = self.frame.within(batch.run(self.session.line()), || late(doing)).await?;
        answer.map_err(|error| answer::failure(&error, Moment::Reading, doing))
    }

    /// The account as it is now, and whether this is its password.
    pub(crate) async fn look_again(
        &mut self,
        kind: Kind,
        name: &str,
        password: &Secret,
    ) -> Result<Option<Account>, RotatorError> {
        let doing = "look at the account";
        let asked = Asked { password: kind == Kind::Login };
        let query = account::query(kind, name, asked);
        let sent = send(&query, &mut self.session, Some(password).filter(|_| asked.password));
        let rows = self.frame.within(sent, || late(doing)).await?;
        Ok(account::read(&rows.map_err(|error| answer::failure(&error, Moment::Reading, doing))?))
    }

    /// As [`Fenced::run`], where the server's own error is wanted.
    pub(crate) async fn try_run(
        &mut self,
        batch: &Sql,
    ) -> Result<Result<Vec<Row>, tiberius::error::Error>, RotatorError> {
        self.frame.within(batch.run(self.session.line()), || late("run a batch")).await
    }

    /// Whether this is Azure SQL Database, which knows less.
    pub(crate) fn is_azure(&self) -> bool {
        self.azure
    }

    fn read(&mut self, rows: &[Row]) {
        self.account = account::read(rows);
        let facts = rows.iter().find(|row| has(row, "edition"));
        self.azure = facts.and_then(|row| number(row, "edition")) == Some(AZURE_SQL_DATABASE);
        self.sees = facts.and_then(|row| number(row, "sees")) == Some(1);
        self.twins = facts.and_then(|row| number(row, "twins")) == Some(1);
    }

    /// Ends whoever holds the lock, and takes it.
    async fn displace(
        &mut self,
        instance: &Instance<'_>,
        name: &str,
        password: Option<&Secret>,
    ) -> Result<(), RotatorError> {
        tracing::warn!(account = name, "another session holds the lock of this account: ending that session");
        loop {
            let holders = self.end_holders(name).await?;
            let patience = (self.frame.left_ms() / 4).clamp(1, PATIENCE);
            let take = take(&self.lock, patience).then(&facts(instance, name, password.is_some()));
            let sent = send(&take, &mut self.session, password);
            let rows = self
                .frame
                .within(sent, || late(DISPLACING))
                .await?
                .map_err(|error| answer::failure(&error, Moment::Reading, DISPLACING))?;
            if held(&rows) {
                self.read(&rows);
                return Ok(());
            }
            // Another one stood before us in the queue, or the session does not end: look again while there is time.
            if self.frame.left_ms() < 2 * PATIENCE {
                let message =
                    format!("the lock of the account `{name}` is held by {holders}: end that session by hand");
                return Err(RotatorError::not_done(Retry::After(Duration::from_secs(30)), "fence-held", message));
            }
        }
    }

    /// Ends the sessions that hold the lock, as far as they can be seen and we may. Says who they are.
    async fn end_holders(&mut self, name: &str) -> Result<String, RotatorError> {
        let query = Sql::new("SELECT CONVERT(int, l.request_session_id) AS session, s.login_name AS login ")
            .fixed("FROM sys.dm_tran_locks AS l JOIN sys.dm_exec_sessions AS s ON s.session_id = l.request_session_id ")
            .fixed("WHERE l.resource_type = N'APPLICATION' AND l.request_status LIKE N'GRANT%' ")
            .fixed("AND l.resource_database_id = DB_ID() AND l.request_session_id <> @@SPID AND CHARINDEX(")
            .literal(&self.lock)
            .fixed(", l.resource_description) > 0");
        let rows = match self.frame.within(query.run(self.session.line()), || late(DISPLACING)).await? {
            Ok(rows) => rows,
            // Without VIEW SERVER STATE nobody is seen: wait for the lock then.
            Err(error) if may_not(&error) => {
                return Ok("a session that the admin may not see (VIEW SERVER STATE)".into());
            }
            Err(error) => return Err(answer::failure(&error, Moment::Reading, DISPLACING)),
        };
        let mut holders = Vec::new();
        for row in &rows {
            let Some(session) = number(row, "session") else { continue };
            let login = text(row, "login").unwrap_or_default();
            holders.push(format!("session {session} of `{}`", answer::bounded(&login)));
            // Session numbers are used again, so whether it still holds the lock is asked in the batch that ends it.
            let kill = Sql::new(
                "IF EXISTS (SELECT 1 FROM sys.dm_tran_locks AS l WHERE l.resource_type = N'APPLICATION' ",
            )
            .fixed(
                "AND l.request_status LIKE N'GRANT%' AND l.resource_database_id = DB_ID() AND l.request_session_id = ",
            )
            .number(session.into())
            .fixed(" AND CHARINDEX(")
            .literal(&self.lock)
            .fixed(", l.resource_description) > 0) KILL ")
            .number(session.into());
            match self.frame.within(kill.run(self.session.line()), || late(DISPLACING)).await? {
                Ok(_) => tracing::info!(account = name, session, "ended a session that held the account's lock"),
                // Gone by itself, ending already, or not ours to end.
                Err(error) if matches!(error.code(), Some(6106 | 6107)) || may_not(&error) => {}
                Err(error) => return Err(answer::failure(&error, Moment::Reading, DISPLACING)),
            }
        }
        Ok(if holders.is_empty() { "sessions that come and go".to_owned() } else { holders.join(", ") })
    }
}

/// The longest wait for a lock whose holder was just ended, before looking again at who holds it. Milliseconds.
const PATIENCE: i64 = 500;

const DISPLACING: &str = "end the session that holds the lock of the account";

fn may_not(error: &tiberius::error::Error) -> bool {
    matches!(error.code(), Some(229 | 262 | 297 | 300 | 371 | 6102))
}

/// Sends the opening message. A pooled session may have been cut while it was idle; then a new one is tried, since this
/// message changes nothing.
async fn first_message(
    instance: &Instance<'_>,
    source: Source,
    batch: &Sql,
    password: Option<&Secret>,
) -> Result<(Session, Vec<Row>), RotatorError> {
    let doing = "take the lock of the account";
    let (pool, mut session) = match source {
        Source::Admin(pool) => {
            let session = pool.session(&instance.frame, false).await?;
            (Some(pool), session)
        }
        Source::Own(session) => (None, session),
    };
    loop {
        let answer = instance.frame.within(send(batch, &mut session, password), || late(doing)).await?;
        match (answer, &pool) {
            (Ok(rows), _) => return Ok((session, rows)),
            (Err(error), Some(pool)) if session.reused && answer::is_cut(&error) => {
                drop(session);
                session = pool.session(&instance.frame, true).await?;
            }
            (Err(error), _) => return Err(answer::failure(&error, Moment::Reading, doing)),
        }
    }
}

async fn send(
    batch: &Sql,
    session: &mut Session,
    password: Option<&Secret>,
) -> Result<Vec<Row>, tiberius::error::Error> {
    match password {
        Some(password) => batch.run_with(session.line(), password).await,
        None => batch.run(session.line()).await,
    }
}

/// Asks for the lock without waiting, and for the account. `free` lets go of it again.
fn opening(instance: &Instance<'_>, lock: &str, name: &str, compares: bool, free: bool) -> Sql {
    // That of an earlier change stays with a pooled session.
    let batch = Sql::new("SET LOCK_TIMEOUT -1; ").then(&take(lock, 0)).then(&facts(instance, name, compares));
    match free {
        true => batch
            .fixed("; IF @held >= 0 EXEC sp_releaseapplock @Resource = ")
            .literal(lock)
            .fixed(", @LockOwner = N'Session'"),
        false => batch,
    }
}

fn take(lock: &str, patience_ms: i64) -> Sql {
    standing()
        .fixed("DECLARE @held int; EXEC @held = sp_getapplock @Resource = ")
        .literal(lock)
        .fixed(", @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = ")
        .number(patience_ms)
        .fixed("; ")
}

fn facts(instance: &Instance<'_>, name: &str, compares: bool) -> Sql {
    let kind = instance.settings.kind;
    same_account(instance)
        .fixed("SELECT @held AS held, @twins AS twins, CONVERT(int, SERVERPROPERTY(N'EngineEdition')) AS edition, ")
        .fixed(match kind {
            Kind::Login => account::CHANGES_LOGINS,
            Kind::ContainedUser => account::CHANGES_USERS,
        })
        .fixed(" AS sees; ")
        .then(&account::query(kind, name, Asked { password: compares }))
}

/// Whether the two accounts that take turns are one. The server's collation decides: it may not tell cases, accents or widths
/// apart, and to change the idle one would be to change the live one.
fn same_account(instance: &Instance<'_>) -> Sql {
    let nothing = Sql::new("DECLARE @twins int = 0; ");
    let [first, second] = instance.strategy.users() else { return nothing };
    let id = match instance.settings.kind {
        Kind::Login => "SUSER_SID(",
        Kind::ContainedUser => "DATABASE_PRINCIPAL_ID(",
    };
    nothing
        .fixed("IF ")
        .literal(first)
        .fixed(" = ")
        .literal(second)
        .fixed(" OR ")
        .fixed(id)
        .literal(first)
        .fixed(") = ")
        .fixed(id)
        .literal(second)
        .fixed(") SET @twins = 1; ")
}

fn twins(instance: &Instance<'_>) -> RotatorError {
    let names = instance.strategy.users().join("` and `");
    let message = format!("`{names}` are one account to this server, so they cannot take turns");
    RotatorError::not_done(Retry::Never, "account", message)
}

/// Return codes of `sp_getapplock`: 0 and 1 are success, negative ones are not.
fn held(rows: &[Row]) -> bool {
    rows.iter().find_map(|row| number(row, "held")).is_some_and(|held| held >= 0)
}

/// The lock's name: constant for an account's name, for all versions of this rotator. The server shows its first 32
/// characters in `sys.dm_tran_locks`, so it is no longer than that. Names that differ in case may be one account, so they
/// share a lock.
fn lock_of(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.to_lowercase().as_bytes());
    let hex: String = hash.as_ref()[..10].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("keywheel v1 {hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_a_name_never_changes() {
        // Written down: an older version's leftovers must be found by a newer one.
        assert_eq!(lock_of("orders"), "keywheel v1 1c168adb00d208e42f93");
        assert_eq!(lock_of("Orders"), lock_of("orders"));
        assert_ne!(lock_of("orders"), lock_of("orders_b"));
        assert!(lock_of("orders").len() <= 32);
    }
}
