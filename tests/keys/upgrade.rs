//! Which plugin acted is in the journal, also where an upgrade comes in the middle of a rotation.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use keywheel_plugin::sha256_of;
use serde_json::{Value, json};

use super::{Case, Key, Kind};
use crate::crash::End;
use crate::house::House;
use crate::plugins::slots_in_python;

fn hash(file: &Path) -> String {
    sha256_of(file).expect("the plugin is readable")
}

/// The example as another version of itself.
fn version(house: &House, version: &str) -> PathBuf {
    let text = std::fs::read_to_string(slots_in_python()).expect("the example is there");
    let file = house.path(&format!("slots-{version}"));
    std::fs::write(&file, text.replace("\"version\": \"1.0.0\"", &format!("\"version\": \"{version}\"")))
        .expect("ours");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("ours");
    file
}

/// Lists these files under one name.
fn list(case: &Case, files: &[&PathBuf]) {
    let port = case.service.port();
    let lines = files.iter().map(|file| {
        format!("    - {{ file: \"{}\", sha256: \"{}\", connect: [{port}] }}\n", file.display(), hash(file))
    });
    let lines: String = lines.collect();
    case.house.settings(&format!("deadlines: {{ step: 3s, lease: 10s }}\nplugins:\n  slots:\n{lines}"));
}

/// Lets the policy ask for another version.
fn pin(case: &Case, word: &str) {
    let path = case.house.path("policies").join(format!("{}.yaml", case.name));
    let text = std::fs::read_to_string(&path).expect("the policy is there");
    let lines = text.lines().map(|line| {
        let line = if line.starts_with("rotator:") { format!("rotator: {word}") } else { line.to_owned() };
        format!("{line}\n")
    });
    std::fs::write(&path, lines.collect::<String>()).expect("the folder is writable");
}

/// The plugins of the entries of one step, without repeats.
fn of_step(shown: &Value, step: &str) -> Vec<Value> {
    let entries = shown["events"].as_array().expect("a list").iter().filter(|entry| entry["step"] == step);
    let mut plugins: Vec<Value> = entries.map(|entry| entry["plugin"].clone()).collect();
    plugins.dedup();
    plugins
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_shows_the_plugin_that_did_it() {
    let case = Case::new(Kind::done(Key::Plugged), "hashed").await;
    case.house.run(&["rotate", "hashed"]);
    case.check_end("rotated").await;
    let sha256 = hash(&slots_in_python());
    let shown = case.house.json(&["show", "latest:hashed"]);
    assert_eq!(shown["plugins"], json!([sha256]));
    for step in ["generate", "apply", "verify", "promote", "revoke"] {
        assert_eq!(of_step(&shown, step), [json!(sha256)], "{step}");
    }
    assert_eq!(case.house.json(&["history"])[0]["plugins"], json!([sha256]));
    let text = case.house.run(&["show", "latest:hashed"]);
    assert!(text.contains(&format!("plugin    {sha256}\n")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_what_comes_with_the_program_shows_none() {
    let case = Case::new(Kind::done(Key::AlternatingToken), "unhashed").await;
    case.house.run(&["rotate", "unhashed"]);
    let shown = case.house.json(&["show", "latest:unhashed"]);
    assert_eq!((&shown["plugins"], &shown["events"][0]["plugin"]), (&json!([]), &Value::Null));
    assert!(!case.house.run(&["show", "latest:unhashed"]).contains("plugin "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_in_the_middle_goes_on_and_is_shown() {
    let case = Case::new(Kind::done(Key::Plugged), "upgraded").await;
    let (first, second) = (version(&case.house, "1.0.0"), version(&case.house, "1.1.0"));
    list(&case, &[&second, &first]);
    pin(&case, "slots@=1.0.0");
    case.house.run(&["rotate", "upgraded", "--detach"]);
    // The target has taken the value, and nobody knows that.
    let (status, seen) = case.house.daemon("keywheel=info", Some("target/apply/after=return")).wait();
    assert_eq!(status.signal(), Some(9), "{seen:#?}");
    case.check("killed after apply").await;

    pin(&case, "slots@1");
    case.settle().await;
    assert_eq!(case.kind.end, End::Done);
    case.check_end("upgraded").await;
    let shown = case.house.json(&["show", "latest:upgraded"]);
    let (first, second) = (hash(&first), hash(&second));
    assert_eq!(shown["plugins"], json!([first, second]));
    assert_eq!(of_step(&shown, "generate"), [json!(first)]);
    // Begun by the one, found done by the other.
    assert_eq!(of_step(&shown, "apply"), [json!(first), json!(second)]);
    assert_eq!(of_step(&shown, "revoke"), [json!(second)]);
    let text = case.house.run(&["show", "latest:upgraded"]);
    assert!(text.contains(&format!("plugin    {first} at generate, stage, apply\n")), "{text}");
    assert!(text.contains(&format!("plugin    {second} at apply, verify, promote, revoke\n")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_with_another_idea_of_the_target_rests() {
    let case = Case::new(Kind::done(Key::Plugged), "elsewhere").await;
    let (first, second) = (version(&case.house, "1.0.0"), version(&case.house, "1.1.0"));
    let text = std::fs::read_to_string(&second).expect("it was written");
    let user = "\"names_target\": True, \"help\": \"whose";
    assert!(text.contains(user));
    std::fs::write(&second, text.replace(user, "\"names_target\": False, \"help\": \"whose")).expect("ours");
    list(&case, &[&first, &second]);
    pin(&case, "slots@=1.0.0");
    case.house.run(&["rotate", "elsewhere", "--detach"]);
    let (status, seen) = case.house.daemon("keywheel=info", Some("target/apply/after=return")).wait();
    assert_eq!(status.signal(), Some(9), "{seen:#?}");

    pin(&case, "slots@1");
    let output = case.house.keywheel(&["rotate", "elsewhere"]).output().expect("the binary runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && err.contains("bring the earlier policy back until it has ended"),
        "{err}"
    );
    case.check("resting").await;
    assert_eq!(case.house.json(&["show", "latest:elsewhere"])["plugins"], json!([hash(&first)]));

    pin(&case, "slots@=1.0.0");
    case.settle().await;
    case.check_end("taken up again").await;
    assert_eq!(case.house.json(&["show", "latest:elsewhere"])["plugins"], json!([hash(&first)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_not_there_stops_and_changes_nothing() {
    let case = Case::new(Kind::done(Key::Plugged), "unfit").await;
    let (first, second) = (version(&case.house, "1.0.0"), version(&case.house, "1.1.0"));
    list(&case, &[&first, &second]);
    let refused = |word: &str, said: &str| {
        pin(&case, word);
        for arguments in [["rotate", "unfit"].as_slice(), &["validate"]] {
            let output = case.house.keywheel(arguments).output().expect("the binary runs");
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{err}");
            // The first says that the policy rests, the second what to write.
            assert!(err.contains(if arguments.len() > 1 { "policy `unfit` rests" } else { said }), "{err}");
        }
    };
    refused("slots", "say which, such as `rotator: slots@^1.1.0`; there is `1.0.0` or `1.1.0`");
    refused("slots@2", "no version of `slots` fits this");
    // A file that was changed stops the policies that may mean it: nobody knows which version it is. Others go on.
    std::fs::write(&second, "#!/bin/sh\n").expect("ours");
    refused("slots@=1.1.0", "is not what it was");
    refused("slots@1", "is not what it was");
    pin(&case, "slots@=1.0.0");
    case.house.run(&["rotate", "unfit"]);
    assert_eq!(case.house.json(&["show", "latest:unfit"])["plugins"], json!([hash(&first)]));
    case.check_end("rotated").await;
}
