//! What has happened: the journal of rotations, leases and fences, and what is to be told of it.

mod error;
mod fold;
mod outbox;
mod store;

pub mod exam;
pub mod faulty;
pub mod memory;
pub mod sqlite;

pub use error::StateError;
pub use fold::replay;
pub use outbox::{Delivery, Numbered, Outbox, Sending, notifier_lease};
pub use store::{Claim, History, Lease, StateStore};
