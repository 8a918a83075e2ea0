//! JSON outputs are a promise: these are their fields. Adding one is fine, and means adding it here.

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder after `init`, with a value put.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    run(&folder, &["init"]);
    let value = folder.path().join("value");
    std::fs::write(&value, "a value").expect("the file is written");
    let input = std::fs::File::open(value).expect("it is there");
    let status = command(&folder, &["secret", "put", "orders/db", "--username", "orders_a"])
        .stdin(input)
        .stderr(Stdio::null())
        .status()
        .expect("the binary runs");
    assert!(status.success());
    folder
}

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
    command.current_dir(folder.path()).args(arguments);
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().expect("the binary runs");
    String::from_utf8(output.stdout).expect("output is text")
}

fn json(folder: &TempDir, arguments: &[&str]) -> Value {
    let text = run(folder, &[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

fn keys(value: &Value) -> String {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

#[test]
fn status() {
    let status = json(&folder(), &["status"]);
    assert_eq!(
        keys(&status[0]),
        "age_seconds broken current current_since last max_age_seconds next open overdue owner policy secret target"
    );
    assert_eq!(status[0]["secret"], "orders/db");
    assert_eq!(status[0]["overdue"], false);
    assert_eq!(status[0]["target"], "postgres://localhost:5432");
}

#[test]
fn plan() {
    let folder = folder();
    let plan = json(&folder, &["plan", "--until", "100d"]);
    assert_eq!(keys(&plan), "collisions cut freezes from resting rotations until");
    assert_eq!(keys(&plan["rotations"][0]), "at late local max_age_seconds policy secret target");
    assert_eq!(plan["rotations"].as_array().map(Vec::len), Some(3));
    let later = json(&folder, &["plan", "--from", "2040-01-01T00:00:00Z", "--until", "1d"]);
    assert_eq!(later["rotations"][0]["at"], "2040-01-01T02:00:00Z", "overdue by then, so at the next opening");
}

#[test]
fn plan_of_a_whole_fleet() {
    let folder = folder();
    let policy = "version: 1\npolicy: fleet-${n}\nrotator: postgres\ntarget: { host: db }\nadmin: { env: ADMIN }\n\
                  strategy: { in_place: { user: \"u${n}\", accept_gap: true } }\nsecret: { name: \"fleet/${n}\" }\n\
                  adopt: rotate\nmax_age: 90d\n\
                  schedule: { every: 30d, timezone: Europe/Berlin, window: { from: \"02:00\", to: \"03:00\" }, freezes: [year-end] }\n\
                  for_each: [{ n: a }, { n: b }]\n";
    std::fs::write(folder.path().join("policies/fleet.yaml"), policy).expect("the policy is written");
    let settings = std::fs::read_to_string(folder.path().join("keywheel.yaml")).expect("readable");
    let settings =
        format!("{settings}\nfreezes: {{ year-end: {{ from: 2026-12-20, to: 2027-01-05, timezone: UTC }} }}\n");
    std::fs::write(folder.path().join("keywheel.yaml"), settings).expect("the settings are written");
    let plan = json(&folder, &["plan", "fleet-a", "fleet/b", "--from", "2026-12-19T12:00:00Z", "--until", "20d"]);
    let rotations = plan["rotations"].as_array().expect("a list");
    assert_eq!(rotations.len(), 2, "{plan}");
    assert!(rotations.iter().all(|one| one["at"] == "2027-01-06T01:00:00Z"), "after the freeze, in the window: {plan}");
    assert_eq!(plan["collisions"][0]["rotations"], 2);
    assert_eq!(keys(&plan["collisions"][0]), "hour rotations target");
    assert_eq!(keys(&plan["freezes"][0]), "from name policies to");
    let resting = json(&folder, &["plan", "--until", "1d"]);
    assert_eq!(resting["resting"], serde_json::json!([]));
}

#[test]
fn secrets_doctor_history_and_mistakes() {
    let folder = folder();
    assert_eq!(keys(&json(&folder, &["secret", "list"])[0]), "current current_since name pending previous");
    assert_eq!(keys(&json(&folder, &["secret", "versions", "orders/db"])[0]), "created_at label promoted_at version");
    assert_eq!(keys(&json(&folder, &["secret", "get", "orders/db"])), "password username");
    assert_eq!(keys(&json(&folder, &["secret", "rewrap"])), "already key rewrapped");
    assert_eq!(keys(&json(&folder, &["doctor", "--offline"])[0]), "hint severity subject what");
    assert_eq!(json(&folder, &["history"]), serde_json::json!([]));
    assert_eq!(keys(&json(&folder, &["validate"])), "policies problems");
    std::fs::write(folder.path().join("policies/more.yaml"), "version: 2\n").expect("the policy is written");
    let problems = json(&folder, &["validate"]);
    assert_eq!(keys(&problems["problems"][0]), "code column file help length line message");
}

#[test]
fn providers() {
    let folder = folder();
    let settings = std::fs::read_to_string(folder.path().join("keywheel.yaml")).expect("readable");
    let settings = format!("{settings}\nproviders: [keyservice.yaml, wrong.yaml]\n");
    std::fs::write(folder.path().join("keywheel.yaml"), settings).expect("the settings are written");
    let declaration = include_str!("../../examples/keyservice/provider.yaml");
    std::fs::write(folder.path().join("keyservice.yaml"), declaration).expect("the declaration is written");
    std::fs::write(folder.path().join("wrong.yaml"), "version: 1\nprovider: wrong\n").expect("it is written");
    let list = json(&folder, &["provider", "list"]);
    let of = |name: &str| {
        let found = list.as_array().and_then(|list| list.iter().find(|one| one["name"] == name));
        found.unwrap_or_else(|| panic!("{name} is not in {list}")).clone()
    };
    assert_eq!(keys(&of("keyservice")), "about broken docs file mistakes name origin requests");
    assert_eq!(keys(&of("wrong")["mistakes"][0]), "column help line message");
    let show = json(&folder, &["provider", "show", "keyservice"]);
    let all = "about base_url docs engine_made fields file name origin propagation_seconds requests settings tag";
    assert_eq!(keys(&show), all);
    assert_eq!(keys(&show["settings"][0]), "default help kind max min name names_target required");
    assert_eq!(keys(&show["requests"][0]), "auth base_url expect method name path");
    let sketch = json(&folder, &["provider", "test", "keyservice", "--dry-run"]);
    assert_eq!(keys(&sketch[0]), "body headers method note request url");
    assert_eq!(keys(&sketch[0]["headers"][0]), "name value");
}

#[test]
fn what_is_printed_as_json_is_read_back_whole() {
    let folder = folder();
    let value = serde_json::json!({ "username": "orders_a", "password": "a\"b\\c\u{1}ü\n" });
    let file = folder.path().join("value.json");
    std::fs::write(&file, value.to_string()).expect("the file is written");
    let input = std::fs::File::open(file).expect("it is there");
    let put = command(&folder, &["secret", "put", "orders/db"]).stdin(input).stderr(Stdio::null()).status();
    assert!(put.expect("the binary runs").success());
    assert_eq!(json(&folder, &["secret", "get", "orders/db"]), value);
    assert_eq!(run(&folder, &["secret", "get", "orders/db", "--field", "password", "-n"]), "a\"b\\c\u{1}ü\n");
}
