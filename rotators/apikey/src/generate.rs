//! `generate`: a second key beside the first.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use keywheel_sdk::{Bundle, Call, EXPIRES_AT, Effect, Retry, RotatorError, Secret};
use reqwest::header::HeaderValue;
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::ApiKeyRotator;
use crate::access::Access;
use crate::answer::{Asks, Json, after_change, holds, says};
use crate::clock;
use crate::http::Failure;
use crate::instant::{self, Day};
use crate::list::list;
use crate::provider::{Create, KEY_ID};
use crate::remove::remove;
use crate::wait::Patience;

/// Before a full target is tried again: somebody must make room first.
const AFTER_QUOTA: Duration = Duration::from_secs(15 * 60);

/// Makes a key with this rotation's tag, if keys can hold one, and returns all its fields once the list shows it so: what the list does
/// not show, no sweep would find. All failures after the provider has said that there is a key are of unknown effect.
pub(crate) async fn generate(
    rotator: &ApiKeyRotator,
    call: &Call<'_>,
    current: Option<&Bundle>,
) -> Result<Bundle, RotatorError> {
    let access = Access::of(rotator, call)?;
    let Some(issue) = access.provider.issue() else {
        return Err(RotatorError::not_done(Retry::Never, "unsupported", "this provider does not make values itself"));
    };
    // A live credential whose id nobody knows could be the one that is answered.
    let current = current.map(|current| access.key_id(current)).transpose()?;
    if access.tag.is_none() && current.is_none() {
        see_no_key(&access).await?;
    }
    let key = create(&access, &issue.create, current.as_deref()).await?;
    let id = access.key_id(&key).map_err(after_change)?;
    let mut patience = Patience::of(&access);
    loop {
        let listed = list(&access).await.map_err(after_change)?;
        if listed.iter().any(|listed| listed.key_id == id && listed.tag.as_deref() == access.tag.as_deref()) {
            return Ok(key);
        }
        if !patience.wait().await {
            // Nobody would find it again. It is known here and now; but if the list calls it by another id, so may `delete`.
            remove(&access, &access.key_of(&id)).await.map_err(after_change)?;
            let message = "the provider's list does not show the new key with its id and tag, so its deletion was asked for: \
                           see `each` in the declaration, and whether the provider alters names";
            return Err(after_change(RotatorError::not_done(Retry::Never, "not-listed", message)));
        }
    }
}

/// Where keys hold no tag and no live one is known, any that is there may be in use, and could not be told from one that a lost
/// answer leaves.
async fn see_no_key(access: &Access<'_>) -> Result<(), RotatorError> {
    let admins = access.admins_words();
    match list(access).await?.iter().filter(|listed| !admins.contains(&listed.key_id)).count() {
        0 => Ok(()),
        keys => Err(RotatorError::not_done(
            Retry::Never,
            "live-key-unknown",
            format!(
                "the target has {keys} keys, and the secret store holds none of them: put the live one into the store first, or \
                 delete those that nobody uses"
            ),
        )),
    }
}

async fn create(access: &Access<'_>, create: &Create, current: Option<&str>) -> Result<Bundle, RotatorError> {
    let name = create.request.name;
    let mut outgoing = access.request(&create.request, None).await?;
    if let Some(header) = &create.idempotency_key {
        outgoing.request.headers_mut().insert(header.clone(), fresh(access.call.rotation)?);
    }
    let reply = access.send(outgoing).await.map_err(Failure::of_change)?;
    if says(&create.quota, &reply, name) {
        let mut full = access.refusal(name, &reply, None, Asks::Change);
        (full.effect, full.retry, full.code) = (Effect::None, Retry::After(AFTER_QUOTA), "quota".to_owned());
        full.message.push_str(": it allows no further key; delete one that nobody uses");
        return Err(full);
    }
    if !create.request.expect.contains(&reply.status) {
        return Err(access.refusal(name, &reply, None, Asks::Change));
    }
    // From here on there is a key, and who cannot read it must say so: the sweep finds it by its tag.
    let unreadable = |why: String| RotatorError::unknown("lost-answer", why);
    holds(&create.request, &reply).map_err(unreadable)?;
    let json = Json::of(&reply, name).map_err(unreadable)?;
    let mut key = Bundle::new();
    for (field, path) in &create.extract {
        let value = if field == EXPIRES_AT { json.with(|value| end(value, path)) } else { json.secret(path) };
        let value = value
            .ok_or_else(|| unreadable(format!("the answer to `{name}` has no `{field}` where the declaration says")))?;
        key = key.with(field, value);
    }
    lives(&key)?;
    let id = key.get(KEY_ID)?.expose(str::to_owned);
    if Some(id.as_str()) == current {
        return Err(unreadable(format!("the provider answered `{name}` with the live key's own id, so it made none")));
    }
    Ok(key)
}

/// Sees that a new key has not ended already: it would be replaced at once, and so would the next.
fn lives(key: &Bundle) -> Result<(), RotatorError> {
    let Ok(end) = key.get(EXPIRES_AT) else { return Ok(()) };
    let end = end.expose(str::to_owned);
    let now = clock::now();
    if end.parse::<Timestamp>().map_or(true, |end| SystemTime::from(end) > now) {
        return Ok(());
    }
    let message = format!(
        "the provider made a key that ends at {end}, which is over already, so it is not used and the sweep deletes it: the lifetime \
         that `target:` gives to keys is too short, or the clock of this machine or of the provider is wrong"
    );
    Err(after_change(RotatorError::not_done(Retry::Never, "expired", message)))
}

/// When the key ends by itself, as RFC 3339 in UTC; empty where it does not. A date counts as its first second.
fn end(answer: &Value, path: &JsonPath) -> Option<Secret> {
    let value = path.query(answer).exactly_one().ok()?;
    let end = if value.is_null() { String::new() } else { instant::parse(value, Day::First)?.to_string() };
    Some(Secret::new(end))
}

/// A value that no other try has. One per rotation would not do: after a sweep it would bring back the answer that
/// holds the key which was swept.
fn fresh(rotation: &str) -> Result<HeaderValue, RotatorError> {
    let unfit = || RotatorError::not_done(Retry::Never, "unfit-value", "no idempotency key can be made");
    let mut random = [0u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| unfit())?;
    HeaderValue::from_str(&format!("{rotation}-{:016x}", u64::from_le_bytes(random))).map_err(|_| unfit())
}
