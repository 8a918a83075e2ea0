//! What a session knows of itself, and its open transaction.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::catalogue::{Key, World};
use crate::exchange::Message;

pub(crate) struct Me {
    pub(crate) serial: u64,
    pub(crate) id: i16,
    pub(crate) principal: Option<i32>,
    /// Of a contained user: its database, and its id there.
    pub(crate) contained: Option<(i32, i32)>,
    pub(crate) login: String,
    pub(crate) database: i32,
    /// The database after the login, and after a reset.
    pub(crate) home: i32,
    pub(crate) encrypted: bool,
    /// It said in its login that it only reads.
    pub(crate) reads: bool,
    pub(crate) client: String,
    pub(crate) flags: Flags,
    pub(crate) transaction: Option<Transaction>,
    /// `@@ERROR` and `@@ROWCOUNT`.
    pub(crate) error: i32,
    pub(crate) rows: i64,
    /// What CATCH is about.
    pub(crate) caught: Option<Message>,
    pub(crate) killed: watch::Receiver<bool>,
}

/// SET options.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    pub(crate) implicit_transactions: bool,
    pub(crate) xact_abort: bool,
    pub(crate) no_count: bool,
    pub(crate) quoted_identifier: bool,
    /// Milliseconds; -1 waits for ever.
    pub(crate) lock_timeout: i64,
    pub(crate) isolation: u8,
    pub(crate) parse_only: bool,
    pub(crate) no_exec: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            implicit_transactions: false,
            xact_abort: false,
            no_count: false,
            quoted_identifier: true,
            lock_timeout: -1,
            isolation: 2,
            parse_only: false,
            no_exec: false,
        }
    }
}

/// An open transaction: what it has changed is its own until COMMIT.
pub(crate) struct Transaction {
    pub(crate) depth: i32,
    pub(crate) world: Option<World>,
    pub(crate) touched: BTreeSet<Key>,
    /// An error has left nothing to do but ROLLBACK.
    pub(crate) doomed: bool,
}

impl Transaction {
    pub(crate) fn new() -> Self {
        Self { depth: 1, world: None, touched: BTreeSet::new(), doomed: false }
    }
}
