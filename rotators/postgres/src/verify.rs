//! `verify`: log in as the application would, and run the policy's checks.

use keywheel_sdk::{Bundle, Call, Check, GrantParity, Retry, RotatorError, Strategy};

use crate::access::{Access, never};
use crate::connect::{self, LoginError, Session};
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column, run_check};
use crate::{PostgresRotator, parity};

/// Changes nothing: a session of its own, read-only, as the candidate. With `grant_parity: require` the two accounts must
/// have the same rights.
pub(crate) async fn verify(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
    checks: &[Check],
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(candidate)?;
    let mut session = log_in(&access, candidate).await?;
    see_who_we_are(&access, &mut session, &account).await?;
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
    if live == account {
        return Ok(());
    }
    let differences = parity::differences(&access, &live, &account).await?;
    match differences.is_empty() {
        true => Ok(()),
        false => Err(never("grant-parity", parity::message(&live, &account, &differences))),
    }
}

async fn log_in(access: &Access<'_>, candidate: &Bundle) -> Result<Session, RotatorError> {
    match connect::login(&access.settings, &access.frame, candidate).await? {
        Ok(connection) => Ok(Session::own(connection)),
        Err(LoginError::Driver(error)) => {
            let mut failure = sqlstate::failure(&error, Moment::Reading, "log in as the candidate");
            // `apply` has set it a moment ago, so a pooler or standby may just be behind.
            if sqlstate::code(&error) == Some("28P01") {
                failure.retry = Retry::Now;
            }
            Err(failure)
        }
        Err(late @ LoginError::Late) => Err(late.into_failure("log in as the candidate")),
    }
}

/// A pooler or an identity map may have put somebody else in.
async fn see_who_we_are(access: &Access<'_>, session: &mut Session, account: &str) -> Result<(), RotatorError> {
    let doing = "see as whom the candidate is logged in";
    // `ALTER ROLE … SET role` may make another current user; the login is what counts. The session is new, and to plan a SELECT
    // it would first have to read catalogues.
    let query = Sql::new("SHOW session_authorization");
    let late = || LoginError::Late.into_failure(doing);
    let rows = access.frame.within(query.run(session.connection()), late).await?;
    let failed = |error: sqlx::Error| sqlstate::failure(&error, Moment::Reading, doing);
    let seen =
        rows.map_err(failed)?.first().map(|row| column(row, "session_authorization")).transpose().map_err(failed)?;
    let seen = seen.flatten().unwrap_or_default();
    if seen == account {
        return Ok(());
    }
    Err(never(
        "account",
        format!(
            "logged in as `{account}`, but the server says `{}`: a pooler or user map stands between",
            sqlstate::bounded(&seen)
        ),
    ))
}

/// One check, in a read-only transaction of its own that is rolled back. Nothing is set for the session: behind a
/// connection pooler it may serve the application next.
async fn run(access: &Access<'_>, session: &mut Session, statement: &str, number: usize) -> Result<(), RotatorError> {
    let late = || RotatorError::not_done(Retry::Now, "timeout", format!("check {number} took too long"));
    let begin = Sql::new("BEGIN READ ONLY; SET LOCAL statement_timeout = ").number(access.frame.left_ms());
    let passed = access.frame.within(
        async {
            begin.run(session.connection()).await?;
            run_check(session.connection(), statement).await?;
            Sql::new("ROLLBACK").run(session.connection()).await.map(drop)
        },
        late,
    );
    passed.await?.map_err(|error| sqlstate::check_failure(&error, number))
}
