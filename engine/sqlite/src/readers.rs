//! A few connections for reading, lent one read at a time.
//!
//! Not sqlx's pool: that one asks a connection before and after each use whether it is still there, and each question is a
//! trip to the connection's thread and back. A file does not hang up.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::writer::connect;

/// How many reads run at the same time. Each has a thread of its own in sqlx.
const READERS: u32 = 4;
/// How long a read waits for a free connection, and within SQLite for a lock.
const READ_WAIT: Duration = Duration::from_secs(10);

pub(crate) struct Readers {
    options: SqliteConnectOptions,
    shared: Arc<Shared>,
}

struct Shared {
    /// As many as connections may be lent. Closed with the database.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<SqliteConnection>>,
}

/// A connection that refuses to write and sees every commit that was made before its read began. Goes back when dropped, also
/// in the middle of a read: the next one begins when SQLite is through with it.
pub struct Reader {
    /// Taken by `drop` only.
    connection: Option<SqliteConnection>,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Readers {
    /// Opens the first connection; others follow when they are needed.
    pub(crate) async fn open(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let options = options.busy_timeout(READ_WAIT).pragma("query_only", "ON");
        let first = connect(&options).await?;
        let shared = Shared { places: Arc::new(Semaphore::new(READERS as usize)), idle: Mutex::new(vec![first]) };
        Ok(Readers { options, shared: Arc::new(shared) })
    }

    pub(crate) async fn lend(&self) -> Result<Reader, sqlx::Error> {
        let place = tokio::time::timeout(READ_WAIT, Arc::clone(&self.shared.places).acquire_owned());
        let place = place.await.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.shared.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.options).await?,
        };
        Ok(Reader { connection: Some(connection), shared: Arc::clone(&self.shared), _place: place })
    }

    /// Waits for the reads under way, and closes all connections. May be repeated.
    pub(crate) async fn close(&self) {
        if let Ok(_all) = self.shared.places.acquire_many(READERS).await {
            self.shared.places.close();
        }
        let idle = std::mem::take(&mut *self.shared.idle());
        for connection in idle {
            let _ = connection.close().await; // nothing was written through it
        }
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Reader {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("taken by `drop` only")
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("taken by `drop` only")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Before the place is free, so that who gets the place finds the connection.
        self.shared.idle().extend(self.connection.take());
    }
}
