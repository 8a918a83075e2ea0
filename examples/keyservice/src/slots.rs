//! Slots: values of the caller's own choosing under names. Two a user as a rule, so that one may be replaced while the other is in
//! use.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::database::{Database, count, now, taken};
use crate::refusal::Refusal;
use crate::value;

impl Database {
    /// Gives a slot this value, and makes the slot where there is none.
    ///
    /// # Errors
    /// The user has as many others as there may be, or the value is another slot's: nothing was changed.
    pub(crate) async fn put_slot(&self, user: &str, slot: &str, value: &str, limit: usize) -> Result<(), Refusal> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let others =
            sqlx::query_scalar("SELECT count(*) FROM slots WHERE owner = ? AND name <> ?").bind(user).bind(slot);
        let others = count(others.fetch_one(&mut *transaction).await?);
        if others >= limit {
            return Err(Refusal::SlotsFull(others));
        }
        let put = sqlx::query(
            "INSERT INTO slots (owner, name, value, digest, put_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (owner, name) DO UPDATE SET value = ?3, digest = ?4, put_at = ?5 WHERE digest <> ?4",
        );
        let put = put.bind(user).bind(slot).bind(value).bind(value::digest(value).to_vec()).bind(now());
        put.execute(&mut *transaction).await.map_err(taken)?;
        transaction.commit().await?;
        let mut most = self.locked_most_slots();
        let most = most.entry(user.to_owned()).or_default();
        *most = (*most).max(others + 1);
        Ok(())
    }

    /// False if there is no such slot.
    pub(crate) async fn delete_slot(&self, user: &str, slot: &str) -> Result<bool, sqlx::Error> {
        let query = sqlx::query("DELETE FROM slots WHERE owner = ? AND name = ?").bind(user).bind(slot);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// The names of a user's slots with their values, in the order of the names.
    pub(crate) async fn slots(&self, user: &str) -> Result<Vec<(String, String)>, sqlx::Error> {
        let query = sqlx::query("SELECT name, value FROM slots WHERE owner = ? ORDER BY name").bind(user);
        query.fetch_all(&self.pool).await?.iter().map(|row| pair(row, "name", "value")).collect()
    }

    /// The values of a user's slots that are known everywhere by now.
    pub(crate) async fn secrets(&self, user: &str) -> Result<Vec<String>, sqlx::Error> {
        let query = sqlx::query_scalar("SELECT value FROM slots WHERE owner = ? AND put_at <= ?");
        query.bind(user).bind(self.settled(now())).fetch_all(&self.pool).await
    }

    /// The user and the slot of a value that is accepted now.
    pub(crate) async fn find_slot(&self, value: &str) -> Result<Option<(String, String)>, sqlx::Error> {
        let query = sqlx::query("SELECT owner, name FROM slots WHERE digest = ? AND put_at <= ?");
        let query = query.bind(value::digest(value).to_vec()).bind(self.settled(now()));
        query.fetch_optional(&self.pool).await?.map(|row| pair(&row, "owner", "name")).transpose()
    }

    pub(crate) fn most_slots(&self, user: &str) -> usize {
        self.locked_most_slots().get(user).copied().unwrap_or_default()
    }

    fn locked_most_slots(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.most_slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pair(row: &SqliteRow, first: &str, second: &str) -> Result<(String, String), sqlx::Error> {
    Ok((row.try_get(first)?, row.try_get(second)?))
}
