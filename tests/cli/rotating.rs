//! The whole way against a real server: put, rotate, read, look back.

use serde_json::Value;

use crate::house::{House, server};

const ROTATION: &str = "attempts begun_at by cause outcome plugins policy promoted_at reason rotation seconds secret step \
                        updated_at why";

fn exit_of(house: &House, arguments: &[&str]) -> (i32, String, String) {
    let output = house.keywheel(arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("not killed"), text(&output.stdout), text(&output.stderr))
}

fn password(house: &House, secret: &str) -> (String, String) {
    let value = house.json(&["secret", "get", secret]);
    let field = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{secret} has `{name}`")).to_owned();
    (field("username"), field("password"))
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().map(|o| o.keys().map(String::as_str).collect()).unwrap_or_default();
    keys.sort_unstable();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_place() {
    let house = House::new();
    server().sql("CREATE ROLE cli_single LOGIN PASSWORD 'the first one'").await;
    let strategy = "{ in_place: { user: cli_single, accept_gap: true } }";
    house.policy("cli_single", server().port(), strategy, "schedule: { every: 30d }\nmax_age: 40d");
    house.put("cli_single", "cli_single", "the first one");

    let (code, found, _) = exit_of(&house, &["rotate", "cli_single", "--dry-run"]);
    assert_eq!(code, 0, "{found}");
    assert!(server().accepts("cli_single", "the first one").await, "a dry run changes nothing");

    let turned = house.json(&["rotate", "cli_single", "--reason", "INC-1"]);
    assert_eq!(keys(&turned[0]), ["exit", "message", "outcome", "policy", "rotation", "secret", "step", "until"]);
    assert_eq!(turned[0]["outcome"], "done");
    let (user, new) = password(&house, "cli_single");
    assert!(server().accepts(&user, &new).await, "what applications read works");
    assert!(!server().accepts(&user, "the first one").await, "the old one is refused");

    let shown = house.json(&["show", "latest:cli_single"]);
    assert_eq!(shown["outcome"], "done");
    assert_eq!(shown["reason"], "INC-1");
    assert!(shown["gap_seconds"].as_f64().is_some_and(|gap| gap > 0.0), "the gap for readers is measured");
    let steps: Vec<&str> = shown["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["event"] == "succeeded")
        .filter_map(|event| event["step"].as_str())
        .collect();
    assert_eq!(steps, ["generate", "stage", "apply", "verify", "promote", "revoke"]);
    let id = shown["rotation"].as_str().expect("an id");
    let text = house.run(&["show", &id[..30]]);
    assert!(text.contains("gap ") && text.contains("promote") && !text.contains(&new), "{text}");

    let past = house.json(&["history", "cli_single"]);
    assert_eq!(keys(&past[0]).join(" "), ROTATION.split_whitespace().collect::<Vec<_>>().join(" "));
    let status = house.json(&["status", "cli_single"]);
    assert_eq!(status[0]["last"]["outcome"], "done");
    assert!(status[0]["next"].is_string() && status[0]["overdue"] == false, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alternating_with_a_grace_period() {
    let house = House::new();
    server().sql("CREATE ROLE cli_a LOGIN PASSWORD 'the first one'; CREATE ROLE cli_b LOGIN").await;
    let strategy = "{ alternating: { users: [cli_a, cli_b] } }";
    house.policy("cli_pair", server().port(), strategy, "schedule: { every: 30d }\nrevoke: { after: 1h }");
    house.put("cli_pair", "cli_a", "the first one");

    let (code, out, err) = exit_of(&house, &["rotate", "cli_pair"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("promoted") && out.contains("by `keywheel run`"), "{out}");
    assert!(err.contains("cli_pair: promote succeeded"), "progress goes to stderr: {err}");
    let (user, new) = password(&house, "cli_pair");
    assert_eq!(user, "cli_b");
    assert!(server().accepts("cli_b", &new).await);
    assert!(server().accepts("cli_a", "the first one").await, "within the grace period both work");

    let (code, out, _) = exit_of(&house, &["rotate", "cli_pair"]);
    assert_eq!(code, 6, "nothing new begins while the old credential lives: {out}");
    assert!(out.contains("under-way") && out.contains("nothing new was begun"), "{out}");
    let status = house.json(&["status"]);
    assert_eq!(status[0]["open"]["outcome"], "waiting");
    assert_eq!(status[0]["open"]["step"], "revoke");

    let (code, _, err) = exit_of(&house, &["rollback", "cli_pair"]);
    assert_eq!(code, 2, "there is no way back after promotion: {err}");
    assert!(err.contains("nothing was changed"), "{err}");
    let typed = house.path("typed");
    std::fs::write(&typed, "another one").expect("the file is written");
    let put = house
        .keywheel(&["secret", "put", "cli_pair", "--username", "cli_b"])
        .stdin(std::fs::File::open(&typed).expect("it is there"))
        .output()
        .expect("the binary runs");
    let err = String::from_utf8_lossy(&put.stderr);
    assert_eq!(put.status.code(), Some(5), "a value now would push out the one that is still to be revoked: {err}");
    assert!(err.contains("still has to revoke") && !err.contains("rollback"), "{err}");
    assert_eq!(password(&house, "cli_pair").1, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_rolled_back() {
    let house = House::new();
    server().sql("CREATE ROLE cli_failing LOGIN PASSWORD 'the first one'").await;
    let strategy = "{ in_place: { user: cli_failing, accept_gap: true } }";
    let more = "schedule: { manual: true }\nverify: [{ sql: \"SELECT 1 FROM no_such_table\" }]\n\
                on_failure: { attempts: 2, backoff: 1s..1s }";
    house.policy("cli_failing", server().port(), strategy, more);
    house.put("cli_failing", "cli_failing", "the first one");
    let (code, out, err) = exit_of(&house, &["rotate", "cli_failing"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("everything is as before") && err.contains("keywheel show"), "{out}{err}");
    assert!(server().accepts("cli_failing", "the first one").await);
    assert_eq!(password(&house, "cli_failing").1, "the first one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_waits_for_a_person() {
    let house = House::new();
    server().sql("CREATE ROLE cli_parked LOGIN PASSWORD 'the first one'").await;
    let strategy = "{ in_place: { user: cli_parked, accept_gap: true } }";
    let more = "schedule: { manual: true }\nverify: [{ sql: \"SELECT 1 FROM not_yet_there\" }]\n\
                on_failure: { attempts: 1, backoff: 1s..1s, then: park }";
    house.policy("cli_parked", server().port(), strategy, more);
    house.put("cli_parked", "cli_parked", "the first one");
    let (code, out, err) = exit_of(&house, &["rotate", "cli_parked"]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(err.contains("keywheel resume cli_parked") && err.contains("keywheel rollback cli_parked"), "{err}");
    assert_eq!(house.json(&["status"])[0]["open"]["outcome"], "parked");

    let (code, out, err) = exit_of(&house, &["rollback", "cli_parked"]);
    assert_eq!(code, 0, "undoing was the order: {out}{err}");
    assert!(server().accepts("cli_parked", "the first one").await);

    assert_eq!(exit_of(&house, &["rotate", "cli_parked"]).0, 4);
    server().sql("CREATE TABLE not_yet_there (); GRANT SELECT ON not_yet_there TO cli_parked").await;
    let (code, out, err) = exit_of(&house, &["resume", "cli_parked"]);
    assert_eq!(code, 0, "{out}{err}");
    let (user, new) = password(&house, "cli_parked");
    assert!(server().accepts(&user, &new).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_rotation_is_turned_by_the_daemon() {
    let house = House::new();
    server().sql("CREATE ROLE cli_left LOGIN PASSWORD 'the first one'").await;
    let strategy = "{ in_place: { user: cli_left, accept_gap: true } }";
    house.policy("cli_left", server().port(), strategy, "schedule: { manual: true }");
    house.put("cli_left", "cli_left", "the first one");
    let turned = house.json(&["rotate", "cli_left", "--detach"]);
    assert_eq!(turned[0]["outcome"], "left");
    assert!(server().accepts("cli_left", "the first one").await, "nothing happened yet");
    house.run(&["run", "--once"]);
    assert_eq!(house.json(&["history"])[0]["outcome"], "done");
    assert!(!server().accepts("cli_left", "the first one").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_what_to_do() {
    let house = House::new();
    let strategy = "{ in_place: { user: cli_nobody, accept_gap: true } }";
    house.policy("cli_nobody", server().port(), strategy, "schedule: { manual: true }");
    let (code, out, err) = exit_of(&house, &["doctor"]);
    assert_eq!(code, 7, "{out}{err}");
    assert!(out.contains("cli_nobody"), "{out}");
    let (code, _, _) = exit_of(&house, &["rotate", "cli_nobody", "--dry-run"]);
    assert_eq!(code, 7);
}
