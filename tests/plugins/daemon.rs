//! Plugins that misbehave in a daemon: it lives, other rotations go on, and the journal names the fault.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use keywheel::core::Progress;
use keywheel::state::{History, StateStore, sqlite::SqliteState};
use keywheel_plugin::sha256_of;

use crate::house::{House, server};

/// What each does when it is to apply, and the word for that.
const HABITS: [(&str, &str, &str); 4] = [
    ("crashes", "kill -SEGV $$", "plugin-ended"),
    ("hangs", "read -r more", "plugin-late"),
    ("floods", "while :; do printf '%01000d' 0; done", "plugin-malformed"),
    ("answers-others", "echo '{\"type\":\"reply\",\"id\":77}'", "plugin-other-call"),
];

/// A script that does this when it is to apply; a probe is told that nothing was applied, and the rest is done.
fn script(kind: &str, apply: &str) -> String {
    let greeting = format!(
        r#"{{"type":"rotator","format":1,"descriptor":{{"kind":"{kind}","version":"1.0.0","shapes":["in_place"],"origin":"engine"}}}}"#
    );
    format!(
        r#"#!/bin/sh
reply() {{ echo "{{\"type\":\"reply\",\"id\":$id$1}}"; }}
while IFS= read -r line; do
    id=${{line#*\"id\":}}
    id=${{id%%[,\}}]*}}
    case $line in
        *'"type":"hello"'*) echo '{greeting}' ;;
        *'"call":"apply"'*) {apply} ;;
        *'"call":"probe"'*) reply ',"answer":"no","reason":"never applied"' ;;
        *'"call":"preflight"'*) reply ',"findings":[]' ;;
        *'"type":"call"'*) reply '' ;;
    esac
done
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_plugins_cost_their_own_attempts() {
    let house = House::new();
    let mut plugins = String::from("deadlines: { step: 2s, lease: 8s }\nplugins:\n");
    for (kind, apply, _) in HABITS {
        let file = house.path(kind);
        std::fs::write(&file, script(kind, apply)).expect("the house is writable");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("it is ours");
        let sha256 = sha256_of(&file).expect("it is readable");
        plugins.push_str(&format!("  {kind}: {{ file: {kind}, sha256: \"{sha256}\" }}\n"));
        let lines = format!("rotator: {kind}\ntarget: {{}}\nadmin: {{ secret: pg/admin }}");
        let strategy = "{ in_place: { user: app, accept_gap: true } }";
        house.policy_for(kind, &lines, strategy, "adopt: rotate\nschedule: { every: 30d }");
    }
    house.settings(&plugins);
    for n in 0..4 {
        let name = format!("beside_{n}");
        server().sql(&format!("CREATE ROLE {name} LOGIN")).await;
        let strategy = format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}");
        house.policy(&name, server().port(), &strategy, "adopt: rotate\nschedule: { every: 30d }");
    }

    let mut daemon = house.daemon("keywheel=info", None);
    daemon.until(&["ready"]);
    let state = SqliteState::open(&house.path("state.db")).await.expect("the state opens");
    let until = Instant::now() + Duration::from_secs(120);
    let all = History { secret: None, limit: 100 };
    let others = async || {
        let rotations = state.history(&all).await.expect("readable");
        let done = rotations.iter().filter(|rotation| rotation.state.progress == Progress::Done);
        done.filter(|rotation| rotation.fixed.secret.starts_with("beside_")).count()
    };
    while others().await < 4 && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    assert_eq!(others().await, 4, "the others are rotated");
    for (kind, _, code) in HABITS {
        let shown = || house.json(&["show", &format!("latest:{kind}")]).to_string();
        while !shown().contains(code) && Instant::now() < until {
            tokio::task::yield_now().await;
        }
        assert!(shown().contains(code), "{kind} is not named `{code}`: {}", shown());
    }
    let rotations = state.history(&all).await.expect("readable");
    let promoted: Vec<_> = rotations.iter().filter(|rotation| rotation.state.progress == Progress::Done).collect();
    assert_eq!(promoted.len(), 4, "nothing is promoted that was never applied: {promoted:?}");
    daemon.stop();
}
