//! `preflight`: can keys be listed, and is the live one among them and accepted?

use keywheel_sdk::{Answer, Bundle, Call, Finding, PASSWORD, RotatorError, Severity};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::control::ask_wrong;
use crate::list::{Listed, list};
use crate::probe::ask;
use crate::provider::{Auth, Made, Put};
use crate::template::Variable;
use crate::webhook::{self, UNFIT};

/// Reads only. That the admin may also make and delete keys is seen when it does.
pub(crate) async fn preflight(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    current: Option<&Bundle>,
) -> Result<Vec<Finding>, RotatorError> {
    let access = Access::of(rotator, call)?;
    if let Made::Engine(declared) = &access.provider.made {
        return Ok(accounts(&access, declared, current).await);
    }
    let listed = list(&access).await;
    let mut findings = Vec::new();
    match &listed {
        Ok(keys) => {
            findings.push(seen(&access, keys, current));
        }
        Err(error) => {
            findings.push(no_list(error));
        }
    }
    if let Some(current) = current {
        findings.extend(live(&access, current).await);
        if let Ok(keys) = &listed {
            findings.extend(place(&access, current, keys));
        }
    }
    Ok(findings)
}

/// Whether the accounts that passwords are put for are there, and the live one is accepted.
async fn accounts(access: &Access<'_>, declared: &Put, current: Option<&Bundle>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(fit(access));
    match &declared.list {
        None => {}
        Some(_) => match list(access).await {
            Ok(listed) => {
                findings.push(found(Severity::Fine, format!("the admin sees {} accounts", listed.len()), ""));
                let users = access.call.target.strategy.users().iter();
                findings.extend(users.filter(|user| !listed.iter().any(|one| one.key_id == **user)).map(|user| {
                    let what = format!("the admin sees no account `{user}`");
                    found(Severity::Warning, what, "check its name, or see that `put` makes the account")
                }));
            }
            Err(error) => findings.push(no_list(&error)),
        },
    }
    if let Some(current) = current {
        findings.extend(live(access, current).await);
    }
    findings
}

/// Whether the policy makes passwords that can sign what `verify` sends.
fn fit(access: &Access<'_>) -> Option<Finding> {
    let Auth::Webhook(secret) = &access.provider.verify.request.auth else { return None };
    let is_password = |variable: &Variable| matches!(variable, Variable::Key(field) if field == PASSWORD);
    if !secret.variables().any(is_password) {
        return None;
    }
    let (what, hint) = webhook::unfit(access.call.target.generates?)?;
    Some(found(Severity::Error, what, hint))
}

/// What the admin sees, and what would go of it.
fn seen(access: &Access<'_>, keys: &[Listed], current: Option<&Bundle>) -> Finding {
    if let Some(tag) = access.provider.tag() {
        let ours = keys.iter().filter_map(|key| key.tag.as_deref()).filter(|key| tag.is_ours(key));
        let what = format!("the admin sees {} keys, {} of them made by rotations", keys.len(), ours.count());
        return found(Severity::Fine, what, "");
    }
    let live = current.and_then(|current| access.key_id(current).ok());
    let others = keys.iter().filter(|key| Some(&key.key_id) != live.as_ref()).count();
    let what = format!("the admin sees {} keys, {others} of them beside the live one", keys.len());
    match others {
        0 => found(Severity::Fine, what, ""),
        _ => found(Severity::Warning, what, "each rotation deletes those that the secret store does not hold"),
    }
}

/// Whether the live key is accepted, and if so, whether a wrong one is not.
async fn live(access: &Access<'_>, current: &Bundle) -> Vec<Finding> {
    let answer = ask(access, current).await;
    let control = match &answer {
        Answer::Yes => ask_wrong(access, current).await,
        Answer::No { .. } | Answer::Partly { .. } | Answer::Unknown(_) => None,
    };
    let mut findings = vec![accepted(answer)];
    findings.extend(control.and_then(believed));
    findings
}

fn accepted(answer: Answer) -> Finding {
    match answer {
        Answer::Yes => found(Severity::Fine, "the live key is accepted".to_owned(), ""),
        Answer::No { reason } | Answer::Partly { reason } => {
            let hint = "somebody has deleted it, or the secret holds another target's key";
            found(Severity::Warning, format!("the live key is refused: {reason}"), hint)
        }
        Answer::Unknown(error) if error.code == UNFIT => {
            let hint = "replace it by hand, where it is accepted and in the secret store";
            found(Severity::Error, format!("the live key cannot be asked about: {}", error.message), hint)
        }
        Answer::Unknown(error) => {
            found(Severity::Warning, format!("whether the live key is accepted is unknown: {}", error.message), "")
        }
    }
}

/// What the answer to a wrong key says of `verify`.
fn believed(answer: Answer) -> Option<Finding> {
    match answer {
        Answer::No { .. } | Answer::Partly { .. } => None,
        Answer::Yes => {
            let what = "the provider's `verify` accepts any key: it took a wrong one as well".to_owned();
            Some(found(
                Severity::Error,
                what,
                "declare a request that only a right key is good for, or say more in `holds`",
            ))
        }
        Answer::Unknown(error) => {
            let what = format!("whether `verify` can say no to a wrong key is unknown: {}", error.message);
            Some(found(Severity::Warning, what, "declare by `refused` how a wrong key is answered"))
        }
    }
}

/// Whether the live key can be deleted when its time has come.
fn place(access: &Access<'_>, current: &Bundle, keys: &[Listed]) -> Option<Finding> {
    let Ok(id) = access.key_id(current) else {
        let what = "the live secret has no `key_id`, so nobody could revoke it".to_owned();
        return Some(found(Severity::Error, what, "add the field `key_id` to the secret"));
    };
    if keys.iter().any(|key| key.key_id == id) {
        return None;
    }
    let what = "the live key is not in the list, so that revoking it would find nothing".to_owned();
    Some(found(Severity::Warning, what, "check that `target:` names the owner of the live key"))
}

fn no_list(error: &RotatorError) -> Finding {
    let what = format!("the admin cannot list the keys: {}", error.message);
    found(Severity::Error, what, "check `target:` and the credential that `admin:` names")
}

fn found(severity: Severity, what: String, hint: &str) -> Finding {
    Finding { severity, what, hint: hint.to_owned() }
}
