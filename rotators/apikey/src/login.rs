//! How a request proves who sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel_sdk::{Retry, RotatorError};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use zeroize::Zeroizing;

use crate::access::Access;
use crate::fill::{put_header, sensitive};
use crate::provider::{Auth, Request};
use crate::sign::sign;
use crate::template::{Place, Values};
use crate::token::token;
use crate::webhook;

/// Adds what the provider knows the sender by. The request is complete but for that.
///
/// # Errors
/// A value is missing or cannot be sent, or a token was refused. Nothing has happened.
pub(crate) async fn login(
    access: &Access<'_>,
    outgoing: &mut reqwest::Request,
    request: &Request,
    values: &Values<'_>,
) -> Result<(), RotatorError> {
    match &request.auth {
        Auth::Nothing => Ok(()),
        Auth::Bearer(template) => put_header(outgoing.headers_mut(), &AUTHORIZATION, template, values, "Bearer "),
        Auth::Headers(headers) => headers
            .iter()
            .try_for_each(|(name, template)| put_header(outgoing.headers_mut(), name, template, values, "")),
        Auth::Basic { username, password } => {
            let (username, password) = (username.fill(values, Place::Whole)?, password.fill(values, Place::Whole)?);
            if username.contains(':') {
                let message = format!("the user name of `{}` has a `:`, which HTTP Basic cannot send", request.name);
                return Err(RotatorError::not_done(Retry::Never, "unfit-value", message));
            }
            outgoing.headers_mut().insert(AUTHORIZATION, basic(&username, &password)?);
            Ok(())
        }
        Auth::OAuth2(grant) => {
            let token = token(access, grant, values).await?;
            let text = token.expose(|token| Zeroizing::new(format!("Bearer {token}")));
            outgoing.headers_mut().insert(AUTHORIZATION, sensitive(&text, &AUTHORIZATION)?);
            Ok(())
        }
        Auth::SigV4(signer) => sign(outgoing, signer, values, crate::clock::now()),
        Auth::Webhook(secret) => webhook::sign(outgoing, secret, values, crate::clock::now()),
    }
}

/// The header of HTTP Basic (RFC 7617). The user has no `:`.
pub(crate) fn basic(username: &str, password: &str) -> Result<HeaderValue, RotatorError> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let text = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
    sensitive(&text, &AUTHORIZATION)
}
