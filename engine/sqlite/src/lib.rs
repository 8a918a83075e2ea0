//! One SQLite file, many writers: durable opening and group commit. Knows nothing of what is stored.
//!
//! [`Database::open`] yields a file whose commits survive a power cut, migrated to the caller's version. Reads go through
//! [`Database::reader`]; every change goes through [`Database::write`], which shares one `COMMIT`, and so one wait for the
//! disk, among all callers that wait at that moment. Several processes may use the same file.

mod database;
mod error;
mod file;
mod migrate;
mod readers;
mod writer;

pub use database::{Counters, Database, Options};
pub use error::{OpenError, StorageError, WriteError};
pub use migrate::Migrations;
pub use readers::Reader;
