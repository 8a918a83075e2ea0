//! What has happened: the journal of rotations, leases and fences.

mod error;
mod fold;
mod store;

/// The exam that each [`StateStore`] sits.
pub mod exam;
/// A store that lies on purpose, for tests of whoever uses a store.
pub mod faulty;
/// The in-memory reference store.
pub mod memory;
/// The default store: one SQLite file.
pub mod sqlite;

pub use error::StateError;
pub use fold::replay;
pub use store::{Claim, History, Lease, StateStore};
