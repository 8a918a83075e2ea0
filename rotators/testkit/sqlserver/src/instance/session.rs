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
    /// It came over a line, and is not a test's own.
    pub(crate) line: bool,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Flags {
    /// What a session begins with: `sp_configure 'user options'`, bit by bit. Of its bits those that change what a statement
    /// does here; clients set the others themselves. Of a client that calls itself ODBC's the real server turns
    /// IMPLICIT_TRANSACTIONS off ([MS-TDS] 2.2.6.4, fODBC), which is left out here: a client that relies on it is caught.
    pub(crate) fn of_user_options(bits: i32) -> Self {
        let on = |bit: i32| bits & bit != 0;
        Self { implicit_transactions: on(2), no_count: on(512), xact_abort: on(16384), ..Self::default() }
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
