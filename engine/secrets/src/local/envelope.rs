//! The envelope: a value sealed by a data key, the data key wrapped by the master key, both bound to where they belong.
//!
//! A box is `format (1) | algorithm (1) | nonce (12) | ciphertext | tag (16)`. Its associated data are the purpose, the two
//! header bytes, the store's id, the secret's name, the version and, for a wrapped key, the master key's id.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf;
use keywheel_sdk::Bundle;
use zeroize::Zeroizing;

use super::codec;
use super::master::{KeyId, MasterKey};
use crate::SecretsError;

/// The layout of a box.
const FORMAT: u8 = 1;
/// AES-256-GCM with a random nonce.
const AES_256_GCM_RANDOM_NONCE: u8 = 1;
const HEADER: [u8; 2] = [FORMAT, AES_256_GCM_RANDOM_NONCE];
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;
/// What the check value says, once opened.
const SEAL: &[u8] = b"keywheel secret store";

/// Random, made with the store; keeps boxes of two stores apart.
pub(super) type StoreId = [u8; 16];

/// A data key or a wrapping key.
type Key = Zeroizing<[u8; KEY_LEN]>;

/// A version as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    /// Which master key wraps the data key.
    pub(super) key: KeyId,
    pub(super) wrapped: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Seals a bundle under a data key of its own.
pub(super) fn seal(
    master: &MasterKey,
    store: &StoreId,
    secret: &str,
    version: &str,
    bundle: &Bundle,
) -> Result<Sealed, SecretsError> {
    let mut data_key = Zeroizing::new([0; KEY_LEN]);
    fill_random(&mut *data_key)?;
    let plain = codec::encode(bundle, TAG_LEN);
    let value = close_box(&data_key, &value_context(store, secret, version), plain)?;
    let wrapped = wrap(master, store, secret, version, &data_key)?;
    Ok(Sealed { key: master.id(), wrapped, value })
}

/// Opens what [`seal`] made for the same store, secret and version.
pub(super) fn open(
    master: &MasterKey,
    store: &StoreId,
    secret: &str,
    version: &str,
    sealed: &Sealed,
) -> Result<Bundle, SecretsError> {
    let corrupt = |reason: &str| corrupt(secret, version, reason);
    let data_key = unwrap(master, store, secret, version, &sealed.wrapped)?;
    let plain = open_box(&data_key, &value_context(store, secret, version), &sealed.value)
        .ok_or_else(|| corrupt("the value does not decrypt: the file was altered or damaged"))?;
    codec::decode(&plain).ok_or_else(|| corrupt("the value decrypts and yet is no bundle"))
}

/// The same data key under another master key. The value itself is not touched.
pub(super) fn rewrap(
    from: &MasterKey,
    to: &MasterKey,
    store: &StoreId,
    secret: &str,
    version: &str,
    wrapped: &[u8],
) -> Result<Vec<u8>, SecretsError> {
    let data_key = unwrap(from, store, secret, version, wrapped)?;
    wrap(to, store, secret, version, &data_key)
}

/// A value that only this master key opens, to tell a wrong key at once.
pub(super) fn make_seal(master: &MasterKey, store: &StoreId) -> Result<Vec<u8>, SecretsError> {
    let mut plain = Zeroizing::new(Vec::with_capacity(SEAL.len() + TAG_LEN));
    plain.extend_from_slice(SEAL);
    close_box(&wrapping_key(master, store)?, &context(&[b"seal", store, &master.id().0]), plain)
}

/// Opens the check value.
pub(super) fn check_seal(master: &MasterKey, store: &StoreId, seal: &[u8]) -> Result<(), SecretsError> {
    let opened = open_box(&wrapping_key(master, store)?, &context(&[b"seal", store, &master.id().0]), seal);
    match opened {
        Some(plain) if *plain == SEAL => Ok(()),
        Some(_) | None => Err(SecretsError::Corrupt {
            secret: "(the store's seal)".to_owned(),
            reason: format!("master key {} does not open it: the file was altered or damaged", master.id()),
        }),
    }
}

pub(super) fn fill_random(bytes: &mut [u8]) -> Result<(), SecretsError> {
    aws_lc_rs::rand::fill(bytes)
        .map_err(|_| SecretsError::Unavailable("the system gives no random bytes; nothing was changed".to_owned()))
}

fn wrap(
    master: &MasterKey,
    store: &StoreId,
    secret: &str,
    version: &str,
    data_key: &Key,
) -> Result<Vec<u8>, SecretsError> {
    let mut plain = Zeroizing::new(Vec::with_capacity(KEY_LEN + TAG_LEN));
    plain.extend_from_slice(&data_key[..]);
    close_box(&wrapping_key(master, store)?, &key_context(store, secret, version, master.id()), plain)
}

fn unwrap(
    master: &MasterKey,
    store: &StoreId,
    secret: &str,
    version: &str,
    wrapped: &[u8],
) -> Result<Key, SecretsError> {
    let opened = open_box(&wrapping_key(master, store)?, &key_context(store, secret, version, master.id()), wrapped);
    opened
        .and_then(|plain| <[u8; KEY_LEN]>::try_from(plain.as_slice()).ok().map(Zeroizing::new))
        .ok_or_else(|| corrupt(secret, version, "its data key does not decrypt: the file was altered or damaged"))
}

/// The master key itself encrypts nothing: each store's wrapping key is derived from it (HKDF, RFC 5869).
fn wrapping_key(master: &MasterKey, store: &StoreId) -> Result<Key, SecretsError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, store)
        .extract(master.bytes())
        .expand(&[b"keywheel wrapping key 1"], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(|_| SecretsError::Unavailable("the wrapping key could not be derived".to_owned()))?;
    Ok(key)
}

fn value_context(store: &StoreId, secret: &str, version: &str) -> Vec<u8> {
    context(&[b"value", store, secret.as_bytes(), version.as_bytes()])
}

fn key_context(store: &StoreId, secret: &str, version: &str, master: KeyId) -> Vec<u8> {
    context(&[b"data key", store, secret.as_bytes(), version.as_bytes(), &master.0])
}

/// Associated data. Each part goes with its length, so that no two lists of parts read the same.
fn context(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Encrypts in place; `plain` needs room for the tag.
fn close_box(key: &Key, context: &[u8], mut plain: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, SecretsError> {
    debug_assert!(plain.capacity() >= plain.len() + TAG_LEN);
    let nonce = RandomizedNonceKey::new(&AES_256_GCM, &**key)
        .and_then(|key| key.seal_in_place_append_tag(Aad::from(context), &mut *plain))
        .map_err(|_| SecretsError::Unavailable("encryption failed; nothing was changed".to_owned()))?;
    Ok([&HEADER, nonce.as_ref().as_slice(), &plain].concat())
}

/// `None` if anything at all is not as it was when the box was closed.
fn open_box(key: &Key, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let sealed = sealed.strip_prefix(&HEADER)?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = RandomizedNonceKey::new(&AES_256_GCM, &**key)
        .and_then(|key| {
            let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut plain)?;
            Ok(opened.len())
        })
        .ok()?;
    plain.truncate(length);
    Some(plain)
}

fn corrupt(secret: &str, version: &str, reason: &str) -> SecretsError {
    SecretsError::Corrupt { secret: secret.to_owned(), reason: format!("version `{version}`: {reason}") }
}
