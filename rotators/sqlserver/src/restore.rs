//! `restore`: undo `apply`.

use keywheel_sdk::{Answer, Bundle, Call, Retry, RotatorError};

use crate::access::{Access, never};
use crate::apply::{after_change, alter};
use crate::fence::Fenced;
use crate::instance::{Instance, locked_out};
use crate::poll::{Open, on_each};
use crate::revoke::{disable, unlocks};
use crate::settings::Kind;
use crate::{SqlServerRotator, scramble};

/// In place: the password is `current`'s again, or one that nobody holds. Alternating: the idle account is disabled, with a
/// password that nobody holds. Then proved. May be repeated, and is fine if `apply` never happened.
///
/// Every instance that answers is restored, also when another one does not.
pub(crate) async fn restore(
    rotator: &SqlServerRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(candidate)?;
    access.check_current(&account, current)?;
    let same_account = current.filter(|current| current.username().is_ok_and(|name| name == account));
    if access.alternates() && same_account.is_some() {
        return Err(never("account", format!("`{account}` is the live account: there is nothing to restore it from")));
    }
    if let Some(current) = same_account
        && current.password()?.same_as(candidate.password()?)
    {
        return Err(never("account", "candidate and current are the same: there is nothing to restore".to_owned()));
    }
    on_each(&access, |instance| restore_at(&access, instance, &account, candidate, same_account)).await?;
    prove(&access, candidate, same_account).await
}

async fn restore_at(
    access: &Access<'_>,
    instance: Instance<'_>,
    account: &str,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let known: Vec<&Bundle> = current.into_iter().chain([candidate]).collect();
    let compares = current.map(Bundle::password).transpose()?.filter(|_| access.settings.kind == Kind::Login);
    let Some((mut fenced, which)) = instance.enter(account, &known, compares).await? else {
        return Err(locked_out(account));
    };
    let Some(state) = fenced.account else {
        let sees = fenced.sees;
        fenced.leave().await?;
        return match current {
            None if sees => Ok(()),
            _ => Err(never("15151", format!("there is no account `{account}` any more, or the admin may not see it"))),
        };
    };
    let own = which.map(|which| known[which]);
    match current {
        Some(current) => {
            let already = match own {
                Some(own) => own.same_as(current),
                None => state.matches == Some(true),
            };
            if !already {
                set(&mut fenced, access, account, current, own).await?;
            }
        }
        None => {
            if access.alternates() {
                disable(&mut fenced, access.settings.kind, account).await?;
            }
            let nobody = scramble::nobodys(account);
            set(&mut fenced, access, account, &nobody, own).await.map_err(|error| match access.alternates() {
                true => after_change(error),
                false => error,
            })?;
        }
    }
    fenced.leave().await.map_err(after_change)
}

async fn set(
    fenced: &mut Fenced,
    access: &Access<'_>,
    account: &str,
    credential: &Bundle,
    own: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let mut change = alter(access.settings.kind, account, credential)?;
    match own {
        Some(own) => change = change.fixed(" OLD_PASSWORD = ").secret(own.password()?),
        None if unlocks(fenced) => change = change.fixed(" UNLOCK"),
        None => {}
    }
    fenced.change(&change, "restore the password").await.map_err(|error| match error.retry {
        // No other value can be restored.
        Retry::NewCandidate => RotatorError {
            retry: Retry::Never,
            message: format!(
                "{}; the account keeps the candidate, which the secret store holds as PENDING: set the password of CURRENT \
                 by hand (turning CHECK_POLICY off and on clears the history), then `keywheel resume`",
                error.message
            ),
            ..error
        },
        Retry::Now | Retry::After(_) | Retry::Never => error,
    })
}

/// The change is done, so whatever is wrong now, something may have happened.
async fn prove(access: &Access<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
    let others: Vec<&Bundle> = current.into_iter().collect();
    match access.refused(candidate, &others, current.is_none()).await {
        Ok(()) => {}
        Err(Open::Accepted(at)) => {
            let message = format!("{at} still accepts the candidate after the restore");
            return Err(RotatorError::unknown("not-restored", message));
        }
        Err(Open::Silent(error)) => {
            let message = format!(
                "restored, but whether the candidate is refused could not be seen everywhere: {}",
                error.message
            );
            return Err(after_change(RotatorError { message, ..error }));
        }
    }
    let Some(current) = current else { return Ok(()) };
    match access.ask(current, &[]).await {
        Answer::Yes => Ok(()),
        Answer::No { reason } | Answer::Partly { reason } => {
            Err(RotatorError::unknown("not-restored", format!("the target refuses the restored credential: {reason}")))
        }
        Answer::Unknown(error) => Err(after_change(error)),
    }
}
