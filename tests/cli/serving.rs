//! `keywheel run` as a service: says when it is ready, and stops when it is told.

use crate::house::{House, message_of};

#[test]
fn the_daemon_says_when_it_is_ready_and_stops_when_told() {
    let house = House::new();
    let mut daemon = house.daemon("info", None);
    let seen = daemon.until(&["ready: 0 policies, 0 rotations under way"]);
    let ready = seen.last().expect("it was found");
    assert_eq!(ready["level"], "INFO");
    assert_eq!(ready["fields"]["policies"], 0);
    let rest = daemon.stop();
    assert!(rest.iter().any(|entry| message_of(entry) == "stopped"), "{rest:?}");
}

#[test]
fn logs_name_the_rotation_in_spans() {
    let house = House::new();
    let strategy = "{ in_place: { user: cli_span, accept_gap: true } }";
    // Nobody listens there.
    house.policy(
        "cli_span",
        1,
        strategy,
        "adopt: rotate\nschedule: { every: 30d }\non_failure: { attempts: 1, backoff: 1s..1s }",
    );
    let output = house.keywheel(&["--log-format", "json", "run", "--once"]).output().expect("the binary runs");
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).expect("the log is text");
    let failed = log
        .lines()
        .find(|line| line.contains("\"message\":\"failed\""))
        .unwrap_or_else(|| panic!("it cannot work: {log}"));
    let entry: serde_json::Value = serde_json::from_str(failed).expect("each line is JSON");
    let span = &entry["spans"][0];
    assert_eq!(
        (&span["name"], &span["secret"], &span["policy"]),
        (&"rotation".into(), &"cli_span".into(), &"cli_span".into())
    );
    assert!(span["rotation"].as_str().is_some_and(|id| id.len() == 36), "{entry}");
}
