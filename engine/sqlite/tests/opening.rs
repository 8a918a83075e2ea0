//! Opening: what is created, what is refused, and that durability is real.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::FutureExt;
use keywheel_sqlite::{Database, Migrations, OpenError};
use sqlx::Row;

const V1: Migrations = &[(1, "notes", "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;")];
const V2: Migrations = &[
    (1, "notes", "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"),
    (2, "marks", "ALTER TABLE notes ADD COLUMN mark INTEGER NOT NULL DEFAULT 7; CREATE INDEX by_mark ON notes (mark);"),
];
const BROKEN: Migrations = &[
    (1, "notes", "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"),
    (2, "half", "CREATE TABLE half (id INTEGER); CREATE TABLE notes (id INTEGER);"),
];

async fn add(database: &Database, text: &'static str) {
    database
        .write(text, |text, c| Box::pin(sqlx::query("INSERT INTO notes (text) VALUES (?)").bind(*text).execute(c)))
        .await
        .unwrap();
}

async fn refusal(path: &Path, migrations: Migrations) -> OpenError {
    Database::open(path, migrations).await.err().expect("must be refused")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_is_created_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/state.db");
    let database = Database::open(&path, V1).await.unwrap();
    add(&database, "x").await;
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    assert_eq!(mode(&folder.path().join("a/b")), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&folder.path().join(format!("a/b/state.db{suffix}"))), 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn durability_is_read_back_from_the_writer_itself() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("state.db"), V1).await.unwrap();
    let settings: Result<Vec<String>, _> = database
        .write((), |(), c| {
            Box::pin(async move {
                let mut found = Vec::new();
                for question in ["PRAGMA synchronous", "PRAGMA journal_mode", "PRAGMA foreign_keys"] {
                    found.push(sqlx::query(question).fetch_one(&mut *c).await?.try_get_unchecked(0)?);
                }
                Ok::<_, sqlx::Error>(found)
            })
        })
        .await;
    assert_eq!(settings.unwrap(), ["2", "wal", "1"]);
}

#[tokio::test]
async fn readers_see_commits_and_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("state.db"), V1).await.unwrap();
    add(&database, "first").await;
    let texts: Vec<String> =
        sqlx::query_scalar("SELECT text FROM notes").fetch_all(&mut *database.reader().await.unwrap()).await.unwrap();
    assert_eq!(texts, ["first"]);
    let refused = sqlx::query("DELETE FROM notes").execute(&mut *database.reader().await.unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
}

#[tokio::test]
async fn an_older_file_is_migrated_and_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let old = Database::open(&path, V1).await.unwrap();
    add(&old, "kept").await;
    old.close().await;

    let new = Database::open(&path, V2).await.unwrap();
    let row: (String, i64) =
        sqlx::query_as("SELECT text, mark FROM notes").fetch_one(&mut *new.reader().await.unwrap()).await.unwrap();
    assert_eq!(row, ("kept".to_owned(), 7));
}

#[tokio::test]
async fn a_newer_file_is_refused_and_stays_usable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    Database::open(&path, V2).await.unwrap().close().await;
    let error = refusal(&path, V1).await;
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    add(&Database::open(&path, V2).await.unwrap(), "still fine").await;
}

#[tokio::test]
async fn a_failed_migration_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    Database::open(&path, V1).await.unwrap().close().await;
    let error = refusal(&path, BROKEN).await;
    assert!(matches!(error, OpenError::Migrate { .. }), "{error}");
    let database = Database::open(&path, V1).await.unwrap();
    let half: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = 'half'")
        .fetch_one(&mut *database.reader().await.unwrap())
        .await
        .unwrap();
    assert_eq!(half, 0);
}

#[tokio::test]
async fn foreign_files_are_refused_unchanged() {
    const EDITED: Migrations = &[(1, "notes", "CREATE TABLE notes (id INTEGER PRIMARY KEY);")];
    const OTHER: Migrations = &[(5, "other", "CREATE TABLE other (id INTEGER);")];
    let folder = tempfile::tempdir().unwrap();

    let path = folder.path().join("edited.db");
    Database::open(&path, V1).await.unwrap().close().await;
    assert!(matches!(refusal(&path, EDITED).await, OpenError::Foreign { .. }));
    assert!(matches!(refusal(&path, OTHER).await, OpenError::Foreign { .. }));

    let path = folder.path().join("text.db");
    let text = "not a database, but a long enough letter to somebody who is not here\n".repeat(20);
    std::fs::write(&path, &text).unwrap();
    let error = refusal(&path, V1).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let path = folder.path().join("stranger.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut stranger = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("CREATE TABLE theirs (id INTEGER)").execute(&mut stranger).await.unwrap();
    let error = refusal(&path, V1).await;
    assert!(error.to_string().contains("theirs"), "{error}");

    let error = refusal(folder.path(), V1).await;
    assert!(matches!(error, OpenError::Sqlite { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_create_one_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { Database::open(&path, V2).await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn readers_are_few_and_go_from_hand_to_hand() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("state.db"), V1).await.unwrap();
    add(&database, "first").await;
    let mut lent = Vec::new();
    for _ in 0..4 {
        lent.push(database.reader().await.unwrap());
    }
    let mut fifth = Box::pin(database.reader());
    assert!(fifth.as_mut().now_or_never().is_none(), "all are lent");
    let mut abandoned = lent.pop().unwrap();
    // So much to count that nobody is done before the question is given up.
    let asked = sqlx::query_scalar::<_, i64>(
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000000) SELECT count(*) FROM n",
    )
    .fetch_one(&mut *abandoned);
    assert!(asked.now_or_never().is_none(), "nobody wants the answer any more while it is worked out");
    drop(abandoned);
    let mut next = fifth.await.unwrap();
    let texts: Vec<String> = sqlx::query_scalar("SELECT text FROM notes").fetch_all(&mut *next).await.unwrap();
    assert_eq!(texts, ["first"]);

    drop((lent, next));
    database.close().await;
    assert!(matches!(database.reader().await, Err(sqlx::Error::PoolClosed)));
}
