//! The formats of the file, in order.

use keywheel_sqlite::Migrations;

/// A released entry is never edited, not even its comments: files in the field record its checksum, and would be refused.
/// What has to change is appended as a new entry.
pub(super) const MIGRATIONS: Migrations = &[
    (1, "journal", include_str!("migrations/0001_journal.sql")),
    (2, "plugin", include_str!("migrations/0002_plugin.sql")),
    (3, "outbox", include_str!("migrations/0003_outbox.sql")),
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::{Path, PathBuf};

    use keywheel_core::{NewRotation, RotationId, Shape};
    use keywheel_sqlite::Database;
    use sqlx::migrate::{Migration, MigrationType};
    use sqlx::{AssertSqlSafe, Connection, SqlSafeStr, SqliteConnection};

    use super::*;
    use crate::sqlite::SqliteState;
    use crate::{Outbox, StateStore, replay};

    /// The checksum that files in the field hold, for each released migration.
    const RELEASED: &[(i64, &str)] = &[
        (1, "8cae71c96d0bb74bb7c4eb9c5364ee82c3a7852097c2a24c1a80ad65c32dc1d57cc30352f1ccf4cfeacbc65e431079c6"),
        (2, "175c14bffe8692a59d2bca13b9c3477994b2c2a124e066ee768e170a22246e7f5deebd693f32ba1e7b39802b982caa53"),
        (3, "c39d9c0978a7b9f855ca17fba3bb961963de04b302222a3a1cf650dbfce6d7ec0b629a06938a63e1b3bc6335e364398f"),
    ];

    #[test]
    fn released_migrations_are_as_they_were() {
        let now: Vec<(i64, String)> = MIGRATIONS
            .iter()
            .map(|&(version, name, sql)| {
                let migration = Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false);
                (version, migration.checksum.iter().map(|byte| format!("{byte:02x}")).collect())
            })
            .collect();
        let released: Vec<(i64, String)> = RELEASED.iter().map(|&(version, sum)| (version, sum.to_owned())).collect();
        assert_eq!(now, released, "a released migration was edited, or a new one is not pinned here yet");
        assert!(now.iter().map(|migration| migration.0).eq(1..=now.len() as i64), "versions count up from 1");
    }

    fn fixture(version: usize) -> String {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures"].iter().collect();
        std::fs::read_to_string(path.join(format!("version_{version}.sql"))).unwrap()
    }

    /// A file as that version left it.
    async fn file_of(version: usize, path: &Path) {
        Database::open(path, &MIGRATIONS[..version]).await.unwrap().close().await;
        let mut shell = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(fixture(version))).execute(&mut shell).await.unwrap();
        shell.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_each_version_opens_and_reads() {
        let folder = tempfile::tempdir().unwrap();
        for version in 1..=MIGRATIONS.len() {
            let path = folder.path().join(format!("{version}.db"));
            file_of(version, &path).await;
            let state = SqliteState::open(&path).await.unwrap();
            let rotations = state.latest().await.unwrap();
            assert_eq!(rotations.len(), 3);
            for rotation in &rotations {
                let journal = state.events(rotation.fixed.id).await.unwrap();
                assert_eq!(journal.len() as u64, rotation.seq);
                assert_eq!(replay(&journal).unwrap(), rotation.state);
            }
            let plugins =
                state.events(rotations[1].fixed.id).await.unwrap().into_iter().map(|recorded| recorded.plugin);
            let acted = (version > 1).then(|| "c0ffee".repeat(11)[..64].to_owned());
            assert!(plugins.into_iter().all(|plugin| plugin == acted), "{version}");
            let told = state.notices(0, 9).await.unwrap();
            assert_eq!(told.len(), if version > 2 { 2 } else { 0 }, "nothing of the past is told");
            assert_eq!(state.last_notice().await.unwrap(), told.last().map_or(0, |last| last.number));
            let deliveries = state.deliveries().await.unwrap();
            let sending = deliveries.first().and_then(|delivery| delivery.sending.as_ref());
            assert_eq!(sending.map(|sending| (sending.up_to, sending.tries)), (version > 2).then_some((3, 2)));
            let NewRotation { id, secret, shape, replaces, .. } = &rotations[1].fixed;
            assert_eq!(*id, "01900000-0000-7000-8000-000000000001".parse::<RotationId>().unwrap());
            assert_eq!((secret.as_str(), *shape, replaces.as_deref()), ("orders/1", Shape::Alternating, Some("v1")));
        }
    }
}
