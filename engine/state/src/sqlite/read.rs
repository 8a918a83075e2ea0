//! Queries. Each sees every commit made before it began.

use keywheel_core::{Recorded, Rotation, RotationId};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::row::{self, select_rotations, storage};
use crate::{History, StateError};

const BY_ID: &str = select_rotations!("FROM rotations AS r WHERE r.id = ?");
const EVENTS: &str = "SELECT e.seq, e.at, e.fence, e.plugin, e.format, e.event \
    FROM rotations AS r JOIN events AS e ON e.rotation = r.number WHERE r.id = ? ORDER BY e.seq";
/// The index is named because SQLite would rather walk all rotations than sort the few that are open.
const OPEN: &str =
    select_rotations!("FROM rotations AS r INDEXED BY one_open_rotation WHERE r.open = 1 ORDER BY r.number");
const OPEN_OF: &str = select_rotations!("FROM rotations AS r WHERE r.secret = ? AND r.open = 1");
// Two statements rather than one with `OR`, so that each has its index.
const HISTORY: &str = select_rotations!("FROM rotations AS r ORDER BY r.number DESC LIMIT ?");
const HISTORY_OF: &str = select_rotations!("FROM rotations AS r WHERE r.secret = ? ORDER BY r.number DESC LIMIT ?");
/// The inner query walks the index by secret, so the rows come in name order by themselves. To ask for it would have SQLite
/// sort whole rows on disk.
const LATEST: &str = select_rotations!(
    "FROM (SELECT secret, max(number) AS number FROM rotations GROUP BY secret) AS newest \
     CROSS JOIN rotations AS r ON r.number = newest.number"
);

pub(super) async fn rotation(reader: &mut SqliteConnection, id: RotationId) -> Result<Option<Rotation>, StateError> {
    let row = sqlx::query(BY_ID).bind(*id.as_uuid()).fetch_optional(reader).await.map_err(storage)?;
    row.as_ref().map(row::rotation).transpose()
}

pub(super) async fn events(reader: &mut SqliteConnection, id: RotationId) -> Result<Vec<Recorded>, StateError> {
    let rows = sqlx::query(EVENTS).bind(*id.as_uuid()).fetch_all(reader).await.map_err(storage)?;
    rows.iter().map(|row| row::recorded(id, row)).collect()
}

pub(super) async fn open(reader: &mut SqliteConnection) -> Result<Vec<Rotation>, StateError> {
    rotations(sqlx::query(OPEN).fetch_all(reader).await)
}

pub(super) async fn open_of(reader: &mut SqliteConnection, secret: &str) -> Result<Option<Rotation>, StateError> {
    let row = sqlx::query(OPEN_OF).bind(secret).fetch_optional(reader).await.map_err(storage)?;
    row.as_ref().map(row::rotation).transpose()
}

pub(super) async fn history(reader: &mut SqliteConnection, which: &History) -> Result<Vec<Rotation>, StateError> {
    let limit = i64::try_from(which.limit).unwrap_or(i64::MAX);
    let query = match &which.secret {
        Some(secret) => sqlx::query(HISTORY_OF).bind(secret),
        None => sqlx::query(HISTORY),
    };
    rotations(query.bind(limit).fetch_all(reader).await)
}

pub(super) async fn latest(reader: &mut SqliteConnection) -> Result<Vec<Rotation>, StateError> {
    let mut latest = rotations(sqlx::query(LATEST).fetch_all(reader).await)?;
    // A mere check of the order in which they come.
    latest.sort_by(|a, b| a.fixed.secret.cmp(&b.fixed.secret));
    Ok(latest)
}

fn rotations(rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<Rotation>, StateError> {
    rows.map_err(storage)?.iter().map(row::rotation).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use keywheel_sqlite::Database;

    use super::*;
    use crate::sqlite::migrations::MIGRATIONS;

    #[tokio::test]
    async fn no_query_walks_all_rotations_unless_it_wants_them() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("state.db"), MIGRATIONS).await.unwrap();
        for (query, wanted) in [
            (BY_ID, "SEARCH r USING INDEX sqlite_autoindex_rotations_1 (id=?)"),
            (EVENTS, "SEARCH e USING PRIMARY KEY (rotation=?)"),
            (OPEN, "SCAN r USING INDEX one_open_rotation|USE TEMP B-TREE FOR ORDER BY"),
            (OPEN_OF, "SEARCH r USING INDEX one_open_rotation (secret=?)"),
            (HISTORY, "SCAN r"),
            (HISTORY_OF, "SEARCH r USING INDEX rotations_of_secret (secret=?)"),
            (LATEST, "SCAN rotations USING COVERING INDEX rotations_of_secret|SCAN newest|SEARCH r USING INTEGER"),
        ] {
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
                    .fetch_all(&mut *database.reader().await.unwrap())
                    .await
                    .unwrap();
            let plan: Vec<String> = plan.into_iter().map(|line| line.3).collect();
            let plan = plan.join("|");
            assert!(plan.contains(wanted), "{query}: {plan}");
            assert_eq!(plan.contains("TEMP B-TREE"), wanted.contains("TEMP B-TREE"), "{query}: {plan}");
        }
    }
}
