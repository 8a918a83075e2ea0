//! The interface to what is to be told: notices, and how far each notifier is with them.

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::Notice;
use serde::{Deserialize, Serialize};

use crate::{Lease, StateError};

/// A notice with its place: numbers grow, by order of commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    pub number: u64,
    pub notice: Notice,
}

/// How far one notifier is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name.
    pub notifier: String,
    /// Every notice up to this number has been dealt with.
    pub done: u64,
    /// The message that was begun, and may have arrived.
    pub sending: Option<Sending>,
    /// When a message was last taken.
    pub sent_at: Option<Timestamp>,
    /// Up to when digests were made.
    pub digested: Option<Timestamp>,
    /// Messages that were never taken, and are tried no more.
    pub given_up: u64,
    /// What was last wrong with a message that was dealt with all the same: a recipient whom the server does not know.
    pub trouble: Option<String>,
}

/// A message on its way, with all that is behind `done` and not behind `up_to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    pub up_to: u64,
    /// What `up_to` was at first: later notices join a message that was certainly not taken.
    pub first_up_to: u64,
    pub since: Timestamp,
    /// Tries that failed.
    pub tries: u32,
    /// Of these, tries that were refused for what it says.
    pub refused: u32,
    /// Nobody can have it yet, so that later notices may join.
    pub untaken: bool,
    /// Those recipients who have it already.
    pub has: Vec<String>,
    /// Not tried again before.
    pub next: Timestamp,
    /// What the last try failed with.
    pub trouble: Option<String>,
}

/// Keeps what is to be told. What follows from a rotation's events is added by [`crate::StateStore::append`] and
/// [`crate::StateStore::create`] in their own transactions ([`keywheel_core::notice::of_event`]), so that no crash parts the two.
///
/// Errors are as those of [`crate::StateStore`].
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Adds notices whose ids are not there yet, in one transaction. May be repeated.
    async fn tell(&self, notices: &[Notice]) -> Result<(), StateError>;

    /// The first `limit` notices behind that number, in their order. One that cannot be read, since a newer program wrote it, is there
    /// with a message that says so.
    async fn notices(&self, after: u64, limit: usize) -> Result<Vec<Numbered>, StateError>;

    /// The number of the last notice, 0 without any.
    async fn last_notice(&self) -> Result<u64, StateError>;

    /// How far one notifier is; `None` if it never began.
    async fn delivery(&self, notifier: &str) -> Result<Option<Delivery>, StateError>;

    /// How far each notifier is, by name. Those that never began are absent.
    async fn deliveries(&self) -> Result<Vec<Delivery>, StateError>;

    /// Writes down how far a notifier is. `Fenced` unless the lease is this holder's, was not taken over, and is that of the
    /// notifier ([`notifier_lease`]). May be repeated.
    async fn deliver(&self, lease: &Lease, delivery: &Delivery) -> Result<(), StateError>;
}

/// What to claim in order to send for a notifier. No secret has such a name: `:` is in none.
pub fn notifier_lease(notifier: &str) -> String {
    format!("notifier:{notifier}")
}
