//! Changes of labels. Each function is the body of one transaction: it looks, decides and writes.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::envelope::Sealed;
use super::master::KeyId;
use super::rows::{self, Row};
use crate::moves::{self, Progress};
use crate::{Label, Labels, Selector};

/// Why a transaction was rolled back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The labels are not where the caller believed, or the caller's fence is too old.
    #[error("{0}")]
    Labels(String),
    /// The data key must be wrapped by this master key from now on.
    #[error("data keys are wrapped by master key {0} now")]
    OtherKey(KeyId),
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
}

/// A version to be added.
pub(super) struct Insert {
    pub(super) version: String,
    /// Kept in clear beside the sealed value, for whoever asks what is due.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) sealed: Sealed,
}

/// How a new version comes in.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) secret: String,
    pub(super) fence: u64,
    now: Timestamp,
    how: How,
}

#[derive(Clone)]
enum How {
    Stage,
    Put { replaces: Option<String> },
}

impl Change {
    pub(super) fn stage(secret: &str, now: Timestamp, fence: u64) -> Change {
        Change { secret: secret.to_owned(), fence, now, how: How::Stage }
    }

    pub(super) fn put(secret: &str, replaces: Option<&str>, now: Timestamp, fence: u64) -> Change {
        Change { secret: secret.to_owned(), fence, now, how: How::Put { replaces: replaces.map(str::to_owned) } }
    }

    /// Adds the version. `Some` if it is there already as this very change would leave it: then nothing was written, and
    /// whether its value is the same and the fence high enough is for the caller to find out.
    pub(super) async fn insert(&self, c: &mut SqliteConnection, insert: &Insert) -> Result<Option<Row>, Refusal> {
        let (wrapping, labels) = rows::wrapping_key_and_labels(c, &self.secret).await?;
        if wrapping != insert.sealed.key {
            return Err(Refusal::OtherKey(wrapping));
        }
        let found = match &self.how {
            How::Stage => moves::stage(&labels, &insert.version),
            How::Put { replaces } => moves::put(&labels, &insert.version, replaces.as_deref()),
        };
        if found == Ok(Progress::Happened) {
            return Ok(rows::find(c, &self.secret, Selector::Version(&insert.version)).await?);
        }
        // Before the labels' own verdict, so that a worker that came too late is told so. A refusal takes this back.
        raise_fence(c, &self.secret, self.fence).await?;
        found.map_err(Refusal::Labels)?;
        let (label, promoted_at) = match &self.how {
            How::Stage => {
                if labels.pending.is_some() {
                    destroy(c, &self.secret, Label::Pending).await?;
                }
                (Label::Pending, None)
            }
            How::Put { .. } => {
                make_room(c, &self.secret, &labels).await?;
                (Label::Current, Some(self.now.to_string()))
            }
        };
        sqlx::query(
            "INSERT INTO versions (secret, version, label, created_at, promoted_at, expires_at, key, wrapped, value)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&self.secret)
        .bind(&insert.version)
        .bind(rows::name(label))
        .bind(self.now.to_string())
        .bind(promoted_at)
        .bind(insert.expires_at.map(|at| at.to_string()))
        .bind(&insert.sealed.key.0[..])
        .bind(&insert.sealed.wrapped)
        .bind(&insert.sealed.value)
        .execute(c)
        .await?;
        Ok(None)
    }
}

pub(super) async fn promote(
    c: &mut SqliteConnection,
    secret: &str,
    version: &str,
    replaces: Option<&str>,
    now: Timestamp,
    fence: u64,
) -> Result<(), Refusal> {
    raise_fence(c, secret, fence).await?;
    let labels: Labels = rows::labels(&mut *c, secret).await?;
    match moves::promote(&labels, version, replaces).map_err(Refusal::Labels)? {
        Progress::Happened => return Ok(()),
        Progress::Due => {}
    }
    make_room(c, secret, &labels).await?;
    sqlx::query("UPDATE versions SET label = 'CURRENT', promoted_at = ? WHERE secret = ? AND version = ?")
        .bind(now.to_string())
        .bind(secret)
        .bind(version)
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn discard(c: &mut SqliteConnection, secret: &str, version: &str, fence: u64) -> Result<(), Refusal> {
    raise_fence(c, secret, fence).await?;
    let gone = sqlx::query("DELETE FROM versions WHERE secret = ? AND version = ? AND label <> 'CURRENT'")
        .bind(secret)
        .bind(version)
        .execute(&mut *c)
        .await?
        .rows_affected();
    if gone > 0 {
        return Ok(());
    }
    let labels = rows::labels(c, secret).await?;
    moves::discard(&labels, version).map_err(Refusal::Labels)
}

/// What a person can do about a journal that begins again. The rest is told where the local store is described.
const YOUNGER: &str = "if no other worker runs, the journal is younger than this secret store: \
                       put back the journal that belongs to it";

/// Keeps the highest fence of a secret; refuses a lower one, which undoes the transaction.
pub(super) async fn raise_fence(c: &mut SqliteConnection, secret: &str, fence: u64) -> Result<(), Refusal> {
    let Ok(wanted) = i64::try_from(fence) else {
        return Err(Refusal::Labels(format!("fence {fence} is larger than that of any lease")));
    };
    // No row is affected where the condition does not hold.
    let raised = sqlx::query(
        "INSERT INTO fences (secret, fence) VALUES (?1, ?2)
         ON CONFLICT (secret) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= fences.fence",
    )
    .bind(secret)
    .bind(wanted)
    .execute(&mut *c)
    .await?
    .rows_affected();
    if raised == 0 {
        let seen: i64 =
            sqlx::query_scalar("SELECT fence FROM fences WHERE secret = ?").bind(secret).fetch_one(c).await?;
        moves::fence(seen.unsigned_abs(), fence).map_err(|reason| Refusal::Labels(format!("{reason}; {YOUNGER}")))?;
    }
    Ok(())
}

/// `CURRENT` becomes `PREVIOUS`, and what was `PREVIOUS` is destroyed.
async fn make_room(c: &mut SqliteConnection, secret: &str, labels: &Labels) -> Result<(), sqlx::Error> {
    if labels.previous.is_some() {
        destroy(c, secret, Label::Previous).await?;
    }
    if labels.current.is_none() {
        return Ok(());
    }
    sqlx::query("UPDATE versions SET label = 'PREVIOUS' WHERE secret = ? AND label = 'CURRENT'")
        .bind(secret)
        .execute(c)
        .await?;
    Ok(())
}

async fn destroy(c: &mut SqliteConnection, secret: &str, label: Label) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM versions WHERE secret = ? AND label = ?")
        .bind(secret)
        .bind(rows::name(label))
        .execute(c)
        .await?;
    Ok(())
}
