//! `revoke`: the target refuses the previous credential.

use std::time::Duration;

use keywheel_sdk::{Bundle, Call, Effect, Retry, RevokeHow, RotatorError};

use crate::access::{Access, never};
use crate::apply::{after_change, alter};
use crate::fence::Fenced;
use crate::instance::Instance;
use crate::poll::{Open, on_each};
use crate::settings::Kind;
use crate::statement::Sql;
use crate::{SqlServerRotator, answer, scramble, sessions};

/// In place the previous password went with `apply`, so this only proves it. Alternating: the idle account is disabled and
/// gets a password that nobody holds, so that enabling it again lets nobody in; its sessions end if `how` says so; then it is
/// proved. May be repeated.
///
/// The account is disabled whether `how.disable` says so or not, since the server knows none without a password.
pub(crate) async fn revoke(
    rotator: &SqlServerRotator,
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
    on_each(&access, |instance| revoke_at(&access, instance, &account, how)).await?;
    prove(&access, previous, current, true).await
}

async fn revoke_at(
    access: &Access<'_>,
    instance: Instance<'_>,
    account: &str,
    how: RevokeHow,
) -> Result<(), RotatorError> {
    let kind = access.settings.kind;
    let Some((mut fenced, _)) = instance.enter(account, &[], None).await? else { return Ok(()) };
    if fenced.account.is_none() {
        let sees = fenced.sees;
        fenced.leave().await?;
        return if sees {
            Ok(())
        } else {
            Err(never("15151", format!("the admin may not see the account `{account}`: it needs ALTER ANY LOGIN")))
        };
    }
    let mut scramble = alter(kind, account, &scramble::nobodys(account))?;
    if unlocks(&fenced) {
        scramble = scramble.fixed(" UNLOCK");
    }
    disable(&mut fenced, kind, account).await?;
    fenced.change(&scramble, "take the password away").await.map_err(after_change)?;
    if how.terminate_sessions {
        sessions::end(&instance, &mut fenced, account).await.map_err(after_change)?;
    }
    fenced.leave().await.map_err(after_change)
}

/// Keeps an account from logging in, before its password goes.
///
/// Whoever may change a contained user's password (ALTER ANY USER) need not have the right to take CONNECT from it. Then it
/// keeps CONNECT: what shuts it is the password that nobody holds, and whether the previous one is refused is proved by a
/// login. So nothing hangs on this, after promotion least of all; `preflight` names the right.
pub(crate) async fn disable(fenced: &mut Fenced, kind: Kind, account: &str) -> Result<(), RotatorError> {
    let doing = "disable the idle account";
    let statement = match kind {
        Kind::Login => Sql::new("ALTER LOGIN ").identifier(account).fixed(" DISABLE"),
        Kind::ContainedUser => Sql::new("REVOKE CONNECT FROM ").identifier(account),
    };
    match fenced.change(&statement, doing).await {
        Err(error) if kind == Kind::ContainedUser && answer::lacks_right(&error) => {
            tracing::info!(account, code = error.code, "the user keeps CONNECT: the admin may not take it away");
            Ok(())
        }
        done => done,
    }
}

/// Whether setting the password must also end a lock-out, which some servers refuse to set a password under. Azure SQL
/// Database knows neither.
pub(crate) fn unlocks(fenced: &Fenced) -> bool {
    fenced.account.is_some_and(|account| account.locked) && !fenced.is_azure()
}

/// `changed` says whether this call has changed something before.
async fn prove(access: &Access<'_>, previous: &Bundle, current: &Bundle, changed: bool) -> Result<(), RotatorError> {
    let effect = if changed { Effect::Unknown } else { Effect::None };
    match access.refused(previous, &[current], changed).await {
        Ok(()) => Ok(()),
        Err(Open::Accepted(at)) => Err(RotatorError {
            effect,
            retry: Retry::After(Duration::from_secs(30)),
            code: "not-revoked".to_owned(),
            message: format!(
                "the previous credential is still the account's at {at}: somebody has set its password again"
            ),
        }),
        Err(Open::Silent(error)) => {
            let message =
                format!("whether the previous credential is refused could not be seen everywhere: {}", error.message);
            Err(RotatorError { effect, message, ..error })
        }
    }
}
