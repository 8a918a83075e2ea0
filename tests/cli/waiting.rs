//! Rotations that cannot go on now: somebody else is at work, the target is away, a person presses ^C.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use keywheel::runtime::{Clock, SystemClock};
use keywheel::state::{Claim, StateStore, sqlite::SqliteState};
use rustix::process::{Pid, Signal, kill_process};

use crate::house::House;

/// A house whose one policy's target is away.
fn house(name: &str) -> House {
    let house = House::new();
    let more = "adopt: rotate\nschedule: { every: 30d }\non_failure: { attempts: 99, backoff: 1h..1h }";
    house.policy(name, 1, &format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}"), more);
    house
}

#[tokio::test]
async fn somebody_else_at_work_is_exit_5() {
    let house = house("cli_busy");
    let state = SqliteState::open(&house.path("state.db")).await.expect("the state opens");
    let now = SystemClock.now();
    let lease = match state.claim("cli_busy", Duration::from_secs(600), now).await.expect("a claim") {
        Claim::Granted(lease) => lease,
        Claim::Held { until } => panic!("nobody else is here, but it is held until {until}"),
    };
    let output = house.keywheel(&["rotate", "cli_busy"]).output().expect("the binary runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{err}");
    assert!(err.contains("another process is at work") && err.contains("nothing was changed"), "{err}");
    state.release(&lease).await.expect("it was ours");
    let output = house.keywheel(&["rotate", "cli_busy", "--wait", "0s"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(6), "now it begins, and waits for the target");
}

#[test]
fn a_target_that_is_away_is_exit_6() {
    let house = house("cli_away");
    let output = house.keywheel(&["rotate", "cli_away", "--wait", "5s"]).output().expect("the binary runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(6), "{out}{err}");
    assert!(out.contains("waiting") && out.contains("apply is tried again after"), "{out}");
    assert!(err.contains("keywheel show"), "{err}");
    let output = house.keywheel(&["rollback", "cli_away", "--wait", "0s"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "nothing ever reached the target, so the way back does not need it");
    assert!(house.json(&["status"])[0]["open"].is_null());
}

#[test]
fn an_interrupted_rotation_says_where_it_stands() {
    let house = house("cli_interrupted");
    let mut child = house
        .keywheel(&["rotate", "cli_interrupted", "--wait", "2h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut talk = BufReader::new(child.stderr.take().expect("piped")).lines();
    assert!(talk.by_ref().any(|line| line.expect("text").contains("apply goes on at")), "it waits for the target");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let rest: Vec<_> = talk.map(|line| line.expect("text")).collect();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(6), "{rest:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("stopped here on request"));
}
