//! Password hashes in the formats of the real server.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, pbkdf2, rand};

const SALT: usize = 4;

/// How hashes are made: 0x0200 is SHA-512, salted; 0x0300, of SQL Server 2025, is PBKDF2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Sha512,
    Pbkdf2 { rounds: u32 },
}

/// Two bytes of format, four of salt, sixty-four of digest.
pub(crate) fn hash(format: Format, password: &str) -> Vec<u8> {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).expect("the system has random bytes");
    let (mark, digest) = match format {
        Format::Sha512 => (2, sha512(password, &salt)),
        Format::Pbkdf2 { rounds } => (3, derived(password, &salt, rounds)),
    };
    [&[mark, 0], &salt[..], &digest].concat()
}

/// Whether `hash` is one of this password. False for what is no hash.
pub(crate) fn verify(format: Format, password: &str, hash: &[u8]) -> bool {
    let Some((mark, rest)) = hash.split_at_checked(2) else { return false };
    let Some((salt, stored)) = rest.split_at_checked(SALT) else { return false };
    let digest = match (mark, format) {
        ([2, 0], _) => sha512(password, salt),
        ([3, 0], Format::Pbkdf2 { rounds }) => derived(password, salt, rounds),
        _ => return false,
    };
    constant_time::verify_slices_are_equal(&digest, stored).is_ok()
}

/// A hash that could be stored as it is (`PASSWORD = 0x… HASHED`).
pub(crate) fn is_hash(bytes: &[u8]) -> bool {
    bytes.len() == 2 + SALT + 64 && matches!(bytes, [2 | 3, 0, ..])
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// UTF-16, little endian: how the server sees text.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn sha512(password: &str, salt: &[u8]) -> Vec<u8> {
    let mut input = utf16(password);
    input.extend_from_slice(salt);
    digest::digest(&digest::SHA512, &input).as_ref().to_vec()
}

fn derived(password: &str, salt: &[u8], rounds: u32) -> Vec<u8> {
    let mut out = vec![0; 64];
    let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, salt, &utf16(password), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_only() {
        for format in [Format::Sha512, Format::Pbkdf2 { rounds: 10 }] {
            let stored = hash(format, "Pa$$w0rd 🔑");
            assert_eq!(stored.len(), 70);
            assert!(is_hash(&stored));
            for (password, right) in
                [("Pa$$w0rd 🔑", true), ("pa$$w0rd 🔑", false), ("Pa$$w0rd 🔑 ", false), ("", false)]
            {
                assert_eq!(verify(format, password, &stored), right, "{password}");
            }
        }
    }

    #[test]
    fn a_known_hash() {
        // SHA-512 over "a\0" and the salt 01020304, computed elsewhere.
        let digest = digest::digest(&digest::SHA512, &[b'a', 0, 1, 2, 3, 4]);
        let stored = [&[2, 0, 1, 2, 3, 4], digest.as_ref()].concat();
        assert!(verify(Format::Sha512, "a", &stored));
        assert!(!verify(Format::Sha512, "a", &stored[..69]));
        assert!(!verify(Format::Sha512, "a", &[]));
    }
}
