//! The values of keys: how they are made, and the digests that are kept of them.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, digest, rand};

/// The length of a digest in bytes.
pub(crate) const DIGEST: usize = digest::SHA256_OUTPUT_LEN;

/// As many letters as five bits choose from, so that no letter is likelier than another.
const LETTERS: [u8; 32] = *b"abcdefghijkmnpqrstuvwxyz23456789";

/// Makes a value of 200 random bits: `ks_` and 40 letters.
///
/// # Errors
/// If the system gives no random bytes.
pub(crate) fn generate() -> Result<String, Unspecified> {
    let mut bytes = [0; 40];
    rand::fill(&mut bytes)?;
    let letters = bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
    Ok("ks_".chars().chain(letters).collect())
}

/// The SHA-256 of a value. A value of so many random bits needs no salt and no slow hash.
pub(crate) fn digest(value: &str) -> [u8; DIGEST] {
    let mut bytes = [0; DIGEST];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
    bytes
}

/// Whether this is the value of that digest. How long it takes says nothing of either.
pub(crate) fn is_of(value: &str, of: &[u8; DIGEST]) -> bool {
    constant_time::verify_slices_are_equal(&digest(value), of).is_ok()
}
