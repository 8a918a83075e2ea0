//! What a policy has while its plugin cannot be used: nobody else gets its secret, its accounts or its keys.

use std::process::Output;

use keywheel_plugin::sha256_of;

use super::example;
use super::newcomer::keywheel;

/// Two versions of a plugin, of which the second one's file was changed after it was listed; and two policies, of which the first takes
/// the first version, and the other one rests. Each is given the lines that differ. What `validate` says.
fn validated(plugin: &str, [acting, resting]: [&str; 2]) -> (Output, Output) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let text = std::fs::read_to_string(example(plugin)).expect("the example is there");
    let kind = if plugin.contains("keys") { "keys" } else { "slots" };
    // What owns all keys of a target says so in this setting.
    let exclusive =
        "    \"settings\": [\n        {\"name\": \"exclusive\", \"kind\": \"boolean\", \"help\": \"owns all keys\"},";
    let text = text.replace("    \"settings\": [", exclusive);
    let mut listed = String::new();
    for version in ["1.0.0", "1.1.0"] {
        let file = path(&format!("plugin-{version}"));
        std::fs::write(&file, text.replace("\"1.0.0\"", &format!("\"{version}\""))).expect("ours");
        let sha256 = sha256_of(&file).expect("it is readable");
        listed.push_str(&format!("    - {{ file: \"{}\", sha256: \"{sha256}\" }}\n", file.display()));
    }
    std::fs::write(path("plugin-1.1.0"), "#!/bin/sh\nexit 4\n").expect("ours");
    let settings = format!(
        "version: 1\nstate: {{ sqlite: state.db }}\n\
         secrets: {{ local: {{ path: secrets.db, master_key: {{ file: master.key }} }} }}\n\
         policies: [policies]\nplugins:\n  {kind}:\n{listed}"
    );
    std::fs::write(path("keywheel.yaml"), settings).expect("ours");
    std::fs::create_dir(path("policies")).expect("ours");
    for (name, version, lines) in [("acting", "=1.0.0", acting), ("resting", "1", resting)] {
        let policy = format!(
            "version: 1\npolicy: {name}\nrotator: \"{kind}@{version}\"\nadmin: {{ secret: its/admin }}\n\
             schedule: {{ manual: true }}\n{lines}"
        );
        std::fs::write(path(&format!("policies/{name}.yaml")), policy).expect("ours");
    }
    let run = |arguments: &[&str]| keywheel(arguments).current_dir(folder.path()).output().expect("it starts");
    (run(&["validate"]), run(&["run", "--once"]))
}

/// The codes of the mistakes, in their order.
fn codes(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let codes = said.lines().filter_map(|line| Some(line.strip_prefix("error[")?.split_once(']')?.0.to_owned()));
    codes.collect()
}

/// What is said of the two policies beside that the one rests. With a mistake, nothing runs.
#[track_caller]
fn held_against(plugin: &str, lines: [&str; 2], expected: &[&str]) {
    let (validated, run) = validated(plugin, lines);
    assert_eq!(validated.status.code(), Some(2));
    let mut found = codes(&validated);
    let all = found.len();
    found.retain(|code| code != "broken-rotator");
    let said = String::from_utf8_lossy(&validated.stderr);
    assert_eq!(
        (found.iter().map(String::as_str).collect::<Vec<_>>(), all - found.len()),
        (expected.to_vec(), 1),
        "{said}"
    );
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(said.contains("to mend first"), !expected.is_empty(), "{said}");
}

fn slot(user: &str, account: &str, secret: &str) -> String {
    format!(
        "target: {{ url: \"http://127.0.0.1:1\", user: {user} }}\nstrategy: {{ in_place: {{ user: {account}, accept_gap: true }} }}\n\
         secret: {{ name: {secret} }}\n"
    )
}

#[test]
fn a_policy_that_rests_keeps_its_secret_and_its_accounts() {
    let acting = slot("ann", "a", "ann/a");
    for (resting, expected) in [
        (slot("ann", "a", "ann/other"), ["duplicate-account"].as_slice()),
        (slot("ann", "b", "ann/a"), &["duplicate-secret"]),
        (slot("ann", "a", "ann/a"), &["duplicate-account", "duplicate-secret"]),
        (slot("ann", "b", "ann/b"), &[]),
        (slot("bob", "a", "bob/a"), &[]),
    ] {
        held_against("slots.py", [&acting, &resting], expected);
        held_against("slots.py", [&resting, &acting], expected);
    }
}

fn keys(user: &str, exclusive: bool, secret: &str) -> String {
    format!(
        "target: {{ url: \"http://127.0.0.1:1\", user: {user}, exclusive: {exclusive} }}\nstrategy: overlapping\n\
         secret: {{ name: {secret}, fields: [key_id, key] }}\n"
    )
}

#[test]
fn a_policy_that_rests_keeps_the_keys_of_its_target() {
    for (first, second, expected) in [
        (keys("ann", true, "one"), keys("ann", false, "two"), ["duplicate-owner"].as_slice()),
        (keys("ann", false, "one"), keys("ann", true, "two"), &["duplicate-owner"]),
        (keys("ann", false, "one"), keys("ann", false, "two"), &[]),
        (keys("ann", true, "one"), keys("bob", true, "two"), &[]),
    ] {
        held_against("keys/keys.py", [&first, &second], expected);
    }
}
