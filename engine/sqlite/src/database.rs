//! Opening a database file so that a commit survives a power cut, and the handle that comes of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use crate::readers::{Reader, Readers};
use crate::writer::{self, Patience, Writer};
use crate::{Migrations, OpenError, WriteError, file, migrate};

/// Values of `PRAGMA synchronous` and others as SQLite reports them.
const DURABLE: [(&str, &str, &str); 3] = [
    ("journal_mode", "PRAGMA journal_mode", "wal"),
    ("synchronous", "PRAGMA synchronous", "2"), // FULL: each commit waits for the disk
    ("foreign_keys", "PRAGMA foreign_keys", "1"),
];

/// What a caller may choose about a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Overwrite what is deleted with zeros (`PRAGMA secure_delete`). Costs some writing; copies in the write-ahead log live on
    /// until it is reused.
    pub secure_delete: bool,
}

/// How much was written through this handle since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Transactions committed.
    pub commits: u64,
    /// Writes that were part of them; refused ones are not counted.
    pub writes: u64,
}

/// An open database file. Share it in an `Arc`; all methods take `&self`.
pub struct Database {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
}

impl Database {
    /// Opens `path` as a durable database in the format of `migrations`.
    ///
    /// A missing file is created with mode `0600` and missing folders with `0700`. An older file is migrated, in one
    /// transaction. Afterwards every commit waits for the disk (write-ahead log, `synchronous = FULL`), which is read back
    /// rather than believed.
    ///
    /// # Errors
    /// See [`OpenError`]. In particular a file from a newer program and a database of another program are refused, unchanged.
    pub async fn open(path: &Path, migrations: Migrations) -> Result<Database, OpenError> {
        Self::open_with(path, migrations, Options::default()).await
    }

    /// As [`Database::open`], with choices.
    pub async fn open_with(path: &Path, migrations: Migrations, options: Options) -> Result<Database, OpenError> {
        let sqlite = |source| OpenError::sqlite(path, source);
        file::prepare(path)?;

        let base = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .disable_statement_logging();
        // The writer waits for other processes by itself, see `writer::Patience`.
        let write_options = base
            .clone()
            .busy_timeout(Duration::ZERO)
            .pragma("secure_delete", if options.secure_delete { "ON" } else { "OFF" });

        let mut connection = writer::connect(&write_options).await.map_err(sqlite)?;
        if let Err(error) = make_durable(&mut connection, path).await {
            // Closed before the caller hears of it, so that it may do with the file what it likes.
            let _ = connection.close().await;
            return Err(error);
        }
        if let Err(error) = migrate::migrate(&mut connection, migrations, path).await {
            let _ = connection.close().await;
            return Err(error);
        }
        let readers = Readers::open(base).await.map_err(sqlite)?;
        Ok(Database { path: path.to_owned(), readers, writer: Writer::start(connection, write_options) })
    }

    /// A connection for reading: it sees every commit that was made before the read began, and refuses to write. One of a few,
    /// so give it back soon.
    ///
    /// # Errors
    /// After ten seconds without a free one, and after [`Database::close`].
    pub async fn reader(&self) -> Result<Reader, sqlx::Error> {
        self.readers.lend().await
    }

    /// Runs `f` in the next transaction and returns after its `COMMIT` reached the disk.
    ///
    /// `f` is given `data` and the writer's connection inside a transaction. It sees all writes that were queued before it. If it returns
    /// an error, its own statements are undone and those of others are not. It should do nothing but SQL on that connection:
    /// everyone else's writes wait for it, and where one of them is refused, all are undone and run once more; what counts is
    /// what the last run returns. It must not commit or roll back by itself; `Connection::begin` within it opens a nested
    /// savepoint and is fine. If it panics, its statements are undone and the panic goes on in the caller.
    ///
    /// ## Cancellation
    /// A write whose caller has gone away may still happen.
    ///
    /// # Errors
    /// [`WriteError::Refused`]: nothing was changed. [`WriteError::Storage`]: unknown.
    pub async fn write<D, T, E, F>(&self, data: D, f: F) -> Result<T, WriteError<E>>
    where
        F: for<'c> Fn(&'c D, &'c mut SqliteConnection) -> BoxFuture<'c, Result<T, E>> + Send + Sync + 'static,
        D: Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.writer.write(data, f).await
    }

    /// How much was written through this handle. `writes / commits` is how well commits are shared.
    pub fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Completes the waiting writes and closes all connections. Later writes fail with [`WriteError::Storage`]. May be repeated.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

async fn make_durable(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    // Turning a new file to write-ahead logging needs the file alone, and SQLite does not wait for that.
    let patience = Patience::start();
    while let Err(source) = sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
        patience.wait(source).await.map_err(|source| OpenError::sqlite(path, source))?;
    }
    for (setting, question, wanted) in DURABLE {
        // Unchecked, because some settings are numbers: SQLite turns them to text.
        let row = sqlx::query(question).fetch_one(&mut *connection).await;
        let found: String =
            row.and_then(|row| row.try_get_unchecked(0)).map_err(|source| OpenError::sqlite(path, source))?;
        if found != wanted {
            return Err(OpenError::NotDurable { path: path.to_owned(), setting, found, wanted });
        }
    }
    Ok(())
}
