//! Passwords that the engine makes and the provider takes: `apply`, `restore` and `revoke`.
//!
//! In place, an account has one password, and putting another one ends the one before. Alternating, two accounts take turns, and
//! one is ended by deleting it.

use keywheel_sdk::{Answer, Bundle, Call, Retry, RotatorError, Secret, Shape};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::answer::{Asks, after_change, busy, holds, says};
use crate::control::{PROVES_NOTHING, see_wrong_refused};
use crate::http::Failure;
use crate::probe::{STILL_ACCEPTED, ask, see_accepted, see_refused, stays_refused};
use crate::provider::Put;
use crate::remove::{end, remove};
use crate::restore::differ;
use crate::webhook::UNFIT;

/// Puts the candidate's password, and sees that it is accepted. Before that, and before readers meet the gap of a change in
/// place, a wrong password must be refused.
pub(crate) async fn apply(
    rotator: &ApiKeyRotator,
    declared: &Put,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    match (call.target.strategy.shape(), current) {
        (Shape::Alternating, Some(current)) => differ(&access, candidate, current, "candidate")?,
        (Shape::InPlace | Shape::Overlapping, _) | (Shape::Alternating, None) => {}
    }
    provable(&access, candidate, current).await?;
    see_wrong_refused(&access, candidate).await?;
    put(&access, declared, candidate).await?;
    see_accepted(&access, candidate).await.map_err(after_change)
}

/// Sees that `verify` can be asked with both: a secret that signs nothing could neither be seen to be accepted, nor to end.
async fn provable(access: &Access<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
    let verify = &access.provider.verify.request;
    access.request(verify, Some(candidate)).await?;
    let Some(current) = current else { return Ok(()) };
    access.request(verify, Some(current)).await.map(drop).map_err(|error| {
        let message = format!("the live credential could not be seen to end: {}", error.message);
        RotatorError { message, ..error }
    })
}

fn unseen(error: RotatorError) -> RotatorError {
    let message = format!("the live credential could not be seen to be accepted again: {}", error.message);
    RotatorError { message, ..error }
}

/// In place: the password is `current`'s again, or one that nobody knows where there is none. Alternating: the candidate's account
/// is deleted. Then proved. May be repeated, and is fine if `apply` never happened.
pub(crate) async fn restore(
    rotator: &ApiKeyRotator,
    declared: &Put,
    call: &Call<'_>,
    candidate: &Bundle,
    current: Option<&Bundle>,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    let same = current
        .filter(|current| current.username().is_ok_and(|name| candidate.username().is_ok_and(|own| own == name)));
    match (call.target.strategy.shape(), same) {
        (Shape::Alternating, _) => {
            if let Some(current) = current {
                differ(&access, candidate, current, "candidate")?;
            }
            remove(&access, candidate).await?;
            ended(&access, candidate).await
        }
        (Shape::InPlace | Shape::Overlapping, Some(current)) => {
            if current.password()?.same_as(candidate.password()?) {
                let message = "candidate and current are the same: there is nothing to restore";
                return Err(RotatorError::not_done(Retry::Never, "same-key", message));
            }
            // Nor could it be seen afterwards that one is accepted of which no signature can be made.
            access.request(&access.provider.verify.request, Some(current)).await.map_err(unseen)?;
            put(&access, declared, current).await?;
            see_accepted(&access, current).await.map_err(after_change)?;
            ended(&access, candidate).await
        }
        // The account may be older than the policy, so that it stays with all that it may do, and with its password while the
        // candidate is not seen to be that.
        (Shape::InPlace | Shape::Overlapping, None) => {
            if !fits(&access, candidate).await? || stays_refused(&access, candidate).await? {
                return Ok(());
            }
            put(&access, declared, &unknown_to_all(candidate)?).await?;
            ended(&access, candidate).await
        }
    }
}

/// Whether `verify` can be asked about a candidate. If not, it was never put.
async fn fits(access: &Access<'_>, candidate: &Bundle) -> Result<bool, RotatorError> {
    match access.request(&access.provider.verify.request, Some(candidate)).await {
        Ok(_) => Ok(true),
        Err(error) if error.code == UNFIT => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sees that the candidate is refused.
///
/// # Errors
/// It is still accepted, or no answer could be had. Where any is accepted it will be for ever, until a person mends that.
async fn ended(access: &Access<'_>, candidate: &Bundle) -> Result<(), RotatorError> {
    if !fits(access, candidate).await.map_err(after_change)? {
        return Ok(());
    }
    match see_refused(access, candidate).await {
        Err(error) if error.code == STILL_ACCEPTED => match see_wrong_refused(access, candidate).await {
            Err(why) if why.code == PROVES_NOTHING => Err(after_change(why)),
            Ok(()) | Err(_) => Err(error),
        },
        seen => seen,
    }
}

/// In place: the previous password ended with the change, which is proved. Alternating: the previous account is deleted. Nothing
/// is deleted unless the current one is another one and is accepted at this moment.
pub(crate) async fn revoke(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    previous: &Bundle,
    current: &Bundle,
) -> Result<(), RotatorError> {
    let access = Access::of(rotator, call)?;
    match call.target.strategy.shape() {
        Shape::Alternating => {
            differ(&access, previous, current, "previous")?;
            accepted(&access, current).await?;
            end(&access, previous).await
        }
        Shape::InPlace | Shape::Overlapping => {
            if previous.password()?.same_as(current.password()?) {
                let message = "previous and current are the same: no other password has ended this one";
                return Err(RotatorError::not_done(Retry::Never, "same-key", message));
            }
            accepted(&access, current).await?;
            see_refused(&access, previous).await
        }
    }
}

/// Sees that the current credential is accepted, so that the one before may end.
pub(crate) async fn accepted(access: &Access<'_>, current: &Bundle) -> Result<(), RotatorError> {
    match ask(access, current).await {
        Answer::Yes => Ok(()),
        Answer::No { reason } | Answer::Partly { reason } => {
            let message = format!("the current key is refused ({reason}), so the previous one stays");
            Err(RotatorError::not_done(Retry::Now, "current-refused", message))
        }
        Answer::Unknown(error) => Err(error),
    }
}

async fn put(access: &Access<'_>, declared: &Put, key: &Bundle) -> Result<(), RotatorError> {
    let request = &declared.request;
    let outgoing = access.request(request, Some(key)).await?;
    let reply = access.send(outgoing).await.map_err(Failure::of_change)?;
    if request.expect.contains(&reply.status) {
        return holds(request, &reply).map_err(|why| RotatorError::unknown("lost-answer", why));
    }
    let error = access.refusal(request.name, &reply, Some(key), Asks::Change);
    if says(&declared.unfit, &reply, request.name) {
        let message = format!("{}: it takes no such password", error.message);
        return Err(RotatorError::not_done(Retry::NewCandidate, "unfit-password", message));
    }
    Err(busy(error, &reply))
}

/// The same account with a password of the same characters in an order that nobody keeps.
fn unknown_to_all(candidate: &Bundle) -> Result<Bundle, RotatorError> {
    let chance = |_| RotatorError::not_done(Retry::Now, "no-chance", "the system gives no random numbers");
    let shuffled = candidate.password()?.expose(|text| {
        let mut left: zeroize::Zeroizing<Vec<char>> = zeroize::Zeroizing::new(text.chars().collect());
        let mut other = String::with_capacity(text.len());
        while !left.is_empty() {
            let mut random = [0u8; 8];
            aws_lc_rs::rand::fill(&mut random).map_err(chance)?;
            let at = u64::from_le_bytes(random) % left.len() as u64;
            other.push(left.swap_remove(usize::try_from(at).unwrap_or_default()));
        }
        Ok::<_, RotatorError>(Secret::new(other))
    })?;
    Ok(candidate.duplicate().with(keywheel_sdk::PASSWORD, shuffled))
}
