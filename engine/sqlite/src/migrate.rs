//! Bringing a file to the caller's format, whole or not at all.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr, Sqlite, SqliteConnection, Transaction};

use crate::OpenError;
use crate::writer::{BEGIN, Patience};

/// Migrations, each a version, a name and its SQL text. Released ones are never edited, new ones are appended.
pub type Migrations = &'static [(i64, &'static str, &'static str)];

/// Runs what is missing, in one transaction. Two processes may do this at once: the second waits, then finds nothing to do.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    migrations: Migrations,
    path: &Path,
) -> Result<(), OpenError> {
    let patience = Patience::start();
    loop {
        // The write lock comes before the first look at the file, so that nobody migrates between look and act.
        match connection.begin_with(BEGIN).await {
            Ok(transaction) => return look_and_migrate(transaction, migrations, path).await,
            Err(error) => patience.wait(error).await.map_err(|source| OpenError::sqlite(path, source))?,
        }
    }
}

async fn look_and_migrate(
    mut transaction: Transaction<'_, Sqlite>,
    migrations: Migrations,
    path: &Path,
) -> Result<(), OpenError> {
    refuse_unknown(&mut transaction, migrations, path).await?;
    let known = migrations
        .iter()
        .map(|&(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let migrator = Migrator::with_migrations(known);
    let migrated = migrator.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|source| {
        let path = path.to_owned();
        if let MigrateError::VersionMismatch(version) = source {
            let reason = format!("its format {version} was made by other statements");
            return OpenError::Foreign { path, reason };
        }
        if let MigrateError::VersionMissing(version) = source {
            let reason = format!("this program never had a format {version}");
            return OpenError::Foreign { path, reason };
        }
        OpenError::Migrate { path, source }
    })?;
    transaction.commit().await.map_err(|source| OpenError::sqlite(path, source))
}

/// Refuses a file from the future, and a database that is not ours.
async fn refuse_unknown(
    connection: &mut SqliteConnection,
    migrations: Migrations,
    path: &Path,
) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::sqlite(path, source);
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await
        .map_err(sqlite)?;
    if tables.is_empty() {
        return Ok(());
    }
    if !tables.iter().any(|table| table == "_sqlx_migrations") {
        let reason = format!("it has a table `{}` but no record of formats", tables[0]);
        return Err(OpenError::Foreign { path: path.to_owned(), reason });
    }
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(sqlite)?;
    let known = migrations.iter().map(|migration| migration.0).max().unwrap_or(0);
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}
