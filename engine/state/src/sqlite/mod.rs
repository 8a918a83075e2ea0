//! One SQLite file: durable when a call returns, shared by the processes of one machine.
//!
//! Beside the file stands a folder `<file>.holders`, by which holders see whether another's process is gone.

mod holder;
mod journal;
mod lease;
mod migrations;
mod outbox;
mod read;
mod row;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_core::handle::Receipt;
use keywheel_core::{Event, NewRotation, Notice, Recorded, Rotation, RotationId};
use keywheel_sqlite::{Counters, Database, OpenError, Reader, WriteError};

use self::holder::Holder;
use self::journal::Known;
use self::migrations::MIGRATIONS;
use crate::{Claim, Delivery, History, Lease, Numbered, Outbox, StateError, StateStore};

/// State in one SQLite file. Each value is a holder of its own, whose leases end with it or with its process.
pub struct SqliteState {
    database: Database,
    holder: Holder,
    known: Known,
}

impl SqliteState {
    /// Opens a file, creates it where there is none, and brings it to the present format.
    ///
    /// Several may be open on one file, in one process or in many on one machine. Instants are kept in whole microseconds.
    ///
    /// # Errors
    /// `Corrupt` for a file of a newer version or of another program, `Unavailable` for all else. The file is not changed.
    pub async fn open(path: &Path) -> Result<Self, StateError> {
        let database = Database::open(path, MIGRATIONS).await.map_err(opened)?;
        let holder = Holder::register(path).map_err(|error| {
            let path = path.display();
            StateError::Unavailable(format!("cannot lock a file in `{path}.holders`: {error}; nothing was changed"))
        })?;
        Ok(SqliteState { database, holder, known: Known::default() })
    }

    async fn reader(&self) -> Result<Reader, StateError> {
        self.database.reader().await.map_err(row::storage)
    }

    /// How many transactions and writes there were. `writes / commits` is how well commits are shared.
    pub fn counters(&self) -> Counters {
        self.database.counters()
    }

    /// Completes the waiting writes, closes the file, and gives up all leases that were not released.
    pub async fn close(self) {
        self.database.close().await;
    }
}

#[async_trait]
impl StateStore for SqliteState {
    async fn claim(&self, secret: &str, ttl: Duration, now: Timestamp) -> Result<Claim, StateError> {
        lease::claim(&self.database, &self.holder, secret, ttl, now).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration, now: Timestamp) -> Result<Lease, StateError> {
        lease::renew(&self.database, &self.holder, lease, ttl, now).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StateError> {
        self.known.forget(&lease.secret);
        lease::release(&self.database, &self.holder, lease).await
    }

    async fn create(
        &self,
        lease: &Lease,
        new: NewRotation,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        journal::create(self, lease, new, events, now).await
    }

    async fn append(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        journal::append(self, lease, rotation, after, events, now, false).await
    }

    async fn append_and_release(
        &self,
        lease: &Lease,
        rotation: RotationId,
        after: u64,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Receipt, StateError> {
        journal::append(self, lease, rotation, after, events, now, true).await
    }

    async fn rotation(&self, id: RotationId) -> Result<Option<Rotation>, StateError> {
        read::rotation(&mut *self.reader().await?, id).await
    }

    async fn events(&self, id: RotationId) -> Result<Vec<Recorded>, StateError> {
        read::events(&mut *self.reader().await?, id).await
    }

    async fn open(&self) -> Result<Vec<Rotation>, StateError> {
        read::open(&mut *self.reader().await?).await
    }

    async fn open_of(&self, secret: &str) -> Result<Option<Rotation>, StateError> {
        read::open_of(&mut *self.reader().await?, secret).await
    }

    async fn history(&self, which: &History) -> Result<Vec<Rotation>, StateError> {
        read::history(&mut *self.reader().await?, which).await
    }

    async fn latest(&self) -> Result<Vec<Rotation>, StateError> {
        read::latest(&mut *self.reader().await?).await
    }
}

#[async_trait]
impl Outbox for SqliteState {
    async fn tell(&self, notices: &[Notice]) -> Result<(), StateError> {
        outbox::tell(self, notices).await
    }

    async fn notices(&self, after: u64, limit: usize) -> Result<Vec<Numbered>, StateError> {
        outbox::notices(&mut *self.reader().await?, after, limit).await
    }

    async fn last_notice(&self) -> Result<u64, StateError> {
        outbox::last(&mut *self.reader().await?).await
    }

    async fn delivery(&self, notifier: &str) -> Result<Option<Delivery>, StateError> {
        outbox::delivery(&mut *self.reader().await?, notifier).await
    }

    async fn deliveries(&self) -> Result<Vec<Delivery>, StateError> {
        outbox::deliveries(&mut *self.reader().await?).await
    }

    async fn deliver(&self, lease: &Lease, delivery: &Delivery) -> Result<(), StateError> {
        outbox::deliver(self, lease, delivery).await
    }
}

/// A write's failure: what was refused by us, or what the database could not do.
fn written(error: WriteError<StateError>) -> StateError {
    match error {
        WriteError::Refused(error) => error,
        WriteError::Storage(error) => StateError::Unavailable(error.to_string()),
    }
}

/// The messages of an error and of its causes: [`StateError`] carries text only.
fn opened(error: OpenError) -> StateError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    match error {
        OpenError::Newer { .. } | OpenError::Foreign { .. } => StateError::Corrupt(text),
        OpenError::File { .. }
        | OpenError::NotDurable { .. }
        | OpenError::Sqlite { .. }
        | OpenError::Migrate { .. } => StateError::Unavailable(text),
    }
}
