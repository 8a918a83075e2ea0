//! `probe`: does the provider accept this key?

use keywheel_sdk::{Answer, Bundle, Call, Effect, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::answer::{Asks, Json, holds};
use crate::http::{Failure, Reply};
use crate::wait::Patience;
use crate::webhook::UNFIT;

/// The code of a key that was deleted and is accepted.
pub(crate) const STILL_ACCEPTED: &str = "still-accepted";
/// The code of an answer about another key than the one that was asked about.
pub(crate) const OTHER_KEY: &str = "other-key";

/// Uses the key as an application would, once.
pub(crate) async fn probe(rotator: &ApiKeyRotator, call: &Call<'_>, credential: &Bundle) -> Answer {
    match Access::of(rotator, call) {
        Ok(access) => ask(&access, credential).await,
        Err(error) => Answer::Unknown(error),
    }
}

/// `Yes` and `No` only for the answers that the declaration gives that meaning.
pub(crate) async fn ask(access: &Access<'_>, key: &Bundle) -> Answer {
    let verify = &access.provider.verify;
    let outgoing = match access.request(&verify.request, Some(key)).await {
        Ok(outgoing) => outgoing,
        // What signs nothing lets nobody in, whoever keeps it.
        Err(error) if error.code == UNFIT => return Answer::No { reason: error.message },
        Err(error) => return Answer::Unknown(error),
    };
    let reply = match access.send(outgoing).await.map_err(Failure::of_question) {
        Ok(reply) => reply,
        Err(error) => return Answer::Unknown(error),
    };
    match meaning(access, &reply, key) {
        Some(Ok(true)) => return Answer::Yes,
        Some(Ok(false)) => {
            return Answer::No { reason: format!("the provider answered {} to `verify`", reply.status) };
        }
        Some(Err((code, why))) => return Answer::Unknown(RotatorError::not_done(Retry::Now, code, why)),
        None => {}
    }
    Answer::Unknown(match reply.status {
        // Neither is it about the admin, nor does the declaration take it for a refusal of the key.
        401 | 403 => {
            let message =
                format!("the provider answered {} to `verify`, which is not among its `refused`", reply.status);
            RotatorError::not_done(Retry::Never, &format!("status-{}", reply.status), message)
        }
        _ => access.refusal(verify.request.name, &reply, Some(key), Asks::Proof),
    })
}

/// Whether an answer says that the key is accepted. `None`: nothing is declared of its status. The error says why the answer is
/// none all the same, with a code.
fn meaning(access: &Access<'_>, reply: &Reply, key: &Bundle) -> Option<Result<bool, (&'static str, String)>> {
    let verify = &access.provider.verify;
    let accepted = verify.request.expect.contains(&reply.status);
    if !accepted && !verify.refused.contains(&reply.status) {
        return None;
    }
    let refused = match &verify.refused_if {
        None => Ok(!accepted),
        Some(path) => Json::of(reply, verify.request.name).map(|json| json.selects(path)),
    };
    Some(match refused {
        Ok(true) => Ok(false),
        Ok(false) if accepted => {
            holds(&verify.request, reply).map_err(no_answer).and_then(|()| names(access, reply, key)).map(|()| true)
        }
        Ok(false) => Err(no_answer(format!(
            "the provider answered {} to `verify`, and nothing that `refused_if` asks for says that the key is refused",
            reply.status
        ))),
        Err(why) => Err(no_answer(why)),
    })
}

/// Whether an answer is about this key, where it says about which it is.
fn names(access: &Access<'_>, reply: &Reply, key: &Bundle) -> Result<(), (&'static str, String)> {
    let verify = &access.provider.verify;
    let Some(path) = &verify.key_id else { return Ok(()) };
    let named = Json::of(reply, verify.request.name).map_err(no_answer)?.text(path);
    let id = access.key_id(key).map_err(|error| no_answer(error.message))?;
    match named {
        Some(named) if named == id => Ok(()),
        // What it names may be anything, even the key's value.
        Some(_) => Err((OTHER_KEY, format!("the answer to `verify` is about another key than `{id}`"))),
        None => Err(no_answer("the answer to `verify` does not name the key where `key_id` says".to_owned())),
    }
}

fn no_answer(why: String) -> (&'static str, String) {
    ("no-answer", why)
}

/// Sees that the key is accepted, now or within the time that a new one may take.
///
/// # Errors
/// It is still refused, or no answer could be had. Nothing was changed.
pub(crate) async fn see_accepted(access: &Access<'_>, key: &Bundle) -> Result<(), RotatorError> {
    let mut patience = Patience::of(access);
    loop {
        let failure = match ask(access, key).await {
            Answer::Yes => return Ok(()),
            Answer::No { reason } | Answer::Partly { reason } => {
                RotatorError::not_done(Retry::Now, "refused", format!("the key is refused: {reason}"))
            }
            Answer::Unknown(error) => error,
        };
        if !patience.wait().await {
            return Err(failure);
        }
    }
}

/// Sees that a key that was ended is refused, now or within the time that this may take.
///
/// # Errors
/// It is still accepted, or no answer could be had. The change stands.
pub(crate) async fn see_refused(access: &Access<'_>, key: &Bundle) -> Result<(), RotatorError> {
    let mut patience = Patience::of(access);
    loop {
        let failure = match ask(access, key).await {
            Answer::No { .. } => return Ok(()),
            Answer::Yes | Answer::Partly { .. } => RotatorError::unknown(
                STILL_ACCEPTED,
                "the key was ended, and the provider still accepts it; a longer `propagation` gives it more time",
            ),
            Answer::Unknown(error) => RotatorError { effect: Effect::Unknown, ..error },
        };
        if !patience.wait().await {
            return Err(failure);
        }
    }
}
