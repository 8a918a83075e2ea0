//! `restore`: undo `apply`.

use keywheel_sdk::{Answer, Bundle, Call, RotatorError};

use crate::access::{Access, locked_out, never};
use crate::statement::Sql;
use crate::{PostgresRotator, probe};

/// In place: the password is `current`'s again, or none. Alternating: the idle account has no password. Then proved. May be
/// repeated, and is fine if `apply` never happened.
pub(crate) async fn restore(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(candidate)?;
    let same_account = current.filter(|current| current.username().is_ok_and(|name| name == account));
    if access.alternates() && same_account.is_some() {
        return Err(never("account", format!("`{account}` is the live account: there is nothing to restore it from")));
    }
    if let Some(current) = same_account
        && current.password()?.same_as(candidate.password()?)
    {
        return Err(never("account", "candidate and current are the same: there is nothing to restore".to_owned()));
    }
    let password = match same_account {
        Some(current) => Sql::new(" PASSWORD ").literal(&rotator.made.verifier(current.password()?)),
        None => Sql::new(" PASSWORD NULL"),
    };

    let known: Vec<&Bundle> = current.into_iter().chain([candidate]).collect();
    let Some(fenced) = access.enter(&account, &known).await? else { return Err(locked_out(&account)) };
    if fenced.role.is_none() {
        fenced.leave().await?;
        return match same_account {
            Some(_) => Err(never("42704", format!("there is no role `{account}` any more: it cannot be restored"))),
            None => Ok(()),
        };
    }
    let change = Sql::new("ALTER ROLE ").identifier(&account).then(&password);
    fenced.commit(change, "restore the password").await?;
    prove(&access, candidate, same_account).await
}

/// The change is done, so whatever is wrong now, something may have happened.
async fn prove(access: &Access<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
    let others: Vec<&Bundle> = current.into_iter().collect();
    match probe::ask(access, candidate, &others).await {
        Answer::No { .. } => {}
        Answer::Yes | Answer::Partly { .. } => {
            return Err(RotatorError::unknown(
                "not-restored",
                "the target still accepts the candidate after the restore",
            ));
        }
        Answer::Unknown(error) => return Err(RotatorError::unknown(&error.code, error.message)),
    }
    let Some(current) = current else { return Ok(()) };
    match probe::ask(access, current, &[]).await {
        Answer::Yes => Ok(()),
        Answer::No { reason } | Answer::Partly { reason } => {
            Err(RotatorError::unknown("not-restored", format!("the target refuses the restored credential: {reason}")))
        }
        Answer::Unknown(error) => Err(RotatorError::unknown(&error.code, error.message)),
    }
}
