//! What can go wrong, and whether anything was changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A database file cannot be used. Nothing in it was changed, but for the creation of an empty file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder could not be created or opened.
    #[error("cannot open `{}`", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file was written by a newer program.
    #[error(
        "`{}` has format {found}, and this program knows formats up to {known}: use the newer program; the file was not changed",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// The file is a database of another program, or of a build of this one that was never released.
    #[error("`{}` is not a database of this program ({reason}): give another path; the file was not changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A setting that durability depends on did not take effect.
    #[error("`{}` cannot be made durable: {setting} is `{found}` instead of `{wanted}`", path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The pragma's name.
        setting: &'static str,
        /// What was read back.
        found: String,
        /// What was set.
        wanted: &'static str,
    },
    /// SQLite refused.
    #[error("cannot open the database `{}`", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        source: sqlx::Error,
    },
    /// A migration failed. Migrations run in one transaction: the file is as it was.
    #[error("cannot migrate `{}`: the file was not changed", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
}

impl OpenError {
    /// SQLite's answer while opening `path`.
    pub(crate) fn sqlite(path: &Path, source: sqlx::Error) -> Self {
        const NOTADB: &str = "26"; // https://www.sqlite.org/rescode.html
        let path = path.to_owned();
        if source.as_database_error().and_then(|error| error.code()).as_deref() == Some(NOTADB) {
            return OpenError::Foreign { path, reason: "it is no SQLite file".to_owned() };
        }
        OpenError::Sqlite { path, source }
    }
}

/// Why the database could not complete a write. Shared by all writes of one commit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database could not complete the write: {}", .0)]
pub struct StorageError(Arc<sqlx::Error>);

impl StorageError {
    /// The database's own answer.
    pub fn cause(&self) -> &sqlx::Error {
        &self.0
    }
}

impl From<sqlx::Error> for StorageError {
    fn from(error: sqlx::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// A write that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The caller's own closure refused. Its statements were rolled back: nothing was changed.
    #[error("{0}")]
    Refused(E),
    /// The transaction could not be begun or committed, or the database was closed. Whether the write happened is unknown:
    /// look before repeating it.
    #[error("{0}; whether it happened is unknown")]
    Storage(StorageError),
}
