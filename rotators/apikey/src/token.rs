//! Tokens for the admin's credential: the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).

use std::sync::{Mutex, PoisonError};

use keywheel_sdk::{Retry, RotatorError, Secret};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde_json_path::JsonPath;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use crate::access::Access;
use crate::answer::{AFTER_REFUSED_ADMIN, Asks, Json, no_answer, odd};
use crate::http::{Failure, Outgoing, Reply};
use crate::login::basic;
use crate::provider::OAuth2;
use crate::settings;
use crate::template::{Place, Values};

/// What the token's request is called in messages.
const NAME: &str = "token";

/// The tokens of one call, each with what it was asked for. They end with the call.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Vec<(Asked, Secret)>>);

/// Address, client and scope.
type Asked = (Url, String, String);

impl Tokens {
    /// Lends each of them.
    pub fn each(&self, use_it: impl FnMut(&Secret)) {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().map(|(_, token)| token).for_each(use_it);
    }

    fn get(&self, asked: &Asked) -> Option<Secret> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().find(|(what, _)| what == asked).map(|(_, token)| token.duplicate())
    }

    fn keep(&self, asked: Asked, token: &Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((asked, token.duplicate()));
    }
}

/// The token for a grant, asked for once per call.
///
/// # Errors
/// It was refused, as a wrong admin is, or no answer could be had. Nothing has happened.
pub(crate) async fn token(access: &Access<'_>, grant: &OAuth2, values: &Values<'_>) -> Result<Secret, RotatorError> {
    let url = settings::address(access.provider, &grant.token_url, values.target)
        .map_err(|why| RotatorError::not_done(Retry::Never, "settings", why))?;
    let client = grant.client_id.fill(values, Place::Whole)?;
    let scope = grant.scope.as_ref().map(|scope| scope.fill(values, Place::Whole)).transpose()?.unwrap_or_default();
    let asked = (url, client.to_string(), scope.to_string());
    if let Some(token) = access.tokens.get(&asked) {
        return Ok(token);
    }
    let secret = grant.client_secret.fill(values, Place::Whole)?;
    let request = request(&asked, &secret, grant.basic)?;
    let reply = access.send_for_json(Outgoing { name: NAME, request }).await.map_err(Failure::of_question)?;
    let token = read(access, &reply)?;
    access.tokens.keep(asked, &token);
    Ok(token)
}

fn request((url, client, scope): &Asked, secret: &str, in_header: bool) -> Result<reqwest::Request, RotatorError> {
    let mut request = reqwest::Request::new(Method::POST, url.clone());
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !scope.is_empty() {
        form.append_pair("scope", scope);
    }
    let headers = request.headers_mut();
    if in_header {
        // Each is encoded as in a form first (section 2.3.1), so that a `:` is none.
        let encoded = |text: &str| Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
        headers.insert(AUTHORIZATION, basic(&encoded(client), &encoded(secret))?);
    } else {
        form.append_pair("client_id", client).append_pair("client_secret", secret);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    *request.body_mut() = Some(form.finish().into());
    Ok(request)
}

fn read(access: &Access<'_>, reply: &Reply) -> Result<Secret, RotatorError> {
    match reply.status {
        200 => {}
        // Section 5.2.
        400 | 401 | 403 => {
            let mut refused = access.refusal(NAME, reply, None, Asks::Proof);
            (refused.retry, refused.code) = (Retry::After(AFTER_REFUSED_ADMIN), "token-refused".to_owned());
            return Err(refused);
        }
        _ => return Err(access.refusal(NAME, reply, None, Asks::Proof)),
    }
    let json = Json::of(reply, NAME).map_err(no_answer)?;
    let path = |path: &str| JsonPath::parse(path).map_err(|_| odd(format!("`{path}` cannot be read")));
    // Section 7.1: a token of a type that is not understood is not used.
    let kind = path("$.token_type")?;
    if !json.has_none(&kind) && !json.text(&kind).is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(odd("the provider answered `token` with a token of another type than `bearer`"));
    }
    json.secret(&path("$.access_token")?).ok_or_else(|| odd("the answer to `token` has no `access_token`"))
}
