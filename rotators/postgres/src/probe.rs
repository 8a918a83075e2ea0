//! `probe`: does the target accept this credential now?

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keywheel_sdk::{Answer, Bundle, Call, RotatorError};

use crate::PostgresRotator;
use crate::access::{Access, check_name, locked_out};
use crate::connect::{self, LoginError, Pool};
use crate::fence::{self, Source};
use crate::made::Made;
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column, flag};

/// Changes nothing. Where the admin may read `pg_authid`, the server's verifier is compared and nobody logs in; else it is
/// one login, which counts as a failed one if the answer is no.
pub(crate) async fn probe(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    credential: &Bundle,
    others: &[&Bundle],
) -> Answer {
    match Access::of(rotator, call) {
        Ok(access) => ask(&access, credential, others).await,
        Err(error) => Answer::Unknown(error),
    }
}

/// As [`probe`], inside another verb.
pub(crate) async fn ask(access: &Access<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
    if let Err(error) = credential.username().map_err(RotatorError::from).and_then(|name| check_name(&name)) {
        return Answer::Unknown(error);
    }
    let answered = match access.pool() {
        Ok(Some(pool)) => as_admin(access, &pool, credential).await,
        Ok(None) => as_itself(access, credential, others).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(Answer::Unknown)
}

async fn as_admin(access: &Access<'_>, pool: &Arc<Pool>, credential: &Bundle) -> Result<Answer, RotatorError> {
    let account = credential.username()?;
    if !pool.authid_refused.load(Ordering::Relaxed) {
        let query = Sql::new("SELECT rolpassword, rolcanlogin, coalesce(rolvaliduntil <= now(), false) AS expired ")
            .fixed("FROM pg_authid WHERE rolname = ")
            .literal(&account);
        match fence::query(access.frame, Source::Admin(pool), &account, &query).await {
            Ok(rows) => {
                if let Some(answer) = compare(&access.rotator.made, &rows, credential)? {
                    return Ok(answer);
                }
            }
            Err(error) if error.code == "42501" => pool.authid_refused.store(true, Ordering::Relaxed),
            Err(error) => return Err(error),
        }
    }
    fence::enter(access.frame, Source::Admin(pool), &account).await?.leave().await?;
    by_login(access, credential).await
}

/// The answer from `pg_authid`; `None` if the password is kept in a form that cannot be compared.
fn compare(made: &Made, rows: &[sqlx::postgres::PgRow], credential: &Bundle) -> Result<Option<Answer>, RotatorError> {
    let no = |reason: &str| Ok(Some(Answer::No { reason: reason.to_owned() }));
    let Some(row) = rows.iter().find(|row| column(row, "rolpassword").is_ok()) else { return no("no such role") };
    let unread = |error: sqlx::Error| sqlstate::failure(&error, Moment::Reading, "read the role");
    if !flag(row, "rolcanlogin").map_err(unread)? {
        return no("the role may not log in (NOLOGIN)");
    }
    if flag(row, "expired").map_err(unread)? {
        return no("the role's VALID UNTIL is over");
    }
    let Some(kept) = column(row, "rolpassword").map_err(unread)?.map(zeroize::Zeroizing::new) else {
        return no("the role has no password");
    };
    match made.matches(&kept, credential.password()?, &credential.username()?) {
        Some(true) => Ok(Some(Answer::Yes)),
        Some(false) => no("the role has another password"),
        None => Ok(None),
    }
}

async fn as_itself(access: &Access<'_>, credential: &Bundle, others: &[&Bundle]) -> Result<Answer, RotatorError> {
    let first = by_login(access, credential).await?;
    if !matches!(first, Answer::No { .. }) || others.is_empty() {
        // With no other credential there is nothing to fence with, and only a heartbeat asks like that.
        return Ok(first);
    }
    // A no counts only when nothing of ours can still change it: fence with a credential that works, then ask again.
    let account = credential.username()?;
    match access.enter(&account, others).await? {
        Some(fenced) => fenced.leave().await?,
        None => return Err(locked_out(&account)),
    }
    by_login(access, credential).await
}

async fn by_login(access: &Access<'_>, credential: &Bundle) -> Result<Answer, RotatorError> {
    Ok(match connect::login(&access.settings, &access.frame, credential).await? {
        Ok(connection) => {
            connect::Session::own(connection).finish(&access.frame).await;
            Answer::Yes
        }
        Err(LoginError::Driver(error)) => sqlstate::login_answer(&error),
        Err(late @ LoginError::Late) => Answer::Unknown(late.into_failure("log in")),
    })
}
