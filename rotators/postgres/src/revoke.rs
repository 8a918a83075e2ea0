//! `revoke`: the target refuses the previous credential.

use std::time::Duration;

use keywheel_sdk::{Answer, Bundle, Call, Effect, Retry, RevokeHow, RotatorError};

use crate::access::{Access, never};
use crate::statement::Sql;
use crate::{PostgresRotator, probe};

/// In place the old password went with `apply`, so this only proves it. Alternating: takes the idle account's password away,
/// and as `how` says its right to log in and its sessions; then proves it. May be repeated.
pub(crate) async fn revoke(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    previous: &Bundle,
    current: &Bundle,
    how: RevokeHow,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(previous)?;
    let live = access.account(current)?;
    if account == live {
        if previous.password()?.same_as(current.password()?) {
            return Err(never(
                "account",
                "previous and current are the same: revoking would end the live credential".to_owned(),
            ));
        }
        return prove(&access, previous, current, false).await;
    }

    let Some(fenced) = access.enter(&account, &[previous]).await? else { return Ok(()) };
    if fenced.role.is_none() {
        return fenced.leave().await;
    }
    let mut change = Sql::new("ALTER ROLE ").identifier(&account).fixed(" PASSWORD NULL");
    if how.disable {
        change = change.fixed(" NOLOGIN");
    }
    fenced.commit(change, "take the password away").await?;
    if how.terminate_sessions {
        terminate_sessions(&access, &account).await?;
    }
    prove(&access, previous, current, true).await
}

/// Ends the sessions of a role that can no longer log in.
async fn terminate_sessions(access: &Access<'_>, account: &str) -> Result<(), RotatorError> {
    let query =
        Sql::new("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = ")
            .literal(account);
    let ended = async {
        let Some(mut fenced) = access.enter(account, &[]).await? else { return Ok(()) };
        fenced.run(&query, "end the sessions of the previous account").await?;
        fenced.leave().await
    };
    ended.await.map_err(|error: RotatorError| {
        let mut message = error.message;
        if error.code == "42501" {
            message
                .push_str("; ending sessions takes membership in the role, or `GRANT pg_signal_backend` to the admin");
        }
        // The password is gone already.
        RotatorError { effect: Effect::Unknown, retry: error.retry, code: error.code, message }
    })
}

/// `changed` says whether this call has changed something before.
async fn prove(access: &Access<'_>, previous: &Bundle, current: &Bundle, changed: bool) -> Result<(), RotatorError> {
    let effect = if changed { Effect::Unknown } else { Effect::None };
    match probe::ask(access, previous, &[current]).await {
        Answer::No { .. } => Ok(()),
        Answer::Yes | Answer::Partly { .. } => Err(RotatorError {
            effect,
            retry: Retry::After(Duration::from_secs(30)),
            code: "not-revoked".to_owned(),
            message: "the target still accepts the previous credential: somebody has set its password again".to_owned(),
        }),
        Answer::Unknown(error) => Err(RotatorError { effect, ..error }),
    }
}
