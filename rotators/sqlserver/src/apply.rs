//! `apply`: the target accepts the candidate.

use std::time::Duration;

use keywheel_sdk::{Bundle, Call, Effect, Retry, RotatorError, Strategy};

use crate::access::{Access, check_candidate, never};
use crate::account::Account;
use crate::fence::Fenced;
use crate::instance::{Instance, locked_out};
use crate::revoke::unlocks;
use crate::settings::Kind;
use crate::statement::Sql;
use crate::{SqlServerRotator, create};

const DOING: &str = "set the new password";

/// Sets the candidate's password on every instance. An idle alternating account may also log in again, and is unlocked. May be
/// repeated: an instance that has it already is given it again, or refuses it for that reason, which is as good.
///
/// All instances are fenced and looked at before the first one is changed, so that most trouble is found while nothing has
/// happened.
pub(crate) async fn apply(
    rotator: &SqlServerRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(candidate)?;
    check_candidate(candidate.password()?)?;
    access.check_current(&account, current)?;
    if access.alternates() && current.is_some_and(|current| current.username().is_ok_and(|name| name == account)) {
        return Err(never(
            "account",
            format!("`{account}` is the live account: the candidate must be for the other one"),
        ));
    }
    access.check_instances().await?;
    let mut fences: Vec<(Instance<'_>, Entered<'_>)> = Vec::new();
    for instance in access.instances() {
        let fence = enter(&access, &instance, &account, candidate, current).await;
        let fence = fence.map_err(|error| access.located(instance.address, error))?;
        fences.push((instance, fence));
    }
    let model = current.map(Bundle::username).transpose()?;
    let mut sid = create::known_sid(&access, &account, &mut fences).await?;
    let mut changed = false;
    for (instance, (fence, own)) in fences {
        let done = match fence.account {
            Some(state) => set(fence, &instance, state, &account, candidate, own).await,
            None => create::sibling(fence, &access, &account, model.as_deref(), candidate, &mut sid).await,
        };
        if let Err(error) = done {
            let error = access.located(instance.address, error);
            // What was done on the instances before this one stays.
            return Err(if changed { RotatorError { effect: Effect::Unknown, ..error } } else { error });
        }
        changed = true;
    }
    Ok(())
}

/// A fence, and the credential by which an account logged in that manages itself.
pub(crate) type Entered<'b> = (Fenced, Option<&'b Bundle>);

/// Takes the fence, and sees that the account may be changed. The password by which an account logged in to change itself
/// comes with it.
async fn enter<'b>(
    access: &Access<'_>,
    instance: &Instance<'_>,
    account: &str,
    candidate: &'b Bundle,
    current: Option<&'b Bundle>,
) -> Result<Entered<'b>, RotatorError> {
    let known: Vec<&Bundle> = current.into_iter().chain([candidate]).collect();
    let Some((fenced, which)) = instance.enter(account, &known, None).await? else {
        return Err(locked_out(account));
    };
    let own = which.map(|which| known[which]);
    let refusal = match fenced.account {
        Some(state) if state.disabled && !access.alternates() => {
            // In place, an account that cannot log in was made so by somebody on purpose.
            Some(never("disabled", format!("the account `{account}` may not log in: enable it first")))
        }
        // In place, whoever knocks with the wrong password locks it again. And the server ends a lock-out by itself.
        Some(state) if state.locked && !access.alternates() => Some(RotatorError::not_done(
            Retry::After(Duration::from_secs(300)),
            "18486",
            format!(
                "the account `{account}` is locked out, so a new password would let nobody in: see who uses a wrong one, and \
                 unlock it or wait"
            ),
        )),
        None if !creates(access, current) => Some(never(
            "15151",
            format!(
                "there is no account `{account}`, or the admin may not see it: create it, with the rights that it needs"
            ),
        )),
        Some(_) | None => None,
    };
    match refusal {
        Some(refusal) => {
            fenced.leave().await?;
            Err(refusal)
        }
        None => Ok((fenced, own)),
    }
}

fn creates(access: &Access<'_>, current: Option<&Bundle>) -> bool {
    matches!(access.target.strategy, Strategy::Alternating { create_missing: true, .. }) && current.is_some()
}

/// Sets the password of an account that exists.
async fn set(
    mut fenced: Fenced,
    instance: &Instance<'_>,
    state: Account,
    account: &str,
    candidate: &Bundle,
    own: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let password = candidate.password()?;
    let already = own.map(Bundle::password).transpose()?.is_some_and(|own| own.same_as(password));
    let unlocks = unlocks(&fenced);
    if !already || unlocks {
        let mut change = alter(instance.settings.kind, account, candidate)?;
        match own {
            Some(own) => change = change.fixed(" OLD_PASSWORD = ").secret(own.password()?),
            None if unlocks => change = change.fixed(" UNLOCK"),
            None => {}
        }
        match fenced.change(&change, DOING).await {
            Ok(()) => {}
            // A password in the history may be there because it was set a moment ago, by a call whose answer was lost. Asked
            // only now: since SQL Server 2025 to compare a password costs the server as much as a login.
            Err(error)
                if error.effect == Effect::None
                    && error.retry == Retry::NewCandidate
                    && is_set(&mut fenced, instance, account, candidate).await => {}
            Err(error) => return Err(error),
        }
    }
    if state.disabled {
        let enable = match instance.settings.kind {
            Kind::Login => Sql::new("ALTER LOGIN ").identifier(account).fixed(" ENABLE"),
            Kind::ContainedUser => Sql::new("GRANT CONNECT TO ").identifier(account),
        };
        // The password is set already.
        fenced.change(&enable, "let the account log in again").await.map_err(after_change)?;
    }
    fenced.leave().await.map_err(after_change)
}

/// Whether the candidate's password is the account's, and good for a login.
async fn is_set(fenced: &mut Fenced, instance: &Instance<'_>, account: &str, candidate: &Bundle) -> bool {
    let Ok(password) = candidate.password() else { return false };
    match fenced.look_again(instance.settings.kind, account, password).await {
        Ok(Some(Account { matches: Some(matches), must_change, .. })) => matches && !must_change,
        Ok(Some(Account { matches: None, .. })) => instance.lets_in(candidate).await,
        Ok(None) | Err(_) => false,
    }
}

/// `ALTER LOGIN … WITH PASSWORD`, without MUST_CHANGE and without a word about policies: what is not named stays as it is.
pub(crate) fn alter(kind: Kind, account: &str, credential: &Bundle) -> Result<Sql, RotatorError> {
    let statement = match kind {
        Kind::Login => Sql::new("ALTER LOGIN "),
        Kind::ContainedUser => Sql::new("ALTER USER "),
    };
    Ok(statement.identifier(account).fixed(" WITH PASSWORD = ").secret(credential.password()?))
}

/// The failure of something that came after a change.
pub(crate) fn after_change(error: RotatorError) -> RotatorError {
    RotatorError { effect: Effect::Unknown, ..error }
}
