//! Consumers of a real rotation: a file for an application, a program that is run, and a webhook; killed at each point.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Office, ran};
use crate::house::{House, say, server};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the application's program does: it keeps what it was given, and fails while there is a file named `broken`.
const RELOAD: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\" || exit 9
read -r fields
if [ -e broken ]; then echo \"cannot reload with $fields\" >&2; exit 3; fi
echo \"$KEYWHEEL_MOMENT $KEYWHEEL_SECRET $# $1 ${KEYWHEEL_MASTER_KEY:-unset}\" >>reloads
echo \"$fields\" >fields
";

/// A house in which a role's password goes to a file, a program and a webhook.
async fn house(role: &str, hook: u16) -> House {
    let house = House::new();
    std::fs::write(house.path("reload"), RELOAD).expect("the house is writable");
    std::fs::set_permissions(house.path("reload"), PermissionsExt::from_mode(0o755)).expect("it is ours");
    std::fs::write(house.path("hook.key"), KEY).expect("the house is writable");
    house.settings(&format!(
        "consumers:\n  env:\n    file: {{ path: app.env, template: \"PGUSER=${{username}}\\nPGPASSWORD=${{password}}\\n\", mode: \"0640\", \
         signal: {{ pid_file: app.pid }} }}\n  reload: {{ exec: {{ command: [./reload, now], input: fields }} }}\n  \
         hook: {{ webhook: {{ url: \"http://127.0.0.1:{hook}/\", signed_with: {{ file: hook.key }} }} }}\n"
    ));
    server().sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'first-{role}'")).await;
    house.put(role, role, &format!("first-{role}"));
    let strategy = format!("{{ in_place: {{ user: {role}, accept_gap: true }} }}");
    let more = "schedule: { manual: true }\nafter_promote: [env, reload, hook]\nbefore_revoke: [hook]";
    house.policy(role, server().port(), &strategy, more);
    house
}

fn password(house: &House, role: &str) -> String {
    house.run(&["secret", "get", role, "--field", "password"]).trim_end().to_owned()
}

/// What the application has, which must let it in.
async fn application_gets_in(house: &House, role: &str) {
    let env = std::fs::read_to_string(house.path("app.env")).expect("the file is there");
    let current = password(house, role);
    assert_eq!(env, format!("PGUSER={role}\nPGPASSWORD={current}\n"));
    let fields: Value =
        serde_json::from_str(&std::fs::read_to_string(house.path("fields")).expect("it was run")).expect("JSON");
    assert_eq!(fields, json!({ "username": role, "password": current }));
    assert!(server().accepts(role, &current).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_has_the_candidate_before_the_rotation_is_done() {
    let Some(receiver) = Office::start("receiver.py", "http.server", &json!({ "key": KEY })) else { return };
    let house = house("consumed", receiver.port).await;
    // Whoever waits for a signal ends with it.
    let mut waiting = Command::new("sleep").arg("600").spawn().expect("sleep starts");
    std::fs::write(house.path("app.pid"), format!("{}\n", waiting.id())).expect("the house is writable");
    assert_eq!(ran(&house, &["rotate", "consumed"]).0, 0);
    application_gets_in(&house, "consumed").await;
    let mode = std::fs::metadata(house.path("app.env")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(waiting.wait().expect("it ends").signal(), Some(1), "SIGHUP");
    let reloads = std::fs::read_to_string(house.path("reloads")).expect("it was run");
    assert_eq!(reloads, "after-promote consumed 1 now unset\n", "once, and without our environment");
    let hooks = receiver.all();
    let seen: Vec<_> = hooks.iter().map(|hook| (&hook["body"]["type"], &hook["genuine"])).collect();
    let (promoted, revoking) = (json!("keywheel.after-promote"), json!("keywheel.before-revoke"));
    assert_eq!(seen, [(&promoted, &json!(true)), (&revoking, &json!(true))]);
    assert_eq!(hooks[0]["body"]["data"]["secret"], "consumed");
    let values = [password(&house, "consumed"), "first-consumed".to_owned()].into();
    for name in ["app.env", "fields"] {
        std::fs::remove_file(house.path(name)).expect("it holds the password on purpose");
    }
    house.search(&values, &format!("{hooks:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_cannot_take_it_over_is_waited_for_and_told_of() {
    let Some(receiver) = Office::start("receiver.py", "http.server", &json!({})) else { return };
    let house = house("patient", receiver.port).await;
    std::fs::write(house.path("broken"), "").expect("the house is writable");
    let (code, said) = ran(&house, &["rotate", "patient", "--wait", "0s"]);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("the consumer `reload` failed: "), "{said}");
    assert!(said.contains("ended with exit status: 3: cannot reload with") && said.contains("•••"), "{said}");
    let current = password(&house, "patient");
    std::fs::remove_file(house.path("app.env")).expect("it holds the password on purpose");
    house.search(&[current].into(), &said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_point_of_consuming() {
    let points = [
        "consumer/after-promote/before",
        "consumer/after-promote/after",
        "journal/waited-revoke+began-revoke/before",
        "journal/waited-revoke+began-revoke/after",
        "consumer/before-revoke/before",
        "consumer/before-revoke/after",
    ];
    let mut passed = 0;
    for (number, point) in points.into_iter().enumerate() {
        for pass in 0..3 {
            let Some(receiver) = Office::start("receiver.py", "http.server", &json!({})) else { return };
            let role = format!("consuming_{number}_{pass}");
            let house = house(&role, receiver.port).await;
            let mut command = house.keywheel(&["rotate", &role]);
            command.env("FAILPOINTS", format!("{point}={pass}*off->1*return"));
            let output = command.stdin(Stdio::null()).output().expect("the binary runs");
            if output.status.signal() != Some(9) {
                break;
            }
            passed += 1;
            let (code, said) = ran(&house, &["run", "--once"]);
            assert_eq!(code, 0, "{point} {pass}: {said}");
            assert_eq!(house.json(&["show", &format!("latest:{role}")])["outcome"], "done", "{point} {pass}: {said}");
            application_gets_in(&house, &role).await;
            assert!(!receiver.all().is_empty());
        }
    }
    say(&format!("consumers: killed at {passed} points, and each application has the new password"));
    assert_eq!(passed, 10, "three consumers and one, each before and after, and what is written between");
}
