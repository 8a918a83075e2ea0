//! `apply`: the target accepts the candidate.

use keywheel_sdk::{Bundle, Call, RotatorError, Strategy};

use crate::access::{Access, locked_out, never};
use crate::fence::{Fenced, Role};
use crate::sqlstate::{self, Moment};
use crate::statement::{Sql, column};
use crate::{PostgresRotator, create, scram};

/// Sets the candidate's password. An idle alternating account may also log in again, and an expiry that is over gives way
/// to that of its sibling. May be repeated.
pub(crate) async fn apply(
    rotator: &PostgresRotator,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let account = access.account(candidate)?;
    let password = candidate.password()?;
    scram::check_candidate(password)?;
    if access.alternates() && current.is_some_and(|current| current.username().is_ok_and(|name| name == account)) {
        return Err(never(
            "account",
            format!("`{account}` is the live account: the candidate must be for the other one"),
        ));
    }
    let verifier = rotator.made.verifier(password);

    let known: Vec<&Bundle> = current.into_iter().chain([candidate]).collect();
    let Some(mut fenced) = access.enter(&account, &known).await? else { return Err(locked_out(&account)) };
    let change = match fenced.role {
        Some(role) => existing(&mut fenced, &access, &account, role).await?.fixed(" PASSWORD ").literal(&verifier),
        None => match (&access.target.strategy, current) {
            (Strategy::Alternating { create_missing: true, .. }, Some(current)) => {
                let model = current.username()?;
                create::sibling(&mut fenced, &account, &model)
                    .await?
                    .fixed("; ALTER ROLE ")
                    .identifier(&account)
                    .fixed(" PASSWORD ")
                    .literal(&verifier)
            }
            _ => {
                fenced.leave().await?;
                return Err(never(
                    "42704",
                    format!("there is no role `{account}`: create it, with the rights that it needs"),
                ));
            }
        },
    };
    fenced.commit(change, "set the new password").await
}

/// `ALTER ROLE …` with what the role needs before its password counts.
async fn existing(fenced: &mut Fenced, access: &Access<'_>, account: &str, role: Role) -> Result<Sql, RotatorError> {
    let mut change = Sql::new("ALTER ROLE ").identifier(account);
    if access.alternates() {
        if !role.can_login {
            change = change.fixed(" LOGIN");
        }
        if role.expired {
            change = change.fixed(" VALID UNTIL ").literal(&sibling_expiry(fenced, access, account).await?);
        }
        return Ok(change);
    }
    // In place, a role that cannot log in was made so by somebody on purpose.
    if !role.can_login {
        return Err(never("nologin", format!("the role `{account}` may not log in: `ALTER ROLE … LOGIN` first")));
    }
    if role.expired {
        return Err(never("expired", format!("`VALID UNTIL` of the role `{account}` is over: extend it first")));
    }
    Ok(change)
}

/// The other account's `VALID UNTIL`, if that is not over too; else for ever.
async fn sibling_expiry(fenced: &mut Fenced, access: &Access<'_>, account: &str) -> Result<String, RotatorError> {
    let doing = "read how long the other account is valid";
    let mut query = Sql::new(
        "SELECT max(rolvaliduntil)::text AS until FROM pg_roles WHERE rolvaliduntil > now() AND rolname IN (NULL",
    );
    for name in access.target.strategy.users().iter().filter(|name| *name != account) {
        query = query.fixed(", ").literal(name);
    }
    let rows = fenced.run(&query.fixed(")"), doing).await?;
    let until = rows.first().map(|row| column(row, "until")).transpose();
    let until = until.map_err(|error| sqlstate::failure(&error, Moment::Reading, doing))?;
    Ok(until.flatten().unwrap_or_else(|| "infinity".to_owned()))
}
