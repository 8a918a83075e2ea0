//! `probe`: does the provider accept this key?

use std::time::Duration;

use jiff::Timestamp;
use keywheel_sdk::{Answer, Bundle, Call, Effect, Retry, RotatorError};

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::answer::{Asks, Json, date, holds};
use crate::clock;
use crate::http::{Failure, Reply};
use crate::list::list;
use crate::provider::{Auth, Made};
use crate::wait::Patience;
use crate::webhook::UNFIT;

/// The code of a key that was deleted and is accepted.
pub(crate) const STILL_ACCEPTED: &str = "still-accepted";
/// The code of an answer about another key than the one that was asked about.
pub(crate) const OTHER_KEY: &str = "other-key";

/// From here on a receiver of webhooks may take ours for old ones, or for none yet: it has a tolerance of its own, of five minutes
/// as a rule (<https://docs.svix.com/receiving/verifying-payloads/why>).
const CLOCKS_DIFFER: Duration = Duration::from_secs(4 * 60);

/// Uses the key as an application would, once.
///
/// A candidate of the engine's that signs nothing is refused before it is put, so that nobody can have taken it from us, and a doubt
/// about it ends with a No. A live one that was put by hand is a No, too: restoring it is tried again, and says why it cannot be.
pub(crate) async fn probe(rotator: &ApiKeyRotator, call: &Call<'_>, credential: &Bundle) -> Answer {
    let access = match Access::of(rotator, call) {
        Ok(access) => access,
        Err(error) => return Answer::Unknown(error),
    };
    let lags = !access.provider.propagation.is_zero();
    match (ask(&access, credential).await, &access.provider.made) {
        (Answer::Unknown(error), Made::Engine(_)) if error.code == UNFIT => Answer::No { reason: error.message },
        // What put it may have been answered to nobody, and need its whole time to show: until then it is no No.
        (Answer::No { reason }, Made::Engine(_)) if lags => match stays_refused(&access, credential).await {
            Ok(true) => Answer::No { reason },
            Ok(false) => Answer::Yes,
            Err(error) => Answer::Unknown(error),
        },
        // It may have been the admin that was refused, of whom something stood beside the key.
        (Answer::No { reason }, Made::Provider(_)) if access.provider.verify.request.shows_admin() => {
            match list(&access).await {
                Ok(_) => Answer::No { reason },
                Err(error) => Answer::Unknown(error),
            }
        }
        (answer, Made::Engine(_) | Made::Provider(_)) => answer,
    }
}

/// `Yes` and `No` only for the answers that the declaration gives that meaning. What cannot be asked about is unknown: somebody may
/// have put by hand what no signature can be made of here, and the provider may accept it.
pub(crate) async fn ask(access: &Access<'_>, key: &Bundle) -> Answer {
    let verify = &access.provider.verify;
    let outgoing = match access.request(&verify.request, Some(key)).await {
        Ok(outgoing) => outgoing,
        Err(error) => return Answer::Unknown(error),
    };
    let reply = match access.send(outgoing).await.map_err(Failure::of_question) {
        Ok(reply) => reply,
        Err(error) => return Answer::Unknown(error),
    };
    if let Some(error) = other_time(access, &reply) {
        return Answer::Unknown(error);
    }
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

/// A refusal that may be for the time alone: a signature of a webhook is good for minutes, and the two clocks differ by as much.
fn other_time(access: &Access<'_>, reply: &Reply) -> Option<RotatorError> {
    let request = &access.provider.verify.request;
    if !matches!(request.auth, Auth::Webhook(_)) || request.expect.contains(&reply.status) {
        return None;
    }
    let ahead = date(reply)?.as_second() - Timestamp::try_from(clock::now()).ok()?.as_second();
    (ahead.unsigned_abs() > CLOCKS_DIFFER.as_secs()).then(|| {
        let message = format!(
            "the provider answered {} to `verify`, and its clock is {} s {} of ours, so that it may have refused the time of the \
             signature and not the secret; set the clock that is wrong",
            reply.status,
            ahead.unsigned_abs(),
            if ahead > 0 { "ahead" } else { "behind" },
        );
        RotatorError::not_done(Retry::Now, "clock", message)
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

/// Whether a key is refused that nothing has ended: a change that was on its way may need the whole time of a new one to show.
///
/// # Errors
/// No answer could be had. Nothing was changed.
pub(crate) async fn stays_refused(access: &Access<'_>, key: &Bundle) -> Result<bool, RotatorError> {
    let mut patience = Patience::of(access);
    loop {
        match ask(access, key).await {
            Answer::No { .. } => {}
            Answer::Yes | Answer::Partly { .. } => return Ok(false),
            Answer::Unknown(error) => return Err(error),
        }
        if !patience.wait().await {
            return Ok(true);
        }
    }
}
