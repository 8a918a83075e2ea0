//! `verify`: log in as the application would, and run the policy's checks.

use keywheel_sdk::{Bundle, Call, Check, GrantParity, Retry, RotatorError, Strategy};

use crate::access::{Access, never};
use crate::answer::{self, Moment, Says};
use crate::budget::Who;
use crate::connect::{self, LoginError, Place, Session, late};
use crate::fence::AZURE_SQL_DATABASE;
use crate::statement::{Sql, number, run_check, text};
use crate::{SqlServerRotator, parity};

/// How often a login is tried that Azure SQL Database refuses.
const STALE: usize = 6;

/// Changes nothing of its own: a session as the candidate where applications log in, and one on each instance of a group. The
/// server has no read-only sessions, so each check runs in a transaction that is rolled back. With `grant_parity: require` the
/// two accounts must have the same rights.
pub(crate) async fn verify(
    rotator: &SqlServerRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
    checks: &[Check],
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(candidate)?;
    if access.settings.is_group() {
        for instance in access.instances() {
            let checked = log_in(&access, &instance.applications_place(), candidate, &account).await;
            let session = checked.map_err(|error| access.located(instance.address, error))?;
            session.finish(&access.frame).await;
        }
    }
    let place = Place { address: access.settings.listener.clone(), database: access.settings.database.clone() };
    let mut session = log_in(&access, &place, candidate, &account).await?;
    for (index, check) in checks.iter().enumerate() {
        match check {
            // Done above, whether it is listed or not.
            Check::Login => {}
            Check::Sql(statement) => run(&access, &mut session, statement, index + 1).await?,
        }
    }
    session.finish(&access.frame).await;

    let (Strategy::Alternating { grant_parity: GrantParity::Require, .. }, Some(current)) =
        (&access.target.strategy, current)
    else {
        return Ok(());
    };
    let live = access.account(current)?;
    let mut own = false;
    for instance in access.instances() {
        let compared = parity::compare(&access, &instance, &live, &account).await?;
        own |= compared.own;
        if !compared.differences.is_empty() {
            let error = never("grant-parity", parity::message(&live, &account, &compared));
            return Err(access.located(instance.address, error));
        }
    }
    if own { Ok(()) } else { Err(parity::blind(&access.settings.database)) }
}

async fn log_in(
    access: &Access<'_>,
    place: &Place,
    candidate: &Bundle,
    account: &str,
) -> Result<Session, RotatorError> {
    let doing = "log in as the candidate";
    let (budget, who) = (&access.rotator.budget, Who::account(&place.address, account));
    // What was refused before is refused again, and each refusal counts against an account that is in use: go back instead.
    budget.check(&who, access.settings.limits, None).map_err(|error| RotatorError { retry: Retry::Never, ..error })?;
    let mut stale = 0;
    let mut session = loop {
        match connect::login(&access.settings, place, &access.frame, candidate).await? {
            Ok(line) => {
                budget.worked(&who);
                break Session::own(line);
            }
            Err(LoginError::Driver(error)) => {
                let mut failure = answer::failure(&error, Moment::Reading, doing);
                // `apply` has set it a moment ago, so a replica or Azure's gateway may just be behind.
                if answer::login_says(&error) == Some(Says::Wrong) {
                    stale += 1;
                    if stale < STALE && is_behind(access).await {
                        continue;
                    }
                    failure.retry = Retry::Now;
                    budget.failed(&who);
                }
                return Err(failure);
            }
            Err(error) => return Err(error.into_failure(doing)),
        }
    };
    see_who_we_are(access, &mut session, account).await?;
    Ok(session)
}

/// Whether this is Azure SQL Database, whose databases keep what they know of logins for a while ("DBCC FLUSHAUTHCACHE"). Then
/// it waits a second there. It locks nobody out, so asking again costs nothing.
async fn is_behind(access: &Access<'_>) -> bool {
    let Some(pool) = access.instances().next().and_then(|instance| instance.pool()) else { return false };
    let query = Sql::new("IF CONVERT(int, SERVERPROPERTY(N'EngineEdition')) = 5 WAITFOR DELAY '00:00:01'; ")
        .fixed("SELECT CONVERT(int, SERVERPROPERTY(N'EngineEdition')) AS edition");
    match pool.read(&access.frame, &query, "wait for Azure SQL Database").await {
        Ok(rows) => rows.first().and_then(|row| number(row, "edition")) == Some(AZURE_SQL_DATABASE),
        Err(_) => false,
    }
}

/// A logon trigger or gateway may have put somebody else in.
async fn see_who_we_are(access: &Access<'_>, session: &mut Session, account: &str) -> Result<(), RotatorError> {
    let doing = "see as whom the candidate is logged in";
    let query = Sql::new("SELECT ORIGINAL_LOGIN() AS name, CASE WHEN ORIGINAL_LOGIN() = ")
        .literal(account)
        .fixed(" THEN N'yes' ELSE N'no' END AS same");
    let rows = access.frame.within(query.run(session.line()), || late(doing)).await?;
    let rows = rows.map_err(|error| answer::failure(&error, Moment::Reading, doing))?;
    let field = |name| rows.first().and_then(|row| text(row, name)).unwrap_or_default();
    // The server's collation decides whether two names are one.
    if field("same") == "yes" {
        return Ok(());
    }
    let seen = field("name");
    Err(never("account", format!("logged in as `{account}`, but the server says `{}`", answer::bounded(&seen))))
}

async fn run(access: &Access<'_>, session: &mut Session, statement: &str, number: usize) -> Result<(), RotatorError> {
    let late = || RotatorError::not_done(Retry::Now, "timeout", format!("check {number} took too long"));
    let passed = access.frame.within(run_check(session.line(), statement), late).await?;
    passed.map_err(|error| answer::check_failure(&error, number))
}
