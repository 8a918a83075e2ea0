//! The negative control: `verify` is believed when it says yes to a key, and no to one that nobody has.

use keywheel_sdk::{Answer, Bundle, Retry, RotatorError, Secret};
use zeroize::Zeroizing;

use crate::access::Access;
use crate::probe::ask;
use crate::provider::PUBLIC;
use crate::webhook;

/// The code of a `verify` that cannot say no.
pub(crate) const PROVES_NOTHING: &str = "verify-proves-nothing";

/// How many characters of a secret are changed. With fewer, what is left may decode to the same bytes.
const CHANGED: usize = 4;

/// Sees that a wrong key is refused, unless the declaration says not to ask. Costs one refused login.
///
/// # Errors
/// The wrong key is accepted, or no answer could be had. Nothing was changed.
pub(crate) async fn see_wrong_refused(access: &Access<'_>, key: &Bundle) -> Result<(), RotatorError> {
    match ask_wrong(access, key).await {
        None | Some(Answer::No { .. } | Answer::Partly { .. }) => Ok(()),
        Some(Answer::Yes) => {
            let message = "the provider's `verify` accepts any key: it took a wrong one as well, so it proves nothing";
            Err(RotatorError::not_done(Retry::Never, PROVES_NOTHING, message))
        }
        Some(Answer::Unknown(error)) => {
            let message = format!("whether `verify` can say no to a wrong key is unknown: {}", error.message);
            Err(RotatorError { message, ..error })
        }
    }
}

/// What the provider says to a wrong key. `None`: the declaration says not to ask.
pub(crate) async fn ask_wrong(access: &Access<'_>, key: &Bundle) -> Option<Answer> {
    match access.provider.verify.negative_control {
        true => Some(ask(access, &mangled(key)).await),
        false => None,
    }
}

/// A key of the same form that nobody has.
fn mangled(key: &Bundle) -> Bundle {
    key.fields().fold(Bundle::new(), |bundle, (field, secret)| {
        let public = PUBLIC.contains(&field);
        bundle.with(field, if public { secret.duplicate() } else { secret.expose(other) })
    })
}

/// As long, of the same kinds of characters, with another end.
fn other(text: &str) -> Secret {
    let mut chars = Zeroizing::new(text.chars().collect::<Vec<char>>());
    // The padding of base64 stays, and so does the last character before it, of which some bits must be what they are.
    let unpadded = text.trim_end_matches('=').chars().count();
    let end = if unpadded < chars.len() { unpadded.saturating_sub(1) } else { unpadded };
    // Nor does it say anything that somebody could have wrong.
    let begin = if text.starts_with(webhook::PREFIX) { webhook::PREFIX.len() } else { 0 };
    let places: Vec<usize> = (begin..end).rev().filter(|at| chars[*at].is_ascii_alphanumeric()).take(CHANGED).collect();
    if places.is_empty()
        && let Some(last) = chars.get_mut(begin..end).and_then(<[char]>::last_mut)
    {
        *last = 'x';
    }
    for at in places {
        let now = chars[at];
        // One that the text has elsewhere, so that hexadecimal stays hexadecimal.
        let same_kind = |c: &char| *c != now && kind(*c) == kind(now);
        chars[at] = text.chars().find(same_kind).unwrap_or(match now {
            '0' | 'a' | 'A' => char::from(now as u8 + 1),
            '1'..='9' => '0',
            'b'..='z' => 'a',
            _ => 'A',
        });
    }
    Secret::new(chars.iter().collect())
}

/// Digit, lower case, upper case, other.
fn kind(c: char) -> (bool, bool, bool) {
    (c.is_ascii_digit(), c.is_ascii_lowercase(), c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::provider::KEY_ID;

    #[test]
    fn a_wrong_key_is_of_the_same_form_and_another_one() {
        for text in ["sk-live-9fA0bC7d", "0000", "deadbeef01", "aaaa", "AKIAABCD==", "z", "-----", "ü", "ab\n"] {
            let wrong = other(text).expose(str::to_owned);
            assert_eq!(wrong.chars().count(), text.chars().count(), "{text}");
            let changed = text.chars().zip(wrong.chars()).filter(|(a, b)| a != b).count();
            let letters = text.chars().filter(char::is_ascii_alphanumeric).count();
            assert_eq!(changed, letters.clamp(1, CHANGED), "{text}: {wrong}");
            let hexadecimal = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
            assert!(!hexadecimal(text) || hexadecimal(&wrong), "{text}: {wrong}");
        }
    }

    #[test]
    fn what_every_secret_begins_with_stays() {
        for text in ["whsec_ab", "whsec_-.", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let wrong = other(text).expose(str::to_owned);
            assert!(wrong.starts_with("whsec_") && wrong != text, "{text}: {wrong}");
        }
    }

    #[test]
    fn base64_stays_base64() {
        let varied = (24..=66_u8).map(|bytes| (0..bytes).map(|byte| byte.wrapping_mul(37)).collect::<Vec<u8>>());
        let symbols = [24, 25, 26].map(|bytes| vec![0xff; bytes]);
        for bytes in varied.chain(symbols) {
            let text = STANDARD.encode(&bytes);
            let wrong = other(&text).expose(str::to_owned);
            let decoded = STANDARD.decode(&wrong).unwrap();
            assert!(decoded.len() == bytes.len() && decoded != bytes, "{text}: {wrong}");
        }
    }

    #[test]
    fn ids_and_names_stay() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let key = Bundle::login("me", secret("abcdefgh")).with(KEY_ID, secret("id-1"));
        let wrong = mangled(&key);
        assert_eq!(wrong.username().unwrap(), "me");
        assert!(wrong.get(KEY_ID).unwrap().same_as(&secret("id-1")));
        assert!(!wrong.password().unwrap().same_as(&secret("abcdefgh")));
    }
}
