//! The verifiers that this process made last: whether such a one was made from a password is known without hashing again.
//!
//! A verifier holds a salt of its own that nobody else drew, so equal verifiers are one and the same, wherever the server
//! shows it. Two passwords that differ (after SASLprep, as they are hashed) have the same verifier only by a collision of
//! SHA-256. So this answers as 4096 rounds of hashing would.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::{hmac, rand};
use keywheel_sdk::Secret;
use zeroize::Zeroizing;

use crate::scram;

/// How many are kept: more than there are rotations between `apply` and `revoke` at the same time.
const KEPT: usize = 256;

/// Verifiers with a mark of the password that each was made from.
pub(crate) struct Made {
    /// Drawn anew in each process. Without it a mark says nothing of the password; whoever can read this memory finds the
    /// passwords themselves, which are set at the same time.
    key: hmac::Key,
    /// The newest last.
    recent: Mutex<VecDeque<(Zeroizing<String>, Mark)>>,
}

type Mark = Zeroizing<[u8; 32]>;

impl Default for Made {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.expect("the system's generator does not fail once the process runs");
        Made { key, recent: Mutex::default() }
    }
}

impl Made {
    /// A fresh verifier, as `ALTER ROLE … PASSWORD` takes it in place of the password.
    pub(crate) fn verifier(&self, password: &Secret) -> Zeroizing<String> {
        let made = scram::verifier(password);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back((made.clone(), self.mark(password)));
        made
    }

    /// As [`scram::matches`].
    pub(crate) fn matches(&self, rolpassword: &str, password: &Secret, role: &str) -> Option<bool> {
        self.knows(rolpassword, password).map_or_else(|| scram::matches(rolpassword, password, role), Some)
    }

    /// Whether a verifier was made from this password; `None` for one that was not made here, or long ago.
    fn knows(&self, rolpassword: &str, password: &Secret) -> Option<bool> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, mark) = recent.iter().rev().find(|(made, _)| made.as_str() == rolpassword)?;
        Some(scram::equal(&mark[..], &self.mark(password)[..]))
    }

    fn mark(&self, password: &Secret) -> Mark {
        let tag = scram::prepared(password, |bytes| hmac::sign(&self.key, bytes));
        Zeroizing::new(tag.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn what_was_made_here_is_known_as_hashing_would_tell() {
        let made = Made::default();
        let verifier = made.verifier(&secret("ﬁx\u{ad}ed"));
        for (password, same) in
            [("ﬁx\u{ad}ed", true), ("fixed", true), ("fixed ", false), ("Fixed", false), ("", false)]
        {
            assert_eq!(made.knows(&verifier, &secret(password)), Some(same), "{password}");
            assert_eq!(scram::matches(&verifier, &secret(password), "orders"), Some(same), "{password}");
        }
    }

    #[test]
    fn what_was_not_made_here_is_hashed() {
        let made = Made::default();
        let ours = made.verifier(&secret("plain"));
        let theirs = scram::verifier(&secret("plain"));
        // One character of another key: it is not the verifier that was made here, whatever its salt.
        let altered = ours.replacen(':', ":A", 2).replacen(":A", ":", 1);
        for verifier in [&*theirs, &altered] {
            assert_eq!(made.knows(verifier, &secret("plain")), None);
        }
        assert_eq!(made.matches(&theirs, &secret("plain"), "orders"), Some(true));
        assert_eq!(made.matches(&theirs, &secret("other"), "orders"), Some(false));
        assert_eq!(made.matches("plain text", &secret("plain"), "orders"), None);
        assert_eq!(Made::default().knows(&ours, &secret("plain")), None, "another process");
    }

    #[test]
    fn only_the_latest_are_kept() {
        let made = Made::default();
        let first = made.verifier(&secret("first"));
        let verifiers: Vec<_> = (0..KEPT).map(|n| made.verifier(&secret(&n.to_string()))).collect();
        assert_eq!(made.knows(&first, &secret("first")), None);
        assert_eq!(made.knows(&verifiers[0], &secret("0")), Some(true));
        assert_eq!(made.recent.lock().expect("whole").len(), KEPT);
    }
}
