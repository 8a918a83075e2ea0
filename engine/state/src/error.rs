//! What can go wrong with a state store.

use keywheel_core::{Illegal, RotationId};

/// A state store's failure.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store could not be reached or written. Whether the write happened is unknown: load the rotation to see.
    #[error("the state store is unavailable: {0}")]
    Unavailable(String),
    /// The lease was lost: another owner may be at work. Nothing was written.
    #[error("the lease on `{secret}` was lost; another process may be at work on it")]
    Fenced { secret: String },
    /// The rotation moved on since it was loaded. Nothing was written.
    #[error("rotation {rotation} has {found} events, not {expected}")]
    Moved { rotation: RotationId, expected: u64, found: u64 },
    /// The secret has a rotation that has not ended. Nothing was written.
    #[error("`{secret}` already has rotation {rotation} under way")]
    AlreadyOpen { secret: String, rotation: RotationId },
    /// There is no such rotation.
    #[error("there is no rotation {0}")]
    NotFound(RotationId),
    /// The event cannot happen in this state. Nothing was written.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// What is stored cannot be read: another format, or the file was edited.
    #[error("the state store holds what this version cannot read: {0}")]
    Corrupt(String),
}
