//! A password that somebody changed behind keywheel's back: people are told, and where the policy says so it is put right.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use keywheel::core::heartbeat::first;
use keywheel::runtime::{Clock, SystemClock};
use serde_json::json;

use crate::house::{House, server};

const MINUTE: Duration = Duration::from_secs(60);

/// A name whose heartbeat, each minute, is soon due: after all is made ready, so that nobody waits for long.
fn soon(stem: &str) -> String {
    let now = SystemClock.now();
    let wait = |name: &str| first(name, MINUTE, now).duration_since(now).as_secs();
    let mut names = (0..).map(|number| format!("{stem}_{number}"));
    names.find(|name| (10..15).contains(&wait(name))).expect("one in twelve is")
}

/// The exit code, and the one line that was printed.
fn asked(house: &House, name: &str) -> (Option<i32>, serde_json::Value) {
    let mut command = house.keywheel(&["heartbeat", name, "--output", "json"]);
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    let lines: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    (output.status.code(), lines[0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_changed_by_hand_is_told_and_put_right() {
    let house = House::new();
    house.settings("notifiers:\n  journal: { log: {}, group_wait: 0s, group_interval: 0s }\n");
    let (told, healed) = (soon("beat_told"), soon("beat_healed"));
    for (name, on_drift) in [(&told, "alert"), (&healed, "rotate")] {
        server().sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'first-of-{name}'")).await;
        house.put(name, name, &format!("first-of-{name}"));
        let strategy = format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}");
        let more = format!("schedule: {{ every: 30d }}\nheartbeat: {{ every: 1m, on_drift: {on_drift} }}");
        house.policy(name, server().port(), &strategy, &more);
    }
    // The notifier begins: it is told of what comes.
    house.run(&["notify", "send"]);
    let (code, line) = asked(&house, &told);
    assert_eq!((code, &line["outcome"], &line["why"]), (Some(0), &json!("accepted"), &json!(null)));
    for name in [&told, &healed] {
        server().sql(&format!("ALTER ROLE {name} PASSWORD 'by-hand-of-{name}'")).await;
    }

    let mut daemon = house.daemon("keywheel=info", None);
    let (mut drifts, mut rotated, mut seen) = (BTreeSet::new(), false, Vec::new());
    while drifts.len() < 2 || !rotated {
        let entry = daemon.next().expect("it runs until it is told to stop");
        if entry["fields"]["kind"] == "drift" {
            let message = entry["fields"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("the role has another password"), "{message}");
            drifts.insert(entry["fields"]["secret"].as_str().unwrap_or_default().to_owned());
        }
        rotated |= entry["fields"]["message"] == "done" && entry["spans"][0]["secret"] == healed;
        seen.push(entry);
    }
    seen.extend(daemon.stop());
    assert_eq!(drifts, BTreeSet::from([told.clone(), healed.clone()]));

    // What the application reads logs in again; where people are only told, nothing was touched.
    let password = house.run(&["secret", "get", &healed, "--field", "password"]).trim_end().to_owned();
    assert!(server().accepts(&healed, &password).await, "CURRENT is accepted again");
    assert!(!server().accepts(&healed, &format!("by-hand-of-{healed}")).await);
    assert!(server().accepts(&told, &format!("by-hand-of-{told}")).await);
    let history = house.json(&["history"]);
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");
    assert_eq!((&history[0]["secret"], &history[0]["cause"]), (&json!(healed), &json!("drift")));
    assert_eq!(history[0]["outcome"], "done");
    let (code, line) = asked(&house, &healed);
    assert_eq!((code, &line["outcome"]), (Some(0), &json!("accepted")));
    let (code, line) = asked(&house, &told);
    assert_eq!((code, &line["outcome"], &line["exit"]), (Some(7), &json!("drift"), &json!(7)));
    house.put(&told, &told, &format!("by-hand-of-{told}"));
    assert_eq!(asked(&house, &told).0, Some(0), "somebody put what they set");
    let values = [&told, &healed].map(|name| format!("first-of-{name}")).into_iter().chain([password]).collect();
    house.search(&values, &format!("{seen:?}"));
}
