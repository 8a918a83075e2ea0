//! The fence: while we change or judge a role, no earlier call of ours can still change it.
//!
//! A call may outlive its process: the statement lies in a buffer, the machine was asleep, the line was cut but the server
//! still has the session. So every change runs in two messages: the first opens a transaction and takes an advisory lock on
//! the role's name, the second (sent only after the lock was confirmed, and only before the call's deadline) changes the role
//! and commits. Whoever finds the lock held ends the holder's session first, whatever it calls itself: the engine's lease
//! allows one writer, so the holder is a leftover, or a stranger who blocks rotations (the lock's number is no secret, and any
//! role that may connect can take it). A leftover the server also ends by itself: its time-outs are the call's deadline.
//!
//! Advisory locks are per database, so all policies for one role must name the same `target.database`.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use keywheel_sdk::{Retry, RotatorError};
use sqlx::postgres::PgRow;

use crate::connect::{Pool, Session};
use crate::frame::Frame;
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column, flag};

/// Where the fence's session comes from.
pub(crate) enum Source<'a> {
    /// From the pool of the admin.
    Admin(&'a Arc<Pool>),
    /// The account itself, logged in already.
    Own(Session),
}

/// An open transaction that holds a role's lock. Dropped without [`Fenced::commit`], the session is closed and nothing has
/// happened.
pub(crate) struct Fenced {
    session: Session,
    frame: Frame,
    /// The role as it is now; `None` if there is none.
    pub(crate) role: Option<Role>,
}

/// What a change must know of a role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    /// It may log in (`LOGIN`).
    pub(crate) can_login: bool,
    /// Its `VALID UNTIL` is over.
    pub(crate) expired: bool,
}

/// Takes the lock of `role`, ending the session that holds it.
///
/// Changes nothing at the target, so its errors have no effect.
pub(crate) async fn enter(frame: Frame, source: Source<'_>, role: &str) -> Result<Fenced, RotatorError> {
    let (session, rows) = first_message(frame, source, &opening(frame, role).then(&role_query(role))).await?;
    let mut fenced = Fenced { session, frame, role: None };
    let rows = match held(&rows)? {
        true => rows,
        false => fenced.displace(role).await?,
    };
    fenced.role = read_role(&rows)?;
    Ok(fenced)
}

/// Runs one query under the lock, in a single message where nobody holds it.
pub(crate) async fn query(
    frame: Frame,
    source: Source<'_>,
    role: &str,
    query: &Sql,
) -> Result<Vec<PgRow>, RotatorError> {
    let message = opening(frame, role).then(query).fixed("; COMMIT");
    let (session, rows) = first_message(frame, source, &message).await?;
    if held(&rows)? {
        session.finish(&frame).await;
        return Ok(rows);
    }
    // Without the lock the answer proves nothing, and that transaction is over.
    let mut fenced = enter(frame, Source::Own(session), role).await?;
    let rows = fenced.run(&Sql::default().then(query).fixed("; COMMIT"), "ask about the role").await?;
    fenced.session.finish(&frame).await;
    Ok(rows)
}

impl Fenced {
    /// Sends the change and its `COMMIT` in one message.
    ///
    /// Afterwards the change is durable. An error says whether it may have happened.
    pub(crate) async fn commit(mut self, change: Sql, doing: &str) -> Result<(), RotatorError> {
        if self.frame.left().is_zero() {
            let message = format!("could not {doing}: the time was over before the change was sent");
            return Err(RotatorError::not_done(Retry::Now, "timeout", message));
        }
        let message = change.fixed("; COMMIT");
        let late = || {
            RotatorError::unknown(
                "timeout",
                format!("no answer in time: it is unknown whether the server could {doing}"),
            )
        };
        let sent = self.frame.within(message.run(self.session.connection()), late).await?;
        sent.map_err(|error| sqlstate::failure(&error, Moment::Changing, doing))?;
        self.session.finish(&self.frame).await;
        Ok(())
    }

    /// Ends the transaction without a change.
    pub(crate) async fn leave(mut self) -> Result<(), RotatorError> {
        self.run(&Sql::new("COMMIT"), "end the transaction").await?;
        self.session.finish(&self.frame).await;
        Ok(())
    }

    /// Runs statements inside the transaction. They must not commit a change.
    pub(crate) async fn run(&mut self, sql: &Sql, doing: &str) -> Result<Vec<PgRow>, RotatorError> {
        let answer = self.frame.within(sql.run(self.session.connection()), || late(doing)).await?;
        answer.map_err(|error| sqlstate::failure(&error, Moment::Reading, doing))
    }

    /// Ends whoever holds the lock, and takes it.
    async fn displace(&mut self, role: &str) -> Result<Vec<PgRow>, RotatorError> {
        tracing::warn!(role, "another session holds the lock of this role: ending that session");
        loop {
            let left = self.frame.left_ms();
            let patience = (left / 4).clamp(1, PATIENCE);
            // Back to here after an error: `BEGIN` and its settings stay.
            let take = Sql::new("SAVEPOINT displacing; SELECT pg_terminate_backend(l.pid) FROM pg_locks l ")
                .then(&holding(role))
                .fixed(" AND l.pid <> pg_backend_pid(); SET LOCAL lock_timeout = ")
                .number(patience)
                .fixed("; SELECT true AS held FROM pg_advisory_xact_lock(")
                .number(key(role))
                .fixed("); SET LOCAL lock_timeout = ")
                .number(left)
                .fixed("; RELEASE SAVEPOINT displacing; ")
                .then(&role_query(role));
            let answer = self.frame.within(take.run(self.session.connection()), || late(DISPLACING)).await?;
            let error = match answer {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let why = match sqlstate::code(&error) {
                // Another one stood before us in the queue, or the session does not end: look again while there is time.
                Some("55P03") if self.frame.left_ms() > 2 * PATIENCE => None,
                Some("55P03") => Some("it did not go away: end that session by hand"),
                Some("42501") => Some(
                    "the admin may not end that session: grant it `pg_signal_backend` (sessions of superusers only a \
                     superuser may end), or end that session by hand",
                ),
                _ => return Err(sqlstate::failure(&error, Moment::Reading, DISPLACING)),
            };
            let holders = self.holders(role).await?;
            if let Some(why) = why {
                let message = format!("the lock of the role `{role}` is held by {holders}, and {why}");
                return Err(RotatorError::not_done(Retry::After(Duration::from_secs(30)), "fence-held", message));
            }
        }
    }

    /// Goes back to before a failed attempt, and says who holds the lock.
    async fn holders(&mut self, role: &str) -> Result<String, RotatorError> {
        // The server answers twice from one look at the sessions, unless told to look again.
        let query = Sql::new("ROLLBACK TO SAVEPOINT displacing; SELECT pg_stat_clear_snapshot(); ")
            .fixed("SELECT coalesce(a.usename, '') AS holder, coalesce(l.pid, 0) AS pid ")
            .fixed("FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid ")
            .then(&holding(role))
            .fixed(" ORDER BY l.pid LIMIT 5");
        let rows = self.run(&query, DISPLACING).await?;
        let mut holders = Vec::new();
        for row in rows.iter().filter(|row| column(row, "holder").is_ok()) {
            let read = |name| column(row, name).map(Option::unwrap_or_default);
            let (name, pid) = read("holder")
                .and_then(|name| read("pid").map(|pid| (name, pid)))
                .map_err(|error| sqlstate::failure(&error, Moment::Reading, DISPLACING))?;
            // The lock of a transaction that was prepared for two-phase commit belongs to no process.
            holders.push(match pid.as_str() {
                "0" => "a prepared transaction (see `pg_prepared_xacts`)".to_owned(),
                pid => format!("a session of `{}` (pid {})", sqlstate::bounded(&name), sqlstate::bounded(pid)),
            });
        }
        Ok(if holders.is_empty() { "sessions that come and go".to_owned() } else { holders.join(", ") })
    }
}

/// The longest wait for a lock whose holder was just ended, before looking again at who holds it. Milliseconds.
const PATIENCE: i64 = 500;

const DISPLACING: &str = "end the session that holds the lock of the role";

/// Which rows of `pg_locks l` are a granted lock of this role.
fn holding(role: &str) -> Sql {
    let [high, low] = key_halves(role);
    Sql::new("WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 ")
        .fixed("AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.classid = ")
        .number(i64::from(high))
        .fixed("::oid AND l.objid = ")
        .number(i64::from(low))
        .fixed("::oid")
}

/// Sends the opening message. A pooled session may have been cut while it was idle; then a new one is tried, since this
/// message changes nothing.
async fn first_message(frame: Frame, source: Source<'_>, message: &Sql) -> Result<(Session, Vec<PgRow>), RotatorError> {
    let doing = "open a transaction";
    let (pool, mut session) = match source {
        Source::Admin(pool) => (Some(pool), pool.session(&frame, false).await?),
        Source::Own(session) => (None, session),
    };
    loop {
        let answer = frame.within(message.run(session.connection()), || late(doing)).await?;
        match (answer, pool) {
            (Ok(rows), _) => return Ok((session, rows)),
            (Err(error), Some(pool)) if session.reused && sqlstate::is_cut(&error) => {
                drop(session);
                session = pool.session(&frame, true).await?;
            }
            (Err(error), _) => return Err(sqlstate::failure(&error, Moment::Reading, doing)),
        }
    }
}

/// A transaction whose length is bounded by the call, and that asks for the lock without waiting.
fn opening(frame: Frame, role: &str) -> Sql {
    let ms = frame.left_ms().to_string();
    // A role's or database's defaults may say otherwise: read-only, another search path, or a commit that a crash of the
    // server could lose. One statement instead of six, since the server plans each of them; until it has run, names mean what
    // the session's search path says, so they are written in full.
    Sql::new("BEGIN READ WRITE; SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), ")
        .fixed("pg_catalog.set_config('statement_timeout', ")
        .literal(&ms)
        .fixed(", true), pg_catalog.set_config('lock_timeout', ")
        .literal(&ms)
        .fixed(", true), pg_catalog.set_config('idle_in_transaction_session_timeout', ")
        .literal(&ms)
        .fixed(", true), pg_catalog.pg_try_advisory_xact_lock(")
        .number(key(role))
        .fixed(") AS held, CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' ")
        .fixed("THEN pg_catalog.set_config('synchronous_commit', 'local', true) END AS durable; ")
}

fn role_query(role: &str) -> Sql {
    Sql::new("SELECT rolcanlogin, coalesce(rolvaliduntil <= now(), false) AS expired FROM pg_roles WHERE rolname = ")
        .literal(role)
}

fn read_role(rows: &[PgRow]) -> Result<Option<Role>, RotatorError> {
    let Some(row) = rows.iter().find(|row| column(row, "rolcanlogin").is_ok()) else { return Ok(None) };
    let read = || Ok(Role { can_login: flag(row, "rolcanlogin")?, expired: flag(row, "expired")? });
    read().map(Some).map_err(|error| sqlstate::failure(&error, Moment::Reading, "read the role"))
}

fn held(rows: &[PgRow]) -> Result<bool, RotatorError> {
    let row = rows.iter().find(|row| column(row, "held").is_ok());
    row.map_or(Ok(false), |row| flag(row, "held"))
        .map_err(|error| sqlstate::failure(&error, Moment::Reading, "read the lock"))
}

/// The lock's number: constant for a role's name, for all versions of this rotator.
fn key(role: &str) -> i64 {
    let mut text = b"keywheel postgres role v1\0".to_vec();
    text.extend_from_slice(role.as_bytes());
    let hash = digest::digest(&digest::SHA256, &text);
    i64::from_be_bytes(hash.as_ref()[..8].try_into().expect("SHA-256 gives 32 bytes"))
}

/// The number as `pg_locks` shows it.
fn key_halves(role: &str) -> [u32; 2] {
    let bytes = key(role).to_be_bytes();
    let half = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().expect("four of eight bytes"));
    [half(0), half(4)]
}

fn late(doing: &str) -> RotatorError {
    let message = format!("could not {doing}: the server did not answer in time");
    RotatorError::not_done(Retry::After(Duration::from_secs(5)), "timeout", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_a_name_never_changes() {
        // Written down: an older version's leftovers must be found by a newer one.
        assert_eq!(key("orders"), key("orders"));
        assert_ne!(key("orders"), key("orders_b"));
        let [high, low] = key_halves("orders");
        assert_eq!((i64::from(high) << 32) | i64::from(low), key("orders"));
    }
}
