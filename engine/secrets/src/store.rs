//! The interface: versions with labels, and promotion by compare-and-swap.

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_sdk::{Bundle, EXPIRES_AT};

use crate::SecretsError;

/// What a version is to readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// Staged, not yet promoted.
    Pending,
    /// What applications read.
    Current,
    /// What `CURRENT` was before; kept until it is revoked.
    Previous,
}

/// Which version is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector<'a> {
    Label(Label),
    Version(&'a str),
}

/// Where the labels of one secret are now. Each label is on one version at most, and a version has one label at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    pub pending: Option<String>,
    pub current: Option<String>,
    pub previous: Option<String>,
}

/// One version, decrypted.
pub struct Stored {
    pub version: String,
    pub label: Option<Label>,
    pub created_at: Timestamp,
    pub bundle: Bundle,
}

/// One version, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    pub version: String,
    pub label: Option<Label>,
    pub created_at: Timestamp,
    /// When it became `CURRENT`; `None` if it never did.
    pub promoted_at: Option<Timestamp>,
    /// When the target stops accepting it by itself: the bundle's field `expires_at`, where it has a readable one.
    pub expires_at: Option<Timestamp>,
}

/// One secret, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    pub name: String,
    pub labels: Labels,
    /// When `CURRENT` became so.
    pub current_since: Option<Timestamp>,
    /// When the target stops accepting `CURRENT` by itself, where that is known.
    pub current_expires_at: Option<Timestamp>,
}

/// The bundle's own word on when it ends: its field `expires_at`. `None` if it has none, or what is there is no instant.
pub fn expires_at(bundle: &Bundle) -> Option<Timestamp> {
    bundle.get(EXPIRES_AT).ok()?.expose(|text| text.parse().ok())
}

/// Keeps versions of secrets. Each change is atomic and durable when the call returns `Ok`.
///
/// `SecretsError::Unavailable` leaves the outcome open; every other error means that nothing was changed. All calls may be
/// repeated. `now` is recorded and decides nothing. Names and sizes are bounded, see [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES)
/// and [`MAX_BUNDLE_BYTES`](crate::MAX_BUNDLE_BYTES); beyond them a value is `Invalid`.
///
/// ## Fences
/// Whoever writes holds the state store's lease on the secret and passes its fence, which grows with each claim. The store
/// keeps the highest one per secret, in the same transaction as the write. A write with a lower one is a `Conflict`, since a
/// newer worker has taken over; an equal or a higher one is fine. So a worker that slept through the loss of its lease can
/// wake in the middle of a write and still harm nothing. A refused write raises no fence, and fences outlive the versions.
/// Reads need none; see [`SecretStore::raise_fence`] for looks that must be final.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Stores `bundle` as `version` with the label `PENDING`.
    ///
    /// Idempotent: the same version with the same value is `Ok`, with another value a `Conflict`. A version that already
    /// became `CURRENT` or `PREVIOUS` is a `Conflict` as well. An earlier `PENDING` version is destroyed in the same
    /// transaction: the engine stages a new one only when it knows that the target never accepted the earlier.
    async fn stage(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError>;

    /// Reads one version. `None` if there is none such.
    async fn read(&self, secret: &str, which: Selector<'_>) -> Result<Option<Stored>, SecretsError>;

    /// Where the labels are. All `None` for an unknown secret.
    async fn labels(&self, secret: &str) -> Result<Labels, SecretsError>;

    /// Moves `CURRENT` from `replaces` to `version`, and `PREVIOUS` to `replaces`; a still older `PREVIOUS` is destroyed.
    /// A compare-and-swap: `Conflict` unless `CURRENT` is on `replaces` (or nowhere, for `None`) and `PENDING` on `version`.
    /// Repeating a promotion that happened is `Ok` as long as the labels still show it.
    async fn promote(
        &self,
        secret: &str,
        version: &str,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError>;

    /// Destroys a version. Fine if it is gone. `Conflict` for `CURRENT`.
    async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError>;

    /// Raises the secret's fence and changes nothing else. From then on every write under an older lease is refused, also
    /// one that is under way already: what is read afterwards is final as far as older workers go. The secret need not
    /// exist. `Conflict` if the fence is lower than one seen before; may be repeated.
    async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError>;

    /// A person puts a value: it becomes `CURRENT` at once, and the former one `PREVIOUS`. `Conflict` while a version is
    /// `PENDING` (a rotation is under way), and if `CURRENT` is not on `replaces`. Repeating it with the same value is `Ok` as
    /// long as the labels still show it.
    async fn put(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError>;

    /// All secrets in name order, without values.
    async fn list(&self) -> Result<Vec<SecretInfo>, SecretsError>;

    /// All kept versions of a secret, newest first, without values.
    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, SecretsError>;
}
