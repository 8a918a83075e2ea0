//! The interface: an append-only journal per rotation with one cached row, and a lease per secret.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Recorded, Rotation, RotationId};

use crate::{Outbox, StateError};

/// The right to act on one secret, or to send for one notifier. Fences grow: a write with an older one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The secret's name, or what [`crate::notifier_lease`] says.
    pub secret: String,
    /// Greater than that of every earlier lease on this secret.
    pub fence: u64,
    pub expires_at: Timestamp,
    /// The plugin that acts under it, if one does, by the SHA-256 of its file. Of no meaning to a store, which writes it beside
    /// each event: what acted in a step is known by the step's intent, also where another version goes on.
    pub plugin: Option<String>,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    Granted(Lease),
    /// Somebody alive holds it, at the longest until then if it is not renewed.
    Held {
        until: Timestamp,
    },
}

/// Which rotations to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Only of this secret.
    pub secret: Option<String>,
    /// At the most so many.
    pub limit: usize,
}

/// Keeps rotations. Each write is atomic and durable when the call returns `Ok`.
///
/// `Unavailable` leaves the outcome of a write open; every other error means that nothing was written. One value of this
/// type is one holder: leases are bound to it, and a holder whose process is gone has lost its leases at once where the
/// store can tell (one machine), else when they expire.
///
/// Instants are cut to whole microseconds before anything is derived from them, so that a row equals the replay of its
/// journal ([`crate::replay`]). Time is only ever the caller's `now`: lists go by order of creation, whatever the clock said.
///
/// ## Cancellation
/// A write whose future is dropped may still happen, as after `Unavailable`.
#[async_trait]
pub trait StateStore: Outbox {
    /// Takes the lease on a secret for `ttl`. Granted if nobody holds it, the holder is gone, or it expired. A holder that
    /// claims what it holds is refused like any other: two workers of one process must not share a lease.
    async fn claim(&self, secret: &str, ttl: Duration, now: Timestamp) -> Result<Claim, StateError>;

    /// Extends a lease to `now + ttl`. `Fenced` if it was taken over or given back; a lease that expired unnoticed is still
    /// extended. May be repeated.
    async fn renew(&self, lease: &Lease, ttl: Duration, now: Timestamp) -> Result<Lease, StateError>;

    /// Gives a lease back. Fine if it was already lost, so it may be repeated; a new owner's lease is left alone.
    async fn release(&self, lease: &Lease) -> Result<(), StateError>;

    /// Starts a rotation in [`keywheel_core::State::initial`], and appends its first events, if any, in the same
    /// transaction. All or none; what people should hear of them is part of it.
    ///
    /// `Fenced` unless the lease is this holder's, on this secret, and not taken over. `AlreadyOpen` unless all earlier
    /// rotations of the secret have ended: after a lost answer it names the rotation just created. `Moved` if the id was
    /// used before. `Illegal` last.
    async fn create(
        &self,
        lease: &Lease,
        new: NewRotation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError>;

    /// Appends events to a rotation that has exactly `after` events, updating its row through the transition table in the
    /// same transaction. All or none; what people should hear of them is part of it. All events get the same instant.
    ///
    /// In this order: `NotFound`; `Fenced` unless the lease is this holder's, on this rotation's secret, and not taken over
    /// (one that expired unnoticed still counts: its fence proves that nobody else wrote); `Moved`; `Illegal`. Without
    /// events the present state is confirmed and nothing changes.
    async fn append(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError>;

    /// [`StateStore::append`] and [`StateStore::release`] in one transaction, for who has nothing more to do: after an error
    /// the lease is as it was.
    async fn append_and_release(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError>;

    /// One rotation.
    async fn rotation(&self, id: RotationId) -> Result<Option<Rotation>, StateError>;

    /// A rotation's journal, in order. Empty for one that there is not.
    async fn events(&self, id: RotationId) -> Result<Vec<Recorded>, StateError>;

    /// All rotations that have not ended, oldest first.
    async fn open(&self) -> Result<Vec<Rotation>, StateError>;

    /// The rotation of this secret that has not ended.
    async fn open_of(&self, secret: &str) -> Result<Option<Rotation>, StateError>;

    /// Rotations, newest first.
    async fn history(&self, which: &History) -> Result<Vec<Rotation>, StateError>;

    /// The newest rotation of each secret, in the order of the names' bytes.
    async fn latest(&self) -> Result<Vec<Rotation>, StateError>;
}
