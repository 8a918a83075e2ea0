//! A POST that is signed as Standard Webhooks has it (<https://www.standardwebhooks.com>, version 1): over id, time and body,
//! so that a receiver knows the sender, and repeats by their id.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use keywheel_policies::Webhook as Spec;
use keywheel_sdk::Secret;

use super::http::Post;
use super::{Channel, Credentials, SendError, Sent};
use crate::Message;

/// What a key's text may begin with.
const PREFIX: &str = "whsec_";
/// Between 24 and 64 bytes, says the specification.
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

pub(super) struct Webhook {
    spec: Spec,
    credentials: Arc<dyn Credentials>,
}

impl Webhook {
    pub fn new(spec: Spec, credentials: Arc<dyn Credentials>) -> Self {
        Webhook { spec, credentials }
    }
}

#[async_trait]
impl Channel for Webhook {
    async fn send(&self, message: &Message, _has: &[String], now: Timestamp) -> Result<Sent, SendError> {
        let body = message.json().to_string();
        post_signed(&self.spec, &*self.credentials, message.id.clone(), body, now).await
    }

    fn most(&self) -> Option<usize> {
        Some(Message::KEPT)
    }
}

/// Posts a body under an id, signed with each key.
pub(crate) async fn post_signed(
    spec: &Spec,
    credentials: &dyn Credentials,
    id: String,
    body: String,
    now: Timestamp,
) -> Result<Sent, SendError> {
    // The time of this try: receivers refuse what is older than minutes.
    let timestamp = now.as_second().to_string();
    let mut signatures = Vec::new();
    for reference in &spec.signed_with {
        let key = credentials.text(reference).await?;
        signatures.push(sign(&key, &id, &timestamp, &body)?);
    }
    let signatures = signatures.join(" ");
    let headers = vec![("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signatures)];
    let ca_file = spec.ca_file.as_deref();
    Post { url: &spec.url, ca_file, headers, body, is_quoted: true }.send(now).await
}

/// The signature of one message: `v1,` and HMAC-SHA256 in base64.
///
/// # Errors
/// The key is no base64, or too short or too long.
pub fn sign(key: &Secret, id: &str, timestamp: &str, body: &str) -> Result<String, String> {
    let bytes = key.expose(|text| STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)));
    let bytes = bytes.map_err(|_| "the key for the signature is no base64, with or without `whsec_` before it")?;
    if !KEY.contains(&bytes.len()) {
        return Err(format!("the key for the signature has {} bytes, and {KEY:?} are asked for", bytes.len()));
    }
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(signed)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The example in the specification (spec/standard-webhooks.md of github.com/standard-webhooks/standard-webhooks).
    #[test]
    fn the_published_example_is_signed_as_published() {
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signed = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_key_signs_nothing() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "not base64 at all!", &STANDARD.encode([7; 65])] {
            sign(&Secret::new(text.to_owned()), "a", "1", "{}").unwrap_err();
        }
    }
}
