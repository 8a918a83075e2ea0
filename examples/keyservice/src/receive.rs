//! Receives webhooks: a signature is checked as
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> says.

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How far a delivery's time may be from ours, in seconds.
const TOLERANCE: u64 = 5 * 60;

/// What secrets are shown with.
const PREFIX: &str = "whsec_";

/// A webhook as it came. Nothing of it is believed yet.
pub(crate) struct Delivery<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: &'a str,
    body: &'a [u8],
}

impl<'a> Delivery<'a> {
    /// `None` without one of the three headers.
    pub(crate) fn of(headers: &'a HeaderMap, body: &'a [u8]) -> Option<Self> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Some(Delivery {
            id: header("webhook-id")?,
            timestamp: header("webhook-timestamp")?,
            signatures: header("webhook-signature")?,
            body,
        })
    }

    /// Whether it was sent just now, so that nobody can send it again later. `now` in seconds since 1970.
    pub(crate) fn is_timely(&self, now: i64) -> bool {
        self.timestamp.parse::<i64>().is_ok_and(|sent| sent.abs_diff(now) <= TOLERANCE)
    }

    /// Whether one of its signatures is this secret's. How long it takes says nothing of the secret.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let Ok(key) = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = [self.id.as_bytes(), self.timestamp.as_bytes(), self.body].join(&b'.');
        let signatures = self.signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        signatures
            .filter_map(|signature| STANDARD.decode(signature).ok())
            .any(|signature| hmac::verify(&key, &signed, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    /// The example of <https://docs.svix.com/receiving/verifying-payloads/how>, whose authors the specification is of.
    fn example(signatures: &str) -> Delivery<'_> {
        Delivery {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: "1614265330",
            signatures,
            body: br#"{"test": 2432232314}"#,
        }
    }

    #[test]
    fn the_published_example_is_accepted() {
        assert!(example(SIGNATURE).is_signed_by(SECRET));
        assert!(example(SIGNATURE).is_signed_by(&SECRET[PREFIX.len()..]), "without the prefix");
        assert!(example(&format!("v1a,AAAA v1,AAAA {SIGNATURE} v2,x")).is_signed_by(SECRET), "among others");
    }

    #[test]
    fn what_differs_in_anything_is_refused() {
        for signatures in ["", "v1,", &SIGNATURE[3..], &SIGNATURE.replace("v1", "v2"), &SIGNATURE.replace('g', "h")] {
            assert!(!example(signatures).is_signed_by(SECRET), "{signatures}");
        }
        assert!(!example(SIGNATURE).is_signed_by("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"));
        assert!(!example(SIGNATURE).is_signed_by("no base64"));
        assert!(!Delivery { id: "msg_other", ..example(SIGNATURE) }.is_signed_by(SECRET));
        assert!(!Delivery { timestamp: "1614265331", ..example(SIGNATURE) }.is_signed_by(SECRET));
        assert!(!Delivery { body: b"{}", ..example(SIGNATURE) }.is_signed_by(SECRET));
    }

    #[test]
    fn what_was_sent_long_ago_or_not_yet_is_refused() {
        let sent = 1_614_265_330;
        for (now, timely) in
            [(sent, true), (sent + 300, true), (sent + 301, false), (sent - 300, true), (sent - 301, false)]
        {
            assert_eq!(example(SIGNATURE).is_timely(now), timely, "{now}");
        }
        for timestamp in ["", "now", "1614265330.5", "99999999999999999999"] {
            assert!(!Delivery { timestamp, ..example(SIGNATURE) }.is_timely(sent), "{timestamp}");
        }
    }
}
