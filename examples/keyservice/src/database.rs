//! The keys in SQLite. Of a key's value only its digest is kept; a slot's is kept itself, since it checks signatures, too.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};
use uuid::Uuid;

use crate::refusal::Refusal;
use crate::value;

/// Times are milliseconds since 1970. `seq` is the order of creation and never given twice. `issued_at` is when the
/// value was made, and so later than `created_at` once a key was rotated. `answers` are those to requests that may be
/// repeated. `put_at` is when a slot got the value that it has.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS keys (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        digest BLOB NOT NULL UNIQUE,
        enabled INTEGER NOT NULL DEFAULT 1,
        created_at INTEGER NOT NULL,
        issued_at INTEGER NOT NULL,
        last_used_at INTEGER,
        expires_at INTEGER
    ) STRICT;
    CREATE INDEX IF NOT EXISTS keys_of_owner ON keys (owner, seq);
    CREATE TABLE IF NOT EXISTS answers (
        owner TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        answer TEXT NOT NULL,
        PRIMARY KEY (owner, idempotency_key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS slots (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        digest BLOB NOT NULL UNIQUE,
        put_at INTEGER NOT NULL,
        PRIMARY KEY (owner, name)
    ) STRICT;
";

/// What is known of a key: all but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `key_` and a UUID.
    pub id: String,
    /// As its maker named it. Several keys may have one name.
    pub name: String,
    /// As its maker gave them; the service makes nothing of them.
    pub scopes: Vec<String>,
    /// False while it is disabled.
    pub enabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last accepted.
    pub last_used_at: Option<Timestamp>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// A key to be created.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) value: String,
    pub(crate) expires_in: Option<u32>,
}

pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    propagation: Duration,
    most: Mutex<HashMap<String, usize>>,
    pub(crate) most_slots: Mutex<HashMap<String, usize>>,
}

impl Database {
    /// Opens the file, or a database in memory.
    pub(crate) async fn open(path: Option<&Path>, propagation: Duration) -> Result<Self, sqlx::Error> {
        let options = match path {
            // Each commit waits for the disk: what was answered survives a killed process and a power cut.
            Some(path) => SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full),
            None => SqliteConnectOptions::new().in_memory(true),
        };
        // One connection, for good: a database in memory is gone with it, and with one there is one order of requests.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.disable_statement_logging())
            .await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        let most = counted(&pool, "SELECT owner, count(*) AS had FROM keys GROUP BY owner").await?;
        let most_slots = counted(&pool, "SELECT owner, count(*) AS had FROM slots GROUP BY owner").await?;
        Ok(Database { pool, propagation, most: Mutex::new(most), most_slots: Mutex::new(most_slots) })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Creates a key. If the user had one created with this idempotency key already: that one, as it was then, and
    /// `false`.
    pub(crate) async fn create(
        &self,
        user: &str,
        draft: &Draft,
        idempotency_key: Option<&str>,
        quota: usize,
    ) -> Result<(Key, bool), Refusal> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let made = sqlx::query("SELECT answer FROM answers WHERE owner = ? AND idempotency_key = ?")
            .bind(user)
            .bind(idempotency_key)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = made {
            return Ok((from_json(row.try_get("answer")?)?, false));
        }

        let had = sqlx::query_scalar("SELECT count(*) FROM keys WHERE owner = ?").bind(user);
        let had = count(had.fetch_one(&mut *transaction).await?);
        if had >= quota {
            return Err(Refusal::QuotaExceeded(had));
        }

        let now = now();
        let inserted = sqlx::query(
            "INSERT INTO keys (id, owner, name, scopes, digest, created_at, issued_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) RETURNING *",
        )
        .bind(new_id())
        .bind(user)
        .bind(&draft.name)
        .bind(to_json(&draft.scopes)?)
        .bind(&value::digest(&draft.value)[..])
        .bind(now)
        .bind(draft.expires_in.map(|seconds| now + i64::from(seconds) * 1000))
        .fetch_one(&mut *transaction)
        .await;
        let key = key(&inserted.map_err(taken)?)?;
        if let Some(idempotency_key) = idempotency_key {
            sqlx::query("INSERT INTO answers (owner, idempotency_key, answer) VALUES (?, ?, ?)")
                .bind(user)
                .bind(idempotency_key)
                .bind(to_json(&key)?)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;

        let mut most = self.most();
        let most = most.entry(user.to_owned()).or_default();
        *most = (*most).max(had + 1);
        Ok((key, true))
    }

    /// All keys of a user.
    pub(crate) async fn keys(&self, user: &str) -> Result<Vec<Key>, sqlx::Error> {
        Ok(self.page(user, 0, usize::MAX).await?.0)
    }

    /// The keys of a user created after the one with this number, and the number to go on from if there are more.
    pub(crate) async fn page(
        &self,
        user: &str,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<i64>), sqlx::Error> {
        let mut rows = sqlx::query("SELECT * FROM keys WHERE owner = ? AND seq > ? ORDER BY seq LIMIT ?")
            .bind(user)
            .bind(after)
            // One more than the page holds, to see whether there is one.
            .bind(i64::try_from(limit).map_or(i64::MAX, |limit| limit.saturating_add(1)))
            .fetch_all(&self.pool)
            .await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| row.try_get("seq")).transpose()? } else { None };
        Ok((rows.iter().map(key).collect::<Result<_, _>>()?, next))
    }

    pub(crate) async fn get(&self, user: &str, id: &str) -> Result<Option<Key>, sqlx::Error> {
        let query = sqlx::query("SELECT * FROM keys WHERE owner = ? AND id = ?").bind(user).bind(id);
        query.fetch_optional(&self.pool).await?.as_ref().map(key).transpose()
    }

    /// False if there is no such key.
    pub(crate) async fn delete(&self, user: &str, id: &str) -> Result<bool, sqlx::Error> {
        let query = sqlx::query("DELETE FROM keys WHERE owner = ? AND id = ?").bind(user).bind(id);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    pub(crate) async fn enable(&self, user: &str, id: &str, enabled: bool) -> Result<Option<Key>, sqlx::Error> {
        let query = sqlx::query("UPDATE keys SET enabled = ? WHERE owner = ? AND id = ? RETURNING *");
        let row = query.bind(enabled).bind(user).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(key).transpose()
    }

    /// Gives a key another value.
    pub(crate) async fn rotate(&self, user: &str, id: &str, value: &str) -> Result<Option<Key>, Refusal> {
        let query = sqlx::query("UPDATE keys SET digest = ?, issued_at = ? WHERE owner = ? AND id = ? RETURNING *");
        let query = query.bind(value::digest(value).to_vec()).bind(now()).bind(user).bind(id);
        let row = query.fetch_optional(&self.pool).await.map_err(taken)?;
        Ok(row.as_ref().map(key).transpose()?)
    }

    /// The user and the key of a value that is accepted now, which counts as a use.
    pub(crate) async fn touch(&self, value: &str) -> Result<Option<(String, Key)>, sqlx::Error> {
        let now = now();
        let query = sqlx::query(
            "UPDATE keys SET last_used_at = ?1
             WHERE digest = ?2 AND enabled AND issued_at <= ?3 AND (expires_at IS NULL OR expires_at > ?1) RETURNING *",
        );
        let query = query.bind(now).bind(value::digest(value).to_vec()).bind(self.settled(now));
        query.fetch_optional(&self.pool).await?.as_ref().map(owned_key).transpose()
    }

    /// The user and the key of a value that is accepted now.
    pub(crate) async fn find(&self, value: &str) -> Result<Option<(String, Key)>, sqlx::Error> {
        let now = now();
        let query = sqlx::query(
            "SELECT * FROM keys
             WHERE digest = ?2 AND enabled AND issued_at <= ?3 AND (expires_at IS NULL OR expires_at > ?1)",
        );
        let query = query.bind(now).bind(value::digest(value).to_vec()).bind(self.settled(now));
        query.fetch_optional(&self.pool).await?.as_ref().map(owned_key).transpose()
    }

    pub(crate) fn most_keys(&self, user: &str) -> usize {
        self.most().get(user).copied().unwrap_or_default()
    }

    /// Values made no later than this are known everywhere by now.
    pub(crate) fn settled(&self, now: i64) -> i64 {
        if self.propagation.is_zero() {
            // Also one made by a clock that was set back since.
            return i64::MAX;
        }
        i64::try_from(self.propagation.as_millis()).map_or(i64::MIN, |age| now.saturating_sub(age))
    }

    fn most(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many each owner has, by a query that says it.
async fn counted(pool: &SqlitePool, query: &'static str) -> Result<HashMap<String, usize>, sqlx::Error> {
    let rows = sqlx::query(query).fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get("owner")?, count(row.try_get("had")?)))).collect()
}

#[expect(clippy::disallowed_methods, reason = "a service of its own, outside the engine, has the system's clock")]
pub(crate) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

#[expect(clippy::disallowed_methods, reason = "a service of its own, outside the engine, makes its own ids")]
fn new_id() -> String {
    format!("key_{}", Uuid::now_v7())
}

fn key(row: &SqliteRow) -> Result<Key, sqlx::Error> {
    Ok(Key {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scopes: from_json(row.try_get("scopes")?)?,
        enabled: row.try_get("enabled")?,
        created_at: timestamp(row.try_get("created_at")?)?,
        last_used_at: row.try_get::<Option<_>, _>("last_used_at")?.map(timestamp).transpose()?,
        expires_at: row.try_get::<Option<_>, _>("expires_at")?.map(timestamp).transpose()?,
    })
}

fn owned_key(row: &SqliteRow) -> Result<(String, Key), sqlx::Error> {
    Ok((row.try_get("owner")?, key(row)?))
}

fn timestamp(milliseconds: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn from_json<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn to_json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

pub(crate) fn count(rows: i64) -> usize {
    usize::try_from(rows).unwrap_or_default()
}

/// Two values are the same exactly if their digests are.
pub(crate) fn taken(error: sqlx::Error) -> Refusal {
    if error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
        Refusal::ValueTaken
    } else {
        Refusal::Database(error)
    }
}
