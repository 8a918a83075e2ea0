//! The file's tables, and every question asked of them.

use jiff::Timestamp;
use keywheel_sqlite::Migrations;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, SqliteExecutor};

use super::envelope::{self, Sealed, StoreId};
use super::master::{KeyId, MasterKey};
use crate::{Label, Labels, SecretInfo, SecretsError, Selector, VersionInfo};

/// `versions.number` is the order of creation. Times are RFC 3339 text. `fences` outlive the versions.
pub(super) const MIGRATIONS: Migrations = &[
    (
        1,
        "versions with labels",
        "CREATE TABLE store (
        one  INTEGER PRIMARY KEY CHECK (one = 1),
        id   BLOB NOT NULL,
        key  BLOB NOT NULL,
        seal BLOB NOT NULL
    ) STRICT;
    CREATE TABLE versions (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        secret      TEXT NOT NULL,
        version     TEXT NOT NULL,
        label       TEXT NOT NULL CHECK (label IN ('PENDING', 'CURRENT', 'PREVIOUS')),
        created_at  TEXT NOT NULL,
        promoted_at TEXT,
        key         BLOB NOT NULL,
        wrapped     BLOB NOT NULL,
        value       BLOB NOT NULL,
        UNIQUE (secret, version),
        UNIQUE (secret, label)
    ) STRICT;
    CREATE INDEX versions_by_key ON versions (key);
    CREATE TABLE fences (
        secret TEXT PRIMARY KEY,
        fence  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;",
    ),
    (2, "when values expire", "ALTER TABLE versions ADD COLUMN expires_at TEXT;"),
];

/// The one row about the store itself.
pub(super) struct Store {
    pub(super) id: StoreId,
    /// The master key that wraps new data keys.
    pub(super) key: KeyId,
    /// Opens under `key` only.
    pub(super) seal: Vec<u8>,
}

impl Store {
    pub(super) fn new(master: &MasterKey) -> Result<Store, SecretsError> {
        let mut id = StoreId::default();
        envelope::fill_random(&mut id)?;
        Ok(Store { id, key: master.id(), seal: envelope::make_seal(master, &id)? })
    }
}

/// A version with its encrypted value.
pub(super) struct Row {
    pub(super) version: String,
    pub(super) label: Label,
    pub(super) created_at: Timestamp,
    pub(super) sealed: Sealed,
}

/// Keeps the store's row as it is, or makes it if there is none; returns what is there afterwards.
pub(super) async fn init_store(c: &mut SqliteConnection, fresh: &Store) -> Result<Store, sqlx::Error> {
    sqlx::query("INSERT OR IGNORE INTO store (one, id, key, seal) VALUES (1, ?, ?, ?)")
        .bind(&fresh.id[..])
        .bind(&fresh.key.0[..])
        .bind(&fresh.seal)
        .execute(&mut *c)
        .await?;
    let row = sqlx::query("SELECT id, key, seal FROM store").fetch_one(c).await?;
    Ok(Store { id: bytes(&row, "id")?, key: KeyId(bytes(&row, "key")?), seal: row.try_get("seal")? })
}

/// The master key that new data keys must be wrapped with.
pub(super) async fn wrapping_key(c: &mut SqliteConnection) -> Result<KeyId, sqlx::Error> {
    let row = sqlx::query("SELECT key FROM store").fetch_one(c).await?;
    Ok(KeyId(bytes(&row, "key")?))
}

/// [`wrapping_key`] and [`labels`] in one query: every statement is a trip to the connection's thread.
pub(super) async fn wrapping_key_and_labels(
    c: &mut SqliteConnection,
    secret: &str,
) -> Result<(KeyId, Labels), sqlx::Error> {
    let rows = sqlx::query("SELECT s.key, v.label, v.version FROM store AS s LEFT JOIN versions AS v ON v.secret = ?")
        .bind(secret)
        .fetch_all(c)
        .await?;
    let key = KeyId(bytes(rows.first().ok_or(sqlx::Error::RowNotFound)?, "key")?);
    let mut labels = Labels::default();
    for row in &rows {
        // A secret without versions is one row without a version.
        if let Some(version) = row.try_get("version")? {
            *slot(&mut labels, label(row)?) = Some(version);
        }
    }
    Ok((key, labels))
}

/// The master keys under which there are versions.
pub(super) async fn keys_in_use(from: impl SqliteExecutor<'_>) -> Result<Vec<KeyId>, sqlx::Error> {
    let rows = sqlx::query("SELECT DISTINCT key FROM versions").fetch_all(from).await?;
    rows.iter().map(|row| bytes(row, "key").map(KeyId)).collect()
}

pub(super) async fn find(
    from: impl SqliteExecutor<'_>,
    secret: &str,
    which: Selector<'_>,
) -> Result<Option<Row>, sqlx::Error> {
    let query = match which {
        Selector::Version(version) => {
            sqlx::query("SELECT * FROM versions WHERE secret = ? AND version = ?").bind(secret).bind(version)
        }
        Selector::Label(label) => {
            sqlx::query("SELECT * FROM versions WHERE secret = ? AND label = ?").bind(secret).bind(name(label))
        }
    };
    query.fetch_optional(from).await?.as_ref().map(version_row).transpose()
}

pub(super) async fn labels(from: impl SqliteExecutor<'_>, secret: &str) -> Result<Labels, sqlx::Error> {
    let rows = sqlx::query("SELECT label, version FROM versions WHERE secret = ?").bind(secret).fetch_all(from).await?;
    let mut labels = Labels::default();
    for row in &rows {
        *slot(&mut labels, label(row)?) = Some(row.try_get("version")?);
    }
    Ok(labels)
}

pub(super) async fn list(from: impl SqliteExecutor<'_>) -> Result<Vec<SecretInfo>, sqlx::Error> {
    let rows = sqlx::query("SELECT secret, label, version, promoted_at, expires_at FROM versions ORDER BY secret")
        .fetch_all(from)
        .await?;
    let mut secrets: Vec<SecretInfo> = Vec::new();
    for row in &rows {
        let secret: String = row.try_get("secret")?;
        if secrets.last().is_none_or(|last| last.name != secret) {
            secrets.push(SecretInfo {
                name: secret,
                labels: Labels::default(),
                current_since: None,
                current_expires_at: None,
            });
        }
        let info = secrets.last_mut().expect("one was just pushed if there was none");
        let label = label(row)?;
        *slot(&mut info.labels, label) = Some(row.try_get("version")?);
        if label == Label::Current {
            info.current_since = time_or_none(row, "promoted_at")?;
            info.current_expires_at = time_or_none(row, "expires_at")?;
        }
    }
    Ok(secrets)
}

pub(super) async fn versions(from: impl SqliteExecutor<'_>, secret: &str) -> Result<Vec<VersionInfo>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT version, label, created_at, promoted_at, expires_at FROM versions WHERE secret = ? ORDER BY number DESC",
    )
    .bind(secret)
    .fetch_all(from)
    .await?;
    let info = |row: &SqliteRow| {
        Ok(VersionInfo {
            version: row.try_get("version")?,
            label: Some(label(row)?),
            created_at: time(row, "created_at")?,
            promoted_at: time_or_none(row, "promoted_at")?,
            expires_at: time_or_none(row, "expires_at")?,
        })
    };
    rows.iter().map(info).collect()
}

/// A version that the next batch of a rewrap looks at.
pub(super) struct Wrapped {
    pub(super) number: i64,
    pub(super) secret: String,
    pub(super) version: String,
    pub(super) key: KeyId,
    pub(super) wrapped: Vec<u8>,
}

/// Versions behind `after` that are not under `key`, oldest first.
pub(super) async fn not_under(
    c: &mut SqliteConnection,
    key: KeyId,
    after: i64,
    limit: i64,
) -> Result<Vec<Wrapped>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT number, secret, version, key, wrapped FROM versions WHERE number > ? AND key <> ? ORDER BY number LIMIT ?",
    )
    .bind(after)
    .bind(&key.0[..])
    .bind(limit)
    .fetch_all(c)
    .await?;
    let wrapped = |row: &SqliteRow| {
        Ok(Wrapped {
            number: row.try_get("number")?,
            secret: row.try_get("secret")?,
            version: row.try_get("version")?,
            key: KeyId(bytes(row, "key")?),
            wrapped: row.try_get("wrapped")?,
        })
    };
    rows.iter().map(wrapped).collect()
}

/// How a label is written.
pub(super) fn name(label: Label) -> &'static str {
    match label {
        Label::Pending => "PENDING",
        Label::Current => "CURRENT",
        Label::Previous => "PREVIOUS",
    }
}

fn version_row(row: &SqliteRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        version: row.try_get("version")?,
        label: label(row)?,
        created_at: time(row, "created_at")?,
        sealed: Sealed {
            key: KeyId(bytes(row, "key")?),
            wrapped: row.try_get("wrapped")?,
            value: row.try_get("value")?,
        },
    })
}

fn slot(labels: &mut Labels, label: Label) -> &mut Option<String> {
    match label {
        Label::Pending => &mut labels.pending,
        Label::Current => &mut labels.current,
        Label::Previous => &mut labels.previous,
    }
}

fn label(row: &SqliteRow) -> Result<Label, sqlx::Error> {
    let text: &str = row.try_get("label")?;
    [Label::Pending, Label::Current, Label::Previous]
        .into_iter()
        .find(|&label| name(label) == text)
        .ok_or_else(|| unreadable("label"))
}

fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, sqlx::Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| unreadable(column))
}

fn time_or_none(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|_| unreadable(column))).transpose()
}

fn bytes<const N: usize>(row: &SqliteRow, column: &'static str) -> Result<[u8; N], sqlx::Error> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| unreadable(column))
}

fn unreadable(column: &'static str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: "the file was altered or damaged".into() }
}
