//! `last_used`: when somebody last used this key.

use std::time::SystemTime;

use jiff::Timestamp;
use keywheel_sdk::{Bundle, Call, Retry, RotatorError};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::answer::{Asks, Json, holds, no_answer, odd};
use crate::clock;
use crate::http::Failure;
use crate::instant::{self, Day};
use crate::list::list_with_ended;
use crate::provider::{LastUsed, LastUsedRequest};

/// As the provider tells it, which may be hours late. A date counts as its last second. `None` if never.
///
/// # Errors
/// No answer could be had, or the provider knows no such key. Nothing was changed.
pub(crate) async fn last_used(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    credential: &Bundle,
) -> Result<Option<SystemTime>, RotatorError> {
    let access = Access::of(rotator, call)?;
    let id = access.key_id(credential)?;
    let used = match &access.provider.last_used {
        LastUsed::Unknown => {
            let message = "this provider does not tell when a key was last used";
            return Err(RotatorError::not_done(Retry::Never, "unsupported", message));
        }
        LastUsed::Each(_) => in_list(&access, &id).await?,
        LastUsed::Request(declared) => by_request(&access, declared, &id).await?,
    };
    let now = clock::now();
    Ok(used.map(|used| SystemTime::from(used).min(now)))
}

/// Also of one that has ended by itself meanwhile: it is the previous one whose last use is asked for.
async fn in_list(access: &Access<'_>, id: &str) -> Result<Option<Timestamp>, RotatorError> {
    let keys = list_with_ended(access).await?;
    let Some(key) = keys.into_iter().find(|key| key.key_id == *id) else {
        let message = format!("the provider's list does not show the key `{id}`, so when it was used is unknown");
        return Err(RotatorError::not_done(Retry::Never, "not-listed", message));
    };
    key.last_used.map_err(odd)
}

async fn by_request(
    access: &Access<'_>,
    declared: &LastUsedRequest,
    id: &str,
) -> Result<Option<Timestamp>, RotatorError> {
    let request = &declared.request;
    let outgoing = access.request(request, Some(&access.key_of(id))).await?;
    let reply = access.send(outgoing).await.map_err(Failure::of_question)?;
    if !request.expect.contains(&reply.status) {
        return Err(access.refusal(request.name, &reply, None, Asks::Question));
    }
    holds(request, &reply).map_err(no_answer)?;
    let json = Json::of(&reply, request.name).map_err(no_answer)?;
    if declared.never.as_ref().is_some_and(|never| json.selects(never)) {
        return Ok(None);
    }
    json.with(|value| read(value, &declared.at)).map_err(odd)
}

/// What stands at a path. What is not there is no `null`: it would be taken for a key that nobody uses.
pub(crate) fn read(value: &Value, at: &JsonPath) -> Result<Option<Timestamp>, String> {
    match at.query(value).exactly_one() {
        Ok(Value::Null) => Ok(None),
        Ok(value) => instant::parse(value, Day::Last).map(Some).ok_or_else(|| {
            "when a key was last used is neither RFC 3339, nor Unix seconds, nor a date, nor `null`".to_owned()
        }),
        Err(_) => Err("the answer does not hold when a key was last used where the declaration says".to_owned()),
    }
}
