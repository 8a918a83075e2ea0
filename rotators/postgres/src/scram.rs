//! SCRAM-SHA-256 verifiers, computed on our side: the password itself is in no statement, log or statistic of the server.
//!
//! Format and preparation as PostgreSQL does it (documentation "pg_authid", `src/common/scram-common.c`; RFC 5802, 7677;
//! SASLprep: RFC 4013).

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keywheel_sdk::{Retry, RotatorError, Secret};
use zeroize::{Zeroize, Zeroizing};

/// The server's own default (`scram_iterations`), and what all client libraries are used to.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
/// Verifiers with more than this are not computed here: it would take seconds, and whoever may write the verifier chooses it.
const MOST_ITERATIONS: u32 = 1_000_000;
const SALT_LENGTH: usize = 16;
const KEY_LENGTH: usize = digest::SHA256_OUTPUT_LEN;
/// The longest password tried. The server takes 65535 bytes in one message; many clients stop far below.
const LONGEST: usize = 1024;

/// Fine for a new password? The server would take any bytes, but what SASLprep refuses is hashed raw by some clients and
/// refused by others (this one's driver among them), so nobody should be given such a password.
pub(crate) fn check_candidate(password: &Secret) -> Result<(), RotatorError> {
    let refused = |message: &str| Err(RotatorError::not_done(Retry::NewCandidate, "password-content", message));
    password.expose(|text| {
        if text.is_empty() {
            return refused("the password is empty, and PostgreSQL refuses every login with an empty password");
        }
        if text.contains('\0') {
            return refused("the password holds a NUL byte, which PostgreSQL cannot take");
        }
        if text.len() > LONGEST {
            return refused("the password is longer than 1024 bytes, which many clients cannot send");
        }
        match stringprep::saslprep(text) {
            Err(_) => refused("the password holds characters that SASLprep (RFC 4013) forbids: clients would disagree"),
            Ok(prepared) if prepared.is_empty() => refused("nothing is left of the password after SASLprep (RFC 4013)"),
            Ok(_) => Ok(()),
        }
    })
}

/// A fresh verifier, as `ALTER ROLE … PASSWORD` takes it in place of the password.
pub(crate) fn verifier(password: &Secret) -> Zeroizing<String> {
    let mut salt = [0; SALT_LENGTH];
    rand::fill(&mut salt).expect("the system's generator does not fail once the process runs");
    let keys = Keys::derive(password, &salt, ITERATIONS);
    Zeroizing::new(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        BASE64.encode(salt),
        BASE64.encode(keys.stored),
        BASE64.encode(keys.server)
    ))
}

/// Whether the server's `rolpassword` was made from this password. `None` for a format that is not known, and for
/// more iterations than are computed here.
pub(crate) fn matches(rolpassword: &str, password: &Secret, role: &str) -> Option<bool> {
    if let Some(rest) = rolpassword.strip_prefix("SCRAM-SHA-256$") {
        let (parameters, keys) = rest.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored, _server) = keys.split_once(':')?;
        let salt = BASE64.decode(salt).ok()?;
        let stored = BASE64.decode(stored).ok()?;
        let iterations = iterations.parse().ok().filter(|count: &NonZeroU32| count.get() <= MOST_ITERATIONS)?;
        let derived = Keys::derive(password, &salt, iterations);
        return Some(equal(&derived.stored, &stored));
    }
    if rolpassword.len() == 35 && rolpassword.starts_with("md5") {
        let hashed = password.expose(|text| Zeroizing::new(postgres_protocol::password::md5(text.as_bytes(), role)));
        return Some(equal(hashed.as_bytes(), rolpassword.as_bytes()));
    }
    None
}

/// What the server keeps of a password.
struct Keys {
    stored: [u8; KEY_LENGTH],
    server: [u8; KEY_LENGTH],
}

impl Keys {
    fn derive(password: &Secret, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = Zeroizing::new([0; KEY_LENGTH]);
        prepared(password, |bytes| {
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, bytes, salted.as_mut());
        });
        let client = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salted.as_ref()), b"Client Key");
        let server = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salted.as_ref()), b"Server Key");
        let stored = digest::digest(&digest::SHA256, client.as_ref());
        Keys { stored: sized(stored.as_ref()), server: sized(server.as_ref()) }
    }
}

/// Lends the bytes that are hashed for a password.
pub(crate) fn prepared<R>(password: &Secret, hash: impl FnOnce(&[u8]) -> R) -> R {
    password.expose(|text| {
        // What cannot be prepared is hashed as it is, as libpq and the server do.
        let prepared = stringprep::saslprep(text).ok().filter(|prepared| !prepared.is_empty());
        let mut bytes = prepared.map_or_else(|| text.as_bytes().to_vec(), |text| text.as_bytes().to_vec());
        let hashed = hash(&bytes);
        bytes.zeroize();
        hashed
    })
}

fn sized(bytes: &[u8]) -> [u8; KEY_LENGTH] {
    bytes.try_into().expect("SHA-256 gives 32 bytes")
}

/// Takes the same time wherever equally long texts differ.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_rfc_7677_example_gives_its_published_keys() {
        // RFC 7677, section 3: password `pencil`, 4096 iterations, salt W22ZaJ0SNY7soEsUEjb6gQ==. The server's signature of
        // that exchange proves ServerKey.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("valid base64");
        let keys = Keys::derive(&secret("pencil"), &salt, ITERATIONS);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                       c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &keys.server), message.as_bytes());
        assert_eq!(BASE64.encode(signature.as_ref()), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_verifier_matches_its_password_only() {
        for password in ["plain", "pä\u{df}wörd", "with $ and : and '", &"x".repeat(LONGEST)] {
            let made = verifier(&secret(password));
            assert_eq!(matches(&made, &secret(password), "orders"), Some(true));
            assert_eq!(matches(&made, &secret("other"), "orders"), Some(false));
        }
        // What the widely used library makes, we recognise.
        let theirs = postgres_protocol::password::scram_sha_256("pä\u{df}".as_bytes());
        assert_eq!(matches(&theirs, &secret("pä\u{df}"), "orders"), Some(true));
        assert_eq!(matches(&postgres_protocol::password::md5(b"old", "orders"), &secret("old"), "orders"), Some(true));
        assert_eq!(matches("plain text", &secret("plain text"), "orders"), None);
    }

    #[test]
    fn too_many_iterations_are_not_computed() {
        let with = |count: &str| verifier(&secret("plain")).replace("$4096:", &format!("${count}:"));
        assert_eq!(matches(&with("4096"), &secret("plain"), "orders"), Some(true));
        // Computed: so it is another password.
        assert_eq!(matches(&with("4097"), &secret("plain"), "orders"), Some(false));
        for count in ["1000001", "2147483647", "4294967295", "4294967296", "0", "-1"] {
            assert_eq!(matches(&with(count), &secret("plain"), "orders"), None, "{count}");
        }
    }

    #[test]
    fn forms_that_look_alike_are_one_password() {
        // RFC 4013: compatibility forms are one password, and a soft hyphen is nothing.
        let made = verifier(&secret("ﬁx\u{ad}ed"));
        assert_eq!(matches(&made, &secret("fixed"), "orders"), Some(true));
    }

    #[test]
    fn what_clients_would_disagree_about_is_refused() {
        for bad in ["", "nul\0", "tab\t", "emoji \u{1f600}", "\u{ad}", &"x".repeat(LONGEST + 1)] {
            let error = check_candidate(&secret(bad)).expect_err("refused");
            assert_eq!(error.retry, Retry::NewCandidate, "{}", error.message);
        }
        check_candidate(&secret("pä\u{df} ok '\"\\")).expect("accepted");
    }
}
