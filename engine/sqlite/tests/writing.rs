//! Writing: shared commits, isolated refusals, several handles on one file.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use keywheel_sqlite::{Counters, Database, Migrations, WriteError};
use sqlx::Connection;
use tokio::sync::oneshot;

const SCHEMA: Migrations = &[(
    1,
    "notes",
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
     CREATE TABLE lines (note INTEGER NOT NULL REFERENCES notes (id)) STRICT;",
)];

async fn open(path: &Path) -> Arc<Database> {
    Arc::new(Database::open(path, SCHEMA).await.unwrap())
}

async fn insert(database: &Database, text: impl Into<String>) -> Result<i64, WriteError<sqlx::Error>> {
    database
        .write(text.into(), |text, c| {
            Box::pin(sqlx::query_scalar("INSERT INTO notes (text) VALUES (?) RETURNING id").bind(text).fetch_one(c))
        })
        .await
}

async fn texts(database: &Database) -> Vec<String> {
    sqlx::query_scalar("SELECT text FROM notes ORDER BY text")
        .fetch_all(&mut *database.reader().await.unwrap())
        .await
        .unwrap()
}

/// Holds the writer until told to go on, so that the test decides what waits in line behind it.
async fn block(
    database: &Database,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
) -> Result<(), WriteError<sqlx::Error>> {
    // Run once: nothing is refused beside it.
    let once = Mutex::new(Some((reached, go_on)));
    database
        .write(once, |once, _| {
            Box::pin(async move {
                let (reached, go_on) = once.lock().unwrap().take().unwrap();
                reached.send(()).unwrap();
                go_on.await.unwrap();
                Ok(())
            })
        })
        .await
}

#[tokio::test]
async fn those_who_wait_share_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("state.db")).await;
    assert_eq!(database.counters(), Counters { commits: 0, writes: 0 });

    let ((reached, is_reached), (go, go_on)) = (oneshot::channel(), oneshot::channel());
    let first = tokio::spawn({
        let database = Arc::clone(&database);
        async move { block(&database, reached, go_on).await }
    });
    is_reached.await.unwrap();

    let mut line: Vec<_> = (0..100).map(|n| Box::pin(insert(&database, format!("note {n}")))).collect();
    for write in &mut line {
        assert!(write.as_mut().now_or_never().is_none()); // now it stands in line
    }
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert!(join_all(line).await.into_iter().all(|written| written.is_ok()));
    assert_eq!(database.counters(), Counters { commits: 2, writes: 101 });
    assert_eq!(texts(&database).await.len(), 100);
}

#[tokio::test]
async fn a_refused_write_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("state.db")).await;
    let (a, b, c, d) = tokio::join!(
        insert(&database, "a"),
        database.write((), |(), c| {
            Box::pin(async move {
                sqlx::query("INSERT INTO notes (text) VALUES ('undone')")
                    .execute(c)
                    .await
                    .map_err(|e| e.to_string())?;
                Err::<(), _>("changed its mind".to_owned())
            })
        }),
        insert(&database, "a"), // violates UNIQUE
        insert(&database, "d"),
    );
    a.unwrap();
    assert!(matches!(b, Err(WriteError::Refused(why)) if why == "changed its mind"));
    assert!(matches!(c, Err(WriteError::Refused(e)) if e.as_database_error().unwrap().is_unique_violation()));
    d.unwrap();
    assert_eq!(texts(&database).await, ["a", "d"]);
    assert_eq!(database.counters().writes, 2);
}

#[tokio::test]
async fn foreign_keys_hold_and_nested_transactions_work() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("state.db")).await;
    let dangling = database
        .write((), |(), c| {
            Box::pin(async move { sqlx::query("INSERT INTO lines VALUES (99)").execute(c).await.map(drop) })
        })
        .await;
    assert!(
        matches!(dangling, Err(WriteError::Refused(e)) if e.as_database_error().unwrap().is_foreign_key_violation())
    );

    let nested = database
        .write((), |(), c| {
            Box::pin(async move {
                sqlx::query("INSERT INTO notes (text) VALUES ('outer')").execute(&mut *c).await?;
                let mut inner = c.begin().await?;
                sqlx::query("INSERT INTO notes (text) VALUES ('inner')").execute(&mut *inner).await?;
                inner.rollback().await
            })
        })
        .await;
    nested.unwrap();
    assert_eq!(texts(&database).await, ["outer"]);
}

#[tokio::test]
async fn a_panic_reaches_its_caller_only() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("state.db")).await;
    let panicking = tokio::spawn({
        let database = Arc::clone(&database);
        async move {
            database
                .write((), |(), c| -> BoxFuture<'_, Result<(), sqlx::Error>> {
                    Box::pin(async move {
                        sqlx::query("INSERT INTO notes (text) VALUES ('undone')").execute(c).await?;
                        panic!("a mistake in the closure");
                    })
                })
                .await
        }
    });
    assert!(panicking.await.unwrap_err().is_panic());
    insert(&database, "after").await.unwrap();
    assert_eq!(texts(&database).await, ["after"]);
}

#[tokio::test]
async fn a_transaction_that_ends_under_the_writer_is_reported_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("state.db")).await;
    // What SQLite does by itself when the disk is full: the whole transaction goes, with its savepoints.
    let pulled = database
        .write((), |(), c| {
            Box::pin(async move {
                sqlx::query("INSERT INTO notes (text) VALUES ('gone')").execute(&mut *c).await?;
                sqlx::query("ROLLBACK").execute(c).await.map(drop)
            })
        })
        .await;
    assert!(matches!(pulled, Err(WriteError::Storage(_))), "{pulled:?}");
    insert(&database, "after").await.unwrap();
    assert_eq!(texts(&database).await, ["after"]);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("state.db")).await;
    let limited = database
        .write((), |(), c| {
            Box::pin(async move {
                // SQLite's own limit gives the same SQLITE_FULL as the disk does.
                sqlx::query("PRAGMA max_page_count = 8").execute(&mut *c).await?;
                sqlx::query("INSERT INTO notes (text) VALUES (hex(randomblob(100000)))").execute(c).await.map(drop)
            })
        })
        .await;
    let Err(WriteError::Refused(error)) = limited else { panic!("{limited:?}") };
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("13"));
    insert(&database, "small").await.unwrap();
    assert_eq!(texts(&database).await, ["small"]);
}

#[tokio::test]
async fn closing_completes_what_waits_and_refuses_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let database = open(&path).await;
    let mut line: Vec<_> = (0..10).map(|n| Box::pin(insert(&database, format!("note {n}")))).collect();
    for write in &mut line {
        assert!(write.as_mut().now_or_never().is_none());
    }
    database.close().await;
    assert!(join_all(line).await.into_iter().all(|written| written.is_ok()));
    let late = insert(&database, "late").await;
    assert!(matches!(late, Err(WriteError::Storage(_))));
    database.close().await;
    assert!(!folder.path().join("state.db-wal").exists(), "a clean close leaves one file");
    assert_eq!(texts(&*open(&path).await).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_on_one_file_lose_nothing_and_starve_nobody() {
    const WRITERS: usize = 16;
    const EACH: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let handles = [open(&path).await, open(&path).await];
    let mut writing = Vec::new();
    for (h, handle) in handles.iter().enumerate() {
        for w in 0..WRITERS {
            let database = Arc::clone(handle);
            writing.push(tokio::spawn(async move {
                for n in 0..EACH {
                    insert(&database, format!("{h}/{w}/{n}")).await.unwrap();
                }
            }));
        }
    }
    for write in writing {
        write.await.unwrap();
    }
    let found: BTreeSet<_> = texts(&handles[0]).await.into_iter().collect();
    assert_eq!(found.len(), 2 * WRITERS * EACH);
    for handle in &handles {
        let Counters { commits, writes } = handle.counters();
        assert_eq!(writes as usize, WRITERS * EACH);
        assert!(commits < writes, "{commits} commits for {writes} writes: nothing was shared");
    }
}
