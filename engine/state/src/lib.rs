//! What has happened: the journal of rotations, leases and fences.

mod error;
mod fold;
mod store;

pub mod exam;
pub mod faulty;
pub mod memory;
pub mod sqlite;

pub use error::StateError;
pub use fold::replay;
pub use store::{Claim, History, Lease, StateStore};
