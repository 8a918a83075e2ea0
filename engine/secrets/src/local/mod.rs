//! Secrets in one local file, encrypted by a master key that lives elsewhere.
//!
//! **What protects what.** Each version is sealed with a data key of its own (AES-256-GCM); the data key is wrapped by the
//! master key. Both are bound to the store, the secret's name and the version, so that nothing in the file can be exchanged
//! for something else in it. Names, labels and times are in clear. Whoever may write to the file can delete versions or move
//! labels, but not make or alter a value.
//!
//! **Changing the master key**, while everything goes on:
//! 1. [`MasterKey::prepend_to_file`] puts a new key before the old one in the key file.
//! 2. [`LocalStore::rewrap`] announces the new key in the store, then wraps every data key anew. From the announcement on,
//!    no process wraps with the old key: the write would be refused. Processes that do not know the new key yet read the
//!    key file again when they meet it.
//! 3. When it has returned, and not before, remove the old line from the key file.
//!
//! A crash in the middle leaves both keys in use and both in the key file; run it again.
//!
//! **A lost journal.** The fences here come from the state database. If that one was deleted or is an older copy, its fences
//! are lower, and writes are refused until the journal that belongs here is put back. Where it is gone for good: end every
//! process, see what the target accepts of the secret's versions (a `PENDING` one may be live, and the next rotation would
//! destroy it), and only then empty the table `fences`.

mod codec;
mod envelope;
mod labels;
mod master;
mod rewrap;
mod rows;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use jiff::Timestamp;
use keywheel_sdk::Bundle;
use keywheel_sqlite::{Database, OpenError, Options, Reader, WriteError};

use crate::bounds::{check_bundle, check_name};
use crate::{Labels, SecretInfo, SecretStore, SecretsError, Selector, Stored, VersionInfo, expires_at};
use envelope::{Sealed, StoreId};
use labels::{Change, Insert, Refusal};
pub use master::{KeyId, Keyring, MasterKey, MasterKeyError};
pub use rewrap::Rewrapped;

/// How often a write is repeated when the master key changes under it. It changes once in months.
const KEY_CHANGES: usize = 4;

/// The encrypted local store. Several processes may use one file; a change is atomic and on the disk when a call returns.
pub struct LocalStore {
    database: Database,
    id: StoreId,
    keys: RwLock<Keys>,
}

#[derive(Clone)]
struct Keys {
    ring: Arc<Keyring>,
    /// The key that the store wants new data keys wrapped with, as far as this process has heard.
    wrapping: KeyId,
}

impl LocalStore {
    /// Opens the store, or makes a new one that is sealed with the keyring's first key.
    ///
    /// # Errors
    /// `Invalid` if the keyring lacks a key that the store needs (the message names it by its id), if the file is of a newer
    /// program or no secret store; `Corrupt` if the key has the right id and yet does not fit. Nothing was changed then.
    pub async fn open(path: &Path, keyring: impl Into<Keyring>) -> Result<LocalStore, SecretsError> {
        let keyring = keyring.into();
        let options = Options { secure_delete: true };
        let database = Database::open_with(path, rows::MIGRATIONS, options).await.map_err(|error| match &error {
            OpenError::Newer { .. } | OpenError::Foreign { .. } => SecretsError::Invalid(error.to_string()),
            OpenError::File { source, .. } => SecretsError::Unavailable(format!("{error}: {source}")),
            OpenError::Sqlite { source, .. } => SecretsError::Unavailable(format!("{error}: {source}")),
            OpenError::Migrate { source, .. } => SecretsError::Unavailable(format!("{error}: {source}")),
            OpenError::NotDurable { .. } => SecretsError::Unavailable(error.to_string()),
        })?;
        let opened = Self::unseal(&database, &keyring).await;
        match opened {
            Ok((id, wrapping)) => {
                let keys = RwLock::new(Keys { ring: Arc::new(keyring), wrapping });
                Ok(LocalStore { database, id, keys })
            }
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    /// Closes the file. Later calls are `Unavailable`.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Proves that the keyring fits the store, before anything relies on it.
    async fn unseal(database: &Database, keyring: &Keyring) -> Result<(StoreId, KeyId), SecretsError> {
        let fresh = rows::Store::new(keyring.primary())?;
        let store = database.write(fresh, |fresh, c| Box::pin(rows::init_store(c, fresh))).await.map_err(storage)?;
        let missing = |id: KeyId, what: &str| {
            SecretsError::Invalid(format!(
                "the secret store `{}` {what} master key {id}, and the keyring holds {}: add that key; nothing was changed",
                database.path().display(),
                keyring.ids()
            ))
        };
        let key = keyring.get(store.key).ok_or_else(|| missing(store.key, "is sealed with"))?;
        envelope::check_seal(key, &store.id, &store.seal)?;
        let mut reader = database.reader().await.map_err(reading("(all secrets)"))?;
        for used in rows::keys_in_use(&mut *reader).await.map_err(reading("(all secrets)"))? {
            if keyring.get(used).is_none() {
                return Err(missing(used, "has versions under"));
            }
        }
        Ok((store.id, store.key))
    }

    async fn reader(&self, secret: &str) -> Result<Reader, SecretsError> {
        self.database.reader().await.map_err(reading(secret))
    }

    fn keys(&self) -> Keys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keyring, once it is known to hold `id`; the key file is read again if need be.
    fn keyring_with(&self, id: KeyId) -> Result<Arc<Keyring>, SecretsError> {
        let known = self.keys().ring;
        if known.get(id).is_some() {
            return Ok(known);
        }
        let ring = self.reload()?;
        if ring.get(id).is_some() {
            return Ok(ring);
        }
        Err(SecretsError::Unavailable(format!(
            "it uses master key {id}, and this process holds {}: add that key to the key file",
            ring.ids()
        )))
    }

    /// Reads the key file again. Keys that this process had already are kept.
    fn reload(&self) -> Result<Arc<Keyring>, SecretsError> {
        let fresh = self.keys().ring.reload().map_err(|error| SecretsError::Unavailable(error.to_string()))?;
        let ring = Arc::new(fresh);
        self.keys.write().unwrap_or_else(PoisonError::into_inner).ring = Arc::clone(&ring);
        Ok(ring)
    }

    fn note_wrapping_key(&self, id: KeyId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).wrapping = id;
    }

    fn decrypt(&self, secret: &str, row: &rows::Row) -> Result<Bundle, SecretsError> {
        let ring = self.keyring_with(row.sealed.key)?;
        let key = ring.get(row.sealed.key).ok_or_else(|| {
            SecretsError::Unavailable(format!("master key {} has gone from the keyring", row.sealed.key))
        })?;
        envelope::open(key, &self.id, secret, &row.version, &row.sealed)
    }

    /// Seals a bundle and hands it to a change of labels, again if the master key was changed meanwhile.
    async fn store(&self, change: Change, version: &str, bundle: &Bundle) -> Result<(), SecretsError> {
        for _ in 0..KEY_CHANGES {
            let wrapping = self.keys().wrapping;
            let ring = self.keyring_with(wrapping)?;
            let Some(key) = ring.get(wrapping) else { continue };
            let sealed: Sealed = envelope::seal(key, &self.id, &change.secret, version, bundle)?;
            let insert = Insert { version: version.to_owned(), expires_at: expires_at(bundle), sealed };
            let write = (change.clone(), insert);
            match self.database.write(write, |(wanted, insert), c| Box::pin(wanted.insert(c, insert))).await {
                Ok(None) => return Ok(()),
                // The version is there already. Versions never change, so it may be compared outside of the transaction.
                Ok(Some(row)) => {
                    if self.decrypt(&change.secret, &row)?.same_as(bundle) {
                        return self.fenced(&change.secret, change.fence).await;
                    }
                    return Err(conflict(&change.secret, format!("version `{version}` exists with another value")));
                }
                Err(WriteError::Refused(Refusal::OtherKey(now))) => self.note_wrapping_key(now),
                Err(error) => return Err(refused(&change.secret, error)),
            }
        }
        Err(SecretsError::Unavailable("the master key keeps changing".to_owned()))
    }

    async fn fenced(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
        self.database
            .write(secret.to_owned(), move |secret, c| Box::pin(labels::raise_fence(c, secret, fence)))
            .await
            .map_err(|error| refused(secret, error))
    }
}

#[async_trait]
impl SecretStore for LocalStore {
    async fn stage(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        check_name("secret", secret)?;
        check_name("version", version)?;
        check_bundle(bundle)?;
        self.store(Change::stage(secret, now, fence), version, bundle).await
    }

    async fn read(&self, secret: &str, which: Selector<'_>) -> Result<Option<Stored>, SecretsError> {
        let mut reader = self.reader(secret).await?;
        let row = rows::find(&mut *reader, secret, which).await.map_err(reading(secret))?;
        drop(reader);
        let Some(row) = row else { return Ok(None) };
        let bundle = self.decrypt(secret, &row)?;
        Ok(Some(Stored { version: row.version, label: Some(row.label), created_at: row.created_at, bundle }))
    }

    async fn labels(&self, secret: &str) -> Result<Labels, SecretsError> {
        rows::labels(&mut *self.reader(secret).await?, secret).await.map_err(reading(secret))
    }

    async fn promote(
        &self,
        secret: &str,
        version: &str,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        let promotion = (secret.to_owned(), version.to_owned(), replaces.map(str::to_owned));
        self.database
            .write(promotion, move |(secret, version, replaces), c| {
                Box::pin(labels::promote(c, secret, version, replaces.as_deref(), now, fence))
            })
            .await
            .map_err(|error| refused(secret, error))
    }

    async fn discard(&self, secret: &str, version: &str, fence: u64) -> Result<(), SecretsError> {
        self.database
            .write((secret.to_owned(), version.to_owned()), move |(secret, version), c| {
                Box::pin(labels::discard(c, secret, version, fence))
            })
            .await
            .map_err(|error| refused(secret, error))
    }

    async fn raise_fence(&self, secret: &str, fence: u64) -> Result<(), SecretsError> {
        check_name("secret", secret)?;
        self.fenced(secret, fence).await
    }

    async fn put(
        &self,
        secret: &str,
        version: &str,
        bundle: &Bundle,
        replaces: Option<&str>,
        now: Timestamp,
        fence: u64,
    ) -> Result<(), SecretsError> {
        check_name("secret", secret)?;
        check_name("version", version)?;
        check_bundle(bundle)?;
        self.store(Change::put(secret, replaces, now, fence), version, bundle).await
    }

    async fn list(&self) -> Result<Vec<SecretInfo>, SecretsError> {
        rows::list(&mut *self.reader("(all secrets)").await?).await.map_err(reading("(all secrets)"))
    }

    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, SecretsError> {
        rows::versions(&mut *self.reader(secret).await?, secret).await.map_err(reading(secret))
    }
}

fn conflict(secret: &str, reason: String) -> SecretsError {
    SecretsError::Conflict { secret: secret.to_owned(), reason }
}

/// A read that failed: damage is told apart from trouble that may pass.
fn reading(secret: &str) -> impl FnOnce(sqlx::Error) -> SecretsError {
    const SQLITE_CORRUPT: &str = "11";
    let secret = secret.to_owned();
    move |error| {
        let code = error.as_database_error().and_then(|error| error.code());
        if matches!(error, sqlx::Error::ColumnDecode { .. }) || code.as_deref() == Some(SQLITE_CORRUPT) {
            return SecretsError::Corrupt { secret, reason: error.to_string() };
        }
        SecretsError::Unavailable(error.to_string())
    }
}

fn storage(error: WriteError<sqlx::Error>) -> SecretsError {
    SecretsError::Unavailable(error.to_string())
}

fn refused(secret: &str, error: WriteError<Refusal>) -> SecretsError {
    match error {
        WriteError::Refused(Refusal::Labels(reason)) => conflict(secret, reason),
        WriteError::Refused(Refusal::OtherKey(id)) => {
            SecretsError::Unavailable(format!("the master key was changed to {id} meanwhile; nothing was changed"))
        }
        WriteError::Refused(Refusal::Sqlite(error)) => SecretsError::Unavailable(error.to_string()),
        WriteError::Storage(error) => SecretsError::Unavailable(error.to_string()),
    }
}
