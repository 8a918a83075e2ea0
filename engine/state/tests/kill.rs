//! A process that is killed: its leases are free at once, and nothing it was told is lost or half there.
//!
//! Each test is its own child: started again with [`CHILD`] set, it plays the process that dies.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keywheel_core::{Cause, Event, Hold, NewRotation, RotationId, Shape, Step, Why};
use keywheel_state::sqlite::SqliteState;
use keywheel_state::{Claim, Lease, StateStore, replay};
use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;

/// The state file of the child.
const CHILD: &str = "KEYWHEEL_TEST_KILLED_CHILD";
/// Before what the child says, since the test harness speaks on the same pipe.
const SAYS: &str = "child says ";
const TTL: Duration = Duration::from_secs(3600);

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn id(number: u32) -> RotationId {
    RotationId::new(Uuid::from_u128(u128::from(number)))
}

#[expect(clippy::disallowed_methods, reason = "the test harness knows no other way to hand a child its part")]
fn child_file() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Starts this very test again, as the child.
fn start(test: &str, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    (child, said)
}

/// The next thing that the child says. `None` once its pipe has ended.
fn hear(said: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        // The harness leaves its own line open.
        if let Some((_, word)) = line.split_once(SAYS)
            && word.ends_with('\n')
        {
            return Some(word.trim_end().to_owned());
        }
        line.clear();
    }
    None
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAYS}{word}").unwrap();
    out.flush().unwrap();
}

/// SIGKILL, and its end seen.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

async fn started(state: &SqliteState, number: u32) -> Lease {
    let secret = format!("orders/{number}");
    let Claim::Granted(lease) = state.claim(&secret, TTL, now()).await.unwrap() else { panic!("`{secret}` is held") };
    let new = NewRotation {
        id: id(number),
        secret,
        policy: "orders-db".to_owned(),
        digest: String::new(),
        shape: Shape::InPlace,
        target: "postgres://db/orders".into(),
        cause: Cause::Schedule { due: now() },
        replaces: None,
    };
    let _ = state.create(&lease, new, &[], now()).await.unwrap();
    lease
}

#[tokio::test]
async fn the_lease_of_a_killed_process_is_free_at_once() {
    if let Some(path) = child_file() {
        let state = SqliteState::open(&path).await.unwrap();
        let lease = started(&state, 1).await;
        let _ =
            state.append(&lease, id(1), 0, &[Event::Began { step: Step::Generate, attempt: 1 }], now()).await.unwrap();
        say(&lease.fence.to_string());
        let _ = std::io::stdin().read(&mut [0]); // until killed, or the parent is gone
        return;
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (mut child, mut said) = start("the_lease_of_a_killed_process_is_free_at_once", &path);
    let fence: u64 = hear(&mut said).expect("the child says its fence").parse().unwrap();

    let state = SqliteState::open(&path).await.unwrap();
    let held = state.claim("orders/1", TTL, now()).await.unwrap();
    assert_eq!(held, Claim::Held { until: now() + TTL });
    kill(&mut child);
    // The same instant: its hour is not over.
    let Claim::Granted(lease) = state.claim("orders/1", TTL, now()).await.unwrap() else {
        panic!("the lease of a killed process is held")
    };
    assert!(lease.fence > fence);
    let in_doubt = state.open_of("orders/1").await.unwrap().unwrap();
    assert_eq!(in_doubt.seq, 1);
    let outcome = Event::Succeeded { step: Step::Generate, settled: true, note: None, hold: None };
    let _ = state.append(&lease, id(1), 1, &[outcome], now()).await.unwrap();
}

/// Rotations that the child moves at once.
const MANY: u32 = 16;
/// How many answers the parent hears before it kills. Enough to be amid many transactions.
const HEARD: usize = 300;

/// Moves one rotation for ever: begins, and waits.
async fn move_for_ever(state: Arc<SqliteState>, number: u32) {
    let lease = started(&state, number).await;
    let step = Step::Generate;
    let mut seq = 0;
    for attempt in 1.. {
        let hold = Hold { until: now(), why: Why::Backoff };
        let events = [Event::Began { step, attempt }, Event::Waited { step, hold }];
        seq = state.append(&lease, id(number), seq, &events, now()).await.unwrap().seq();
        say(&format!("{number} {seq}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_all_that_it_was_told_and_nothing_half() {
    if let Some(path) = child_file() {
        let state = Arc::new(SqliteState::open(&path).await.unwrap());
        // Ends with its parent, if that dies first.
        std::thread::spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        let moves: Vec<_> = (0..MANY).map(|number| tokio::spawn(move_for_ever(Arc::clone(&state), number))).collect();
        for rotation in moves {
            rotation.await.unwrap();
        }
        return;
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    for round in 0..3 {
        let path = path.with_extension(round.to_string());
        let (mut child, mut said) = start("a_killed_process_leaves_all_that_it_was_told_and_nothing_half", &path);
        let mut told: BTreeMap<u32, u64> = BTreeMap::new();
        let mut hear_one = |said: &mut BufReader<ChildStdout>| -> bool {
            let Some(word) = hear(said) else { return false };
            let (number, seq) = word.split_once(' ').unwrap();
            told.insert(number.parse().unwrap(), seq.parse().unwrap());
            true
        };
        for _ in 0..HEARD {
            assert!(hear_one(&mut said), "the child ended by itself");
        }
        kill(&mut child);
        while hear_one(&mut said) {} // what it said before it died

        let state = SqliteState::open(&path).await.unwrap();
        for (&number, &seq) in &told {
            let row = state.rotation(id(number)).await.unwrap().unwrap();
            assert!(row.seq >= seq, "rotation {number} has {} events, and {seq} were confirmed", row.seq);
        }
        for row in state.open().await.unwrap() {
            let journal = state.events(row.fixed.id).await.unwrap();
            assert_eq!(journal.len() as u64, row.seq);
            assert_eq!(row.seq % 2, 0, "an append of two events is half there");
            assert_eq!(replay(&journal).unwrap(), row.state);
        }
        state.close().await;
        let mut shell = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        let health: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut shell).await.unwrap();
        assert_eq!(health, "ok");
    }
}
