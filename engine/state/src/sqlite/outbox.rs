//! Notices and deliveries: rows of JSON, by number and by name.

use jiff::Timestamp;
use keywheel_core::{Notice, NoticeKind};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::journal::push_owned;
use super::row::{self, FORMAT, count, get, storage, to_json};
use super::{SqliteState, written};
use crate::outbox::{Delivery, Numbered, notifier_lease};
use crate::{Lease, StateError};

const NOTICES: &str = "SELECT number, id, format, notice FROM notices WHERE number > ? ORDER BY number LIMIT ?";
const LAST: &str = "SELECT coalesce(max(number), 0) AS number FROM notices";
const DELIVERY: &str = "SELECT notifier, format, delivery FROM deliveries WHERE notifier = ?";
const DELIVERIES: &str = "SELECT notifier, format, delivery FROM deliveries ORDER BY notifier";

/// Adds notices, if the statement before has changed its row (`changes()`).
pub(super) fn push_notices(query: &mut QueryBuilder<Sqlite>, notices: &[Notice]) -> Result<(), StateError> {
    if notices.is_empty() {
        return Ok(());
    }
    query.push("; ");
    insert(query, notices)?;
    query.push(" WHERE changes() > 0");
    Ok(())
}

fn insert(query: &mut QueryBuilder<Sqlite>, notices: &[Notice]) -> Result<(), StateError> {
    let rows: Vec<(i64, &str, String)> = notices
        .iter()
        .zip(1..)
        .map(|(notice, place)| Ok((place, notice.id.as_str(), to_json(notice)?)))
        .collect::<Result<_, StateError>>()?;
    query
        .push("INSERT INTO notices (number, id, format, notice) SELECT (SELECT coalesce(max(number), 0) FROM notices)");
    query.push(" + column1, column2, ").push_bind(FORMAT).push(", column3 FROM (");
    query.push_values(rows, |mut row, (place, id, notice)| {
        row.push_bind(place).push_bind(id.to_owned()).push_bind(notice);
    });
    query.push(")");
    Ok(())
}

pub(super) async fn tell(store: &SqliteState, notices: &[Notice]) -> Result<(), StateError> {
    if notices.is_empty() {
        return Ok(());
    }
    store.database.write(notices.to_vec(), |notices, c| Box::pin(add(c, notices))).await.map_err(written)
}

async fn add(connection: &mut SqliteConnection, notices: &[Notice]) -> Result<(), StateError> {
    let mut query = QueryBuilder::new("");
    insert(&mut query, notices)?;
    query.push(" WHERE true ON CONFLICT (id) DO NOTHING");
    query.build().execute(connection).await.map_err(storage)?;
    Ok(())
}

pub(super) async fn notices(
    reader: &mut SqliteConnection,
    after: u64,
    limit: usize,
) -> Result<Vec<Numbered>, StateError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = sqlx::query(NOTICES).bind(row::number(after)?).bind(limit);
    let rows = query.fetch_all(reader).await.map_err(storage)?;
    rows.iter()
        .map(|row| {
            let number = count(row, "number")?;
            let notice = match row::read(row, "notice", || format!("notice {number}")) {
                Ok(notice) => notice,
                // One row must not silence all that comes behind it.
                Err(error) => unreadable(get(row, "id")?, &error),
            };
            Ok(Numbered { number, notice })
        })
        .collect()
}

fn unreadable(id: String, error: &StateError) -> Notice {
    Notice {
        id,
        kind: NoticeKind::Failed,
        at: Timestamp::UNIX_EPOCH,
        secret: None,
        policy: None,
        rotation: None,
        step: None,
        message: format!("something is to be told that this program cannot read: {error}"),
        to: None,
    }
}

pub(super) async fn last(reader: &mut SqliteConnection) -> Result<u64, StateError> {
    count(&sqlx::query(LAST).fetch_one(reader).await.map_err(storage)?, "number")
}

pub(super) async fn deliveries(reader: &mut SqliteConnection) -> Result<Vec<Delivery>, StateError> {
    let rows = sqlx::query(DELIVERIES).fetch_all(reader).await.map_err(storage)?;
    rows.iter().map(read_delivery).collect()
}

pub(super) async fn delivery(reader: &mut SqliteConnection, notifier: &str) -> Result<Option<Delivery>, StateError> {
    let row = sqlx::query(DELIVERY).bind(notifier).fetch_optional(reader).await.map_err(storage)?;
    row.as_ref().map(read_delivery).transpose()
}

fn read_delivery(row: &SqliteRow) -> Result<Delivery, StateError> {
    let notifier: &str = get(row, "notifier")?;
    row::read(row, "delivery", || format!("the delivery of notifier `{notifier}`"))
}

pub(super) async fn deliver(store: &SqliteState, lease: &Lease, delivery: &Delivery) -> Result<(), StateError> {
    if lease.secret != notifier_lease(&delivery.notifier) {
        return Err(StateError::Fenced { secret: lease.secret.clone() });
    }
    let write = (store.holder.id().to_owned(), lease.clone(), delivery.notifier.clone(), to_json(delivery)?);
    let kept = store
        .database
        .write(write, |(me, lease, notifier, delivery), c| {
            let mut query = QueryBuilder::new("INSERT INTO deliveries (notifier, format, delivery) SELECT ");
            query.push_bind(notifier.clone()).push(", ").push_bind(FORMAT).push(", ").push_bind(delivery.clone());
            query.push(" WHERE ");
            push_owned(&mut query, me, lease);
            query.push(" ON CONFLICT (notifier) DO UPDATE SET format = excluded.format, delivery = excluded.delivery");
            Box::pin(async move { query.build().execute(c).await.map_err(storage) })
        })
        .await
        .map_err(written)?;
    if kept.rows_affected() == 0 {
        return Err(StateError::Fenced { secret: lease.secret.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use keywheel_sqlite::Database;

    use super::*;
    use crate::Outbox;
    use crate::sqlite::migrations::MIGRATIONS;

    #[tokio::test]
    async fn to_look_for_new_notices_walks_only_those() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("state.db"), MIGRATIONS).await.unwrap();
        for (query, wanted) in [
            (NOTICES, "SEARCH notices USING PRIMARY KEY (number>?)"),
            (LAST, "SEARCH notices"),
            (DELIVERY, "SEARCH deliveries USING PRIMARY KEY (notifier=?)"),
        ] {
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
                    .fetch_all(&mut *database.reader().await.unwrap())
                    .await
                    .unwrap();
            let plan: Vec<String> = plan.into_iter().map(|line| line.3).collect();
            assert!(plan.join("|").contains(wanted), "{plan:?}");
        }
    }

    #[tokio::test]
    async fn what_a_newer_program_wrote_hides_nothing_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = SqliteState::open(&folder.path().join("state.db")).await.unwrap();
        let rows = "INSERT INTO notices VALUES (1, 'a', 2, '{}'), (2, 'b', 1, '{\"kind\": \"unheard-of\"}')";
        state.database.write(rows.to_owned(), |rows, c| Box::pin(add_rows(c, rows))).await.unwrap();
        let notices = state.notices(0, 9).await.unwrap();
        let told: Vec<_> = notices.iter().map(|one| (one.number, one.notice.id.as_str())).collect();
        assert_eq!(told, [(1, "a"), (2, "b")]);
        assert!(notices.iter().all(|one| one.notice.message.contains("cannot read")), "{notices:?}");
    }

    async fn add_rows(connection: &mut SqliteConnection, rows: &str) -> Result<(), StateError> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(rows.to_owned())).execute(connection).await.map_err(storage)?;
        Ok(())
    }
}
