//! What only the SQLite store promises: its file, its triggers, and holders of one file in several processes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Cause, Event, NewRotation, RotationId, Shape, Step};
use keywheel_state::sqlite::SqliteState;
use keywheel_state::{Claim, Lease, StateError, StateStore, replay};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, SqlSafeStr};
use tempfile::TempDir;
use uuid::Uuid;

const TTL: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    (folder, path)
}

fn id(number: u32) -> RotationId {
    RotationId::new(Uuid::from_u128(u128::from(number)))
}

fn new(number: u32, secret: &str) -> NewRotation {
    NewRotation {
        id: id(number),
        secret: secret.to_owned(),
        policy: "orders-db".to_owned(),
        digest: String::new(),
        shape: Shape::InPlace,
        target: "postgres://db/orders".into(),
        cause: Cause::Schedule { due: now() },
        replaces: None,
    }
}

async fn granted(state: &SqliteState, secret: &str) -> Lease {
    match state.claim(secret, TTL, now()).await.unwrap() {
        Claim::Granted(lease) => lease,
        Claim::Held { until } => panic!("`{secret}` is held until {until}"),
    }
}

async fn started(state: &SqliteState, number: u32, secret: &str) -> Lease {
    let lease = granted(state, secret).await;
    let _ = state.create(&lease, new(number, secret), &[], now()).await.unwrap();
    lease
}

fn begin() -> Event {
    Event::Began { step: Step::Generate, attempt: 1 }
}

/// As a person with a SQLite shell would open it.
async fn shell(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

async fn run(shell: &mut SqliteConnection, sql: impl SqlSafeStr) -> Result<u64, String> {
    sqlx::query(sql).execute(shell).await.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}

fn holder_files(path: &Path) -> Vec<PathBuf> {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".holders");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_one_handle_wrote_another_reads_and_a_later_one_finds() {
    let (_folder, path) = file();
    let one = SqliteState::open(&path).await.unwrap();
    let two = SqliteState::open(&path).await.unwrap();
    let lease = started(&one, 1, "orders").await;
    let _ = one.append(&lease, id(1), 0, &[begin()], now()).await.unwrap();
    let row = two.rotation(id(1)).await.unwrap().unwrap();
    assert_eq!(row.seq, 1);
    one.close().await;
    two.close().await;

    let later = SqliteState::open(&path).await.unwrap();
    assert_eq!(later.rotation(id(1)).await.unwrap().unwrap(), row);
    // Closing ended the holder, so its lease is free long before it expires.
    assert_eq!(granted(&later, "orders").await.fence, lease.fence + 1);
}

#[tokio::test]
async fn the_journal_cannot_be_rewritten() {
    let (_folder, path) = file();
    let state = SqliteState::open(&path).await.unwrap();
    let lease = started(&state, 1, "orders").await;
    let _ = state.append(&lease, id(1), 0, &[begin()], now()).await.unwrap();

    let mut shell = shell(&path).await;
    for (sql, refusal) in [
        ("UPDATE events SET event = '{}'", "append-only"),
        ("UPDATE events SET seq = 7", "append-only"),
        ("DELETE FROM events", "append-only"),
        ("INSERT OR REPLACE INTO events SELECT rotation, seq, at, fence, format, '{}', plugin FROM events", "in order"),
        ("INSERT INTO events SELECT rotation, seq + 2, at, fence, format, event, plugin FROM events", "in order"),
        ("INSERT INTO events VALUES (99, 1, 0, 1, 1, '{}', NULL)", "FOREIGN KEY"),
        ("DELETE FROM rotations", "are kept"),
        ("UPDATE rotations SET secret = 'invoices'", "origin"),
        ("UPDATE leases SET fence = fence - 1", "fences grow"),
        ("DELETE FROM leases", "fences must grow"),
        (
            "INSERT INTO rotations (id, secret, policy, digest, format, shape, target, cause, state, seq, open, created_at, \
             updated_at) SELECT randomblob(16), secret, policy, digest, format, shape, target, cause, state, seq, open, \
             created_at, updated_at FROM rotations",
            "UNIQUE",
        ),
    ] {
        let refused = run(&mut shell, sql).await.unwrap_err();
        assert!(refused.contains(refusal), "{sql}: {refused}");
    }
    assert_eq!(state.events(id(1)).await.unwrap()[0].event, begin());
}

#[tokio::test]
async fn an_unknown_format_is_refused_and_not_overwritten() {
    let (_folder, path) = file();
    let state = SqliteState::open(&path).await.unwrap();
    let lease = started(&state, 1, "orders").await;
    let mut shell = shell(&path).await;
    run(&mut shell, "UPDATE rotations SET format = 2").await.unwrap();

    let said = |error: StateError| {
        let StateError::Corrupt(what) = error else { panic!("{error:?}") };
        what
    };
    for refused in [
        state.rotation(id(1)).await.map(|_| ()),
        state.open().await.map(|_| ()),
        state.append(&lease, id(1), 0, &[begin()], now()).await.map(|_| ()),
    ] {
        let what = said(refused.unwrap_err());
        assert_eq!(
            what,
            "rotation 00000000-0000-0000-0000-000000000001 has format 2, and this program knows only 1: \
             use the program that wrote it"
        );
    }
    assert_eq!(state.events(id(1)).await.unwrap(), []);

    run(&mut shell, "UPDATE rotations SET format = 1").await.unwrap();
    run(&mut shell, "INSERT INTO events SELECT number, 1, 0, 1, 9, '{}', NULL FROM rotations").await.unwrap();
    assert!(said(state.events(id(1)).await.unwrap_err()).starts_with("event 1 of rotation"));
    run(&mut shell, "UPDATE rotations SET state = '{\"progress\":\"asleep\"}'").await.unwrap();
    assert!(said(state.rotation(id(1)).await.unwrap_err()).contains("asleep"));
}

/// As an earlier program meets a rotation that a drift began.
#[tokio::test]
async fn an_unknown_cause_is_refused_and_its_rotation_left_alone() {
    let (_folder, path) = file();
    let state = SqliteState::open(&path).await.unwrap();
    let _ = started(&state, 1, "orders").await;
    let mut shell = shell(&path).await;
    run(&mut shell, "DROP TRIGGER rotations_keep_their_origin").await.unwrap();
    run(&mut shell, "UPDATE rotations SET cause = '{\"moonlight\":{}}'").await.unwrap();
    for refused in [
        state.rotation(id(1)).await.map(|_| ()),
        state.open().await.map(|_| ()),
        state.open_of("orders").await.map(|_| ()),
        state.latest().await.map(|_| ()),
    ] {
        let Err(StateError::Corrupt(what)) = refused else { panic!("{refused:?}") };
        assert!(what.contains("moonlight"), "{what}");
    }
    // Who cannot read a rotation cannot turn it.
    assert_eq!(state.events(id(1)).await.unwrap(), []);
}

#[tokio::test]
async fn a_file_of_a_newer_version_or_of_another_program_is_refused() {
    let (_folder, path) = file();
    SqliteState::open(&path).await.unwrap().close().await;
    let mut newer = shell(&path).await;
    run(
        &mut newer,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'later', 1, x'00', 0)",
    )
    .await
    .unwrap();
    newer.close().await.unwrap();
    let refused = SqliteState::open(&path).await.err().unwrap();
    assert!(matches!(&refused, StateError::Corrupt(what) if what.contains("format 999")), "{refused}");

    let (_folder, foreign) = file();
    fs::write(&foreign, "not a database, but long enough to be looked at by SQLite as one").unwrap();
    let refused = SqliteState::open(&foreign).await.err().unwrap();
    assert!(matches!(&refused, StateError::Corrupt(_)), "{refused}");

    let (folder, _) = file();
    let refused = SqliteState::open(folder.path()).await.err().unwrap();
    assert!(matches!(&refused, StateError::Unavailable(_)), "{refused}");
}

#[tokio::test]
async fn a_holder_leaves_nothing_behind_and_sweeps_what_others_left() {
    let (_folder, path) = file();
    let one = SqliteState::open(&path).await.unwrap();
    let [mine] = holder_files(&path).try_into().unwrap();
    // As a killed process leaves it: there, and not locked.
    let left = mine.with_file_name(format!("{}.lock", Uuid::from_u128(7)));
    fs::write(&left, "").unwrap();
    let two = SqliteState::open(&path).await.unwrap();
    assert!(!left.exists());
    assert!(mine.exists());
    assert_eq!(holder_files(&path).len(), 2);
    drop(one);
    two.close().await;
    assert_eq!(holder_files(&path), [] as [PathBuf; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn holders_meet_however_the_file_is_named() {
    let (folder, path) = file();
    let one = SqliteState::open(&path).await.unwrap();
    let lease = granted(&one, "orders").await;
    let alias = folder.path().join("alias.db");
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    let two = SqliteState::open(&alias).await.unwrap();
    let claim = two.claim("orders", TTL, now()).await.unwrap();
    assert_eq!(claim, Claim::Held { until: lease.expires_at });
}

#[cfg(unix)]
#[tokio::test]
async fn a_lock_file_that_cannot_be_opened_proves_nothing() {
    let (_folder, path) = file();
    let one = SqliteState::open(&path).await.unwrap();
    let lease = granted(&one, "orders").await;
    let [lock] = holder_files(&path).try_into().unwrap();
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&lock, &lock).unwrap(); // leads nowhere, even for root
    let two = SqliteState::open(&path).await.unwrap();
    let claim = two.claim("orders", TTL, now()).await.unwrap();
    assert_eq!(claim, Claim::Held { until: lease.expires_at });
}

#[tokio::test]
async fn a_holder_that_cannot_be_asked_about_is_taken_for_alive() {
    let (_folder, path) = file();
    let state = SqliteState::open(&path).await.unwrap();
    let lease = granted(&state, "orders").await;
    let mut shell = shell(&path).await;
    // Not an id of ours: no file name may be made of it.
    run(&mut shell, "UPDATE leases SET holder = '../state'").await.unwrap();
    let claim = state.claim("orders", TTL, now()).await.unwrap();
    assert_eq!(claim, Claim::Held { until: lease.expires_at });
    assert!(path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_at_the_same_time_share_commits() {
    const MANY: u32 = 200;
    let (_folder, path) = file();
    let state = Arc::new(SqliteState::open(&path).await.unwrap());
    let mut leases = Vec::new();
    for number in 0..MANY {
        leases.push(started(&state, number, &format!("orders/{number}")).await);
    }
    let before = state.counters();
    let appends: Vec<_> = leases
        .into_iter()
        .zip(0..)
        .map(|(lease, number)| {
            let state = Arc::clone(&state);
            tokio::spawn(async move { state.append(&lease, id(number), 0, &[begin()], now()).await.map(|r| r.seq()) })
        })
        .collect();
    for append in appends {
        assert_eq!(append.await.unwrap().unwrap(), 1);
    }
    let after = state.counters();
    assert_eq!(after.writes - before.writes, u64::from(MANY));
    let commits = after.commits - before.commits;
    assert!(commits <= u64::from(MANY) / 4, "{commits} commits for {MANY} appends");
    for rotation in state.open().await.unwrap() {
        assert_eq!(replay(&state.events(rotation.fixed.id).await.unwrap()).unwrap(), rotation.state);
    }
}
