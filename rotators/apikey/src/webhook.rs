//! Signatures of webhooks, as Standard Webhooks has them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! The specification's own library leaves secrets in memory that nobody zeroes, and brings an HMAC, a base64 and a clock that
//! are here already. Of what it does no more is needed than the one HMAC.

use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keywheel_sdk::{Generates, Retry, RotatorError};
use reqwest::header::HeaderName;
use zeroize::Zeroizing;

use crate::fill::sensitive;
use crate::template::{Place, Template, Values};

pub(crate) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The code of what is no secret of a webhook.
pub(crate) const UNFIT: &str = "unfit-secret";

/// How secrets are shown, if their owner wants.
pub(crate) const PREFIX: &str = "whsec_";
/// How long a secret is, in bytes: from 192 to 512 bits.
const BYTES: RangeInclusive<usize> = 24..=64;
/// The same of a secret of letters and digits, read as base64 without padding.
const LETTERS: RangeInclusive<usize> = 32..=84;
/// What a policy says to get one.
const RECIPE: &str = "write `generate: { length: 64, charset: alphanumeric }` into the policy; any length from 32 to 84 that \
                      4 divides will do";

/// Adds the headers of a signature over a new id, the time and the body.
///
/// # Errors
/// A value is missing, or the secret is none of a webhook. Nothing has happened.
pub(crate) fn sign(
    outgoing: &mut reqwest::Request,
    secret: &Template,
    values: &Values<'_>,
    at: SystemTime,
) -> Result<(), RotatorError> {
    let filled = secret.fill(values, Place::Whole)?;
    let key = key(&filled).map_err(|why| {
        let message = format!("`{secret}` is no secret of a webhook, which {why}: where the engine makes it, {RECIPE}");
        RotatorError::not_done(Retry::Never, UNFIT, message)
    })?;
    let (id, timestamp) = (fresh()?, at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string());
    let body = outgoing.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let signature = signature(&key, &id, &timestamp, body);
    for (name, value) in [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
        let value = sensitive(&value, &name)?;
        outgoing.headers_mut().insert(name, value);
    }
    Ok(())
}

/// What is wrong with a policy whose candidates are to be secrets of webhooks, and what helps.
pub(crate) fn unfit(generates: Generates) -> Option<(String, &'static str)> {
    let what = if !generates.base64 {
        "not all of its characters are base64"
    } else if !LETTERS.contains(&generates.length) {
        "it is none of 24 to 64 bytes"
    } else if !generates.length.is_multiple_of(4) {
        "its length is none of base64"
    } else {
        return None;
    };
    Some((format!("the policy's `generate` makes no secret of a webhook: {what}"), RECIPE))
}

/// The bytes of a secret. The error is the rest of a sentence.
fn key(secret: &str) -> Result<hmac::Key, &'static str> {
    let text = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let bytes =
        STANDARD.decode(text).map(Zeroizing::new).map_err(|_| "is base64, with or without `whsec_` before it")?;
    if !BYTES.contains(&bytes.len()) {
        return Err("is 24 to 64 bytes in base64");
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// An id that no other delivery has, or its receiver would take this one for a repetition.
fn fresh() -> Result<String, RotatorError> {
    let mut random = [0u8; 16];
    let unfit = |_| RotatorError::not_done(Retry::Now, "no-chance", "the system gives no random numbers");
    rand::fill(&mut random).map_err(unfit)?;
    Ok(format!("msg_{:032x}", u128::from_le_bytes(random)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use keywheel_sdk::{Bundle, PASSWORD, Secret};
    use reqwest::{Method, Request};
    use serde_json::Map;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The example of <https://docs.svix.com/receiving/verifying-payloads/how>, whose authors the specification is of.
    #[test]
    fn signs_as_the_published_example() {
        for secret in [SECRET, &SECRET[PREFIX.len()..]] {
            let body = br#"{"test": 2432232314}"#;
            let signature = signature(&key(secret).unwrap(), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    fn signed(secret: &str) -> Result<Request, RotatorError> {
        let mut request = Request::new(Method::POST, "https://api.example.com/hook".parse().unwrap());
        *request.body_mut() = Some("{}".into());
        let key = Bundle::new().with(PASSWORD, Secret::new(secret.to_owned()));
        let target = Map::new();
        let values = Values {
            settings: &[],
            target: &target,
            admin: None,
            key: Some(&key),
            rotation: "",
            tag: "",
            expiry: None,
        };
        let template = Template::parse("${key.password}").unwrap();
        sign(&mut request, &template, &values, UNIX_EPOCH + Duration::from_millis(1_614_265_330_900))?;
        Ok(request)
    }

    #[test]
    fn each_request_has_an_id_of_its_own_and_whole_seconds() {
        let (first, second) = (signed(SECRET).unwrap(), signed(SECRET).unwrap());
        assert_eq!(first.headers()["webhook-timestamp"], "1614265330");
        assert_ne!(first.headers()["webhook-id"], second.headers()["webhook-id"]);
        let id = first.headers()["webhook-id"].to_str().unwrap();
        assert!(id.starts_with("msg_") && !id.contains('.'), "{id}");
        let expected = signature(&key(SECRET).unwrap(), id, "1614265330", b"{}");
        assert_eq!(first.headers()["webhook-signature"], expected.as_str());
        assert!(first.headers()["webhook-signature"].is_sensitive());
    }

    #[test]
    fn a_secret_has_24_to_64_bytes() {
        for bytes in [24, 25, 26, 27, 64] {
            assert!(signed(&STANDARD.encode(vec![7; bytes])).is_ok(), "{bytes}");
            assert!(signed(&format!("whsec_{}", STANDARD.encode(vec![7; bytes]))).is_ok(), "{bytes}");
        }
        for secret in [&STANDARD.encode([7; 23]), &STANDARD.encode([7; 65]), "", "whsec_"] {
            let error = signed(secret).unwrap_err();
            assert_eq!((error.code.as_str(), error.retry), (UNFIT, Retry::Never), "{secret}");
            assert!(error.message.contains("24 to 64 bytes in base64"), "{}", error.message);
        }
        // A dash, spaces, and a length that base64 has not.
        for secret in ["whsec-MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &" ".repeat(32), &"a".repeat(33)] {
            let error = signed(secret).unwrap_err();
            assert!(error.message.starts_with("`${key.password}` is no secret"), "{}", error.message);
            assert!(error.message.contains("charset: alphanumeric") && !error.message.contains(secret), "{error}");
        }
    }

    #[test]
    fn what_a_policy_makes_is_told_beforehand() {
        let generates = |length, base64| Generates { length, classes: 3, required: 0, base64 };
        for length in [32, 36, 64, 84] {
            assert!(unfit(generates(length, true)).is_none() && signed(&"a0Z1".repeat(length / 4)).is_ok(), "{length}");
        }
        for (length, base64) in [(40, false), (28, true), (33, true), (88, true)] {
            assert!(unfit(generates(length, base64)).is_some(), "{length}, {base64}");
        }
        assert!(signed(&"a0Z1".repeat(7)).is_err() && signed(&"a0Z1".repeat(22)).is_err());
    }
}
