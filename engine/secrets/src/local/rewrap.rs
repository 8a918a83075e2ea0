//! Changing the master key under a running system: announce the new one, then wrap every data key anew.

use sqlx::SqliteConnection;

use super::envelope;
use super::labels::Refusal;
use super::master::{KeyId, Keyring};
use super::rows::{self, Wrapped};
use super::{LocalStore, StoreId, reading, refused, storage};
use crate::SecretsError;
use std::sync::Arc;

/// Versions per transaction: few enough that others' writes hardly wait.
const BATCH: i64 = 64;

/// What a rewrap did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrapped {
    /// The master key that everything is under now.
    pub key: KeyId,
    /// Versions whose data key was wrapped anew.
    pub rewrapped: u64,
    /// Versions that were under this key before.
    pub already: u64,
}

/// What one transaction did.
struct Batch {
    last: Option<i64>,
    rewrapped: u64,
    corrupt: Option<SecretsError>,
}

impl LocalStore {
    /// Brings every version under the keyring's first key, after reading the key file again.
    ///
    /// Values are not touched and readers notice nothing. When this returns `Ok`, nothing in the store is under another key
    /// and no process can add anything under one, so that the others may leave the key file. May be repeated, and is to be
    /// repeated after a crash or an error.
    ///
    /// # Errors
    /// `Corrupt` if a version cannot be opened: all others are rewrapped, and the former keys must stay until that version is
    /// discarded or restored. `Unavailable` if a key is missing, or while the master key is being changed elsewhere.
    pub async fn rewrap(&self) -> Result<Rewrapped, SecretsError> {
        // Held to the end, so that no other first key comes in meanwhile.
        let _lock = self.keys().ring.lock_file().map_err(|error| SecretsError::Unavailable(error.to_string()))?;
        // Read under the lock: the key that is announced is one that is in the file, and that stays there.
        let ring = self.reload()?;
        let key = ring.primary().id();
        self.announce(&ring).await?;

        let (mut rewrapped, mut after, mut corrupt) = (0, 0, None);
        loop {
            let batch = self
                .database
                .write((Arc::clone(&ring), self.id), move |(ring, id), c| Box::pin(rewrap_batch(c, ring, id, after)))
                .await
                .map_err(|error| refused("(master key)", error))?;
            rewrapped += batch.rewrapped;
            corrupt = corrupt.or(batch.corrupt);
            match batch.last {
                Some(last) => after = last,
                None => break,
            }
        }
        if let Some(error) = corrupt {
            return Err(error);
        }
        let mut reader = self.reader("(all secrets)").await?;
        let all: i64 = sqlx::query_scalar("SELECT count(*) FROM versions")
            .fetch_one(&mut *reader)
            .await
            .map_err(reading("(all secrets)"))?;
        let already = u64::try_from(all).unwrap_or(0).saturating_sub(rewrapped);
        tracing::info!(%key, rewrapped, already, "the master key was changed");
        Ok(Rewrapped { key, rewrapped, already })
    }

    /// From its commit on, a write under another key is refused, in whichever process.
    async fn announce(&self, ring: &Keyring) -> Result<(), SecretsError> {
        let key = ring.primary().id();
        let seal = envelope::make_seal(ring.primary(), &self.id)?;
        self.database
            .write((key, seal), |(key, seal), c| {
                let update = sqlx::query("UPDATE store SET key = ?1, seal = ?2 WHERE key <> ?1");
                Box::pin(update.bind(&key.0[..]).bind(seal).execute(c))
            })
            .await
            .map_err(storage)?;
        self.note_wrapping_key(key);
        Ok(())
    }
}

async fn rewrap_batch(c: &mut SqliteConnection, ring: &Keyring, id: &StoreId, after: i64) -> Result<Batch, Refusal> {
    let to = ring.primary();
    let announced = rows::wrapping_key(c).await?;
    if announced != to.id() {
        return Err(Refusal::OtherKey(announced));
    }
    let mut batch = Batch { last: None, rewrapped: 0, corrupt: None };
    for row in rows::not_under(c, to.id(), after, BATCH).await? {
        batch.last = Some(row.number);
        match wrap_anew(&row, ring, id) {
            Ok(wrapped) => {
                sqlx::query("UPDATE versions SET key = ?, wrapped = ? WHERE number = ?")
                    .bind(&to.id().0[..])
                    .bind(wrapped)
                    .bind(row.number)
                    .execute(&mut *c)
                    .await?;
                batch.rewrapped += 1;
            }
            // One bad version must not keep the others under the old key.
            Err(error) => batch.corrupt = batch.corrupt.or(Some(error)),
        }
    }
    Ok(batch)
}

fn wrap_anew(row: &Wrapped, ring: &Keyring, id: &StoreId) -> Result<Vec<u8>, SecretsError> {
    let from = ring.get(row.key).ok_or_else(|| {
        SecretsError::Unavailable(format!(
            "version `{}` of `{}` is under master key {}, and the keyring holds {}",
            row.version,
            row.secret,
            row.key,
            ring.ids()
        ))
    })?;
    envelope::rewrap(from, ring.primary(), id, &row.secret, &row.version, &row.wrapped)
}
