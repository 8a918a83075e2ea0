//! Plugins that lie: the one that `plugin new` makes, with one thing changed. The exam finds each of them out.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::newcomer::{Project, keywheel};

/// How the exam of this variant ends: which cases failed, over both shapes, each once.
fn failed_of(changes: &[(&str, &str)]) -> Vec<String> {
    let project = Project::begun("liar", &["python"]);
    let file = project.path("liar.py");
    let mut text = std::fs::read_to_string(&file).expect("it is there");
    for (honest, liar) in changes {
        assert!(text.contains(honest), "the template has no `{honest}`");
        text = text.replace(honest, liar);
    }
    std::fs::write(&file, text).expect("it is ours");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("it is ours");
    let output = keywheel(&["--output", "json", "plugin", "exam"]).arg(&file).output().expect("it starts");
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let exam: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let mut failed = Vec::new();
    for case in exam["exams"].as_array().into_iter().flatten().flat_map(|exam| exam["cases"].as_array()).flatten() {
        let id = case["id"].as_str().expect("a word").to_owned();
        if case["outcome"] == "failed" && !failed.contains(&id) {
            failed.push(id);
        }
    }
    failed
}

/// These cases fail; beside them at most those that hang on who is faster.
fn found_out(changes: &[(&str, &str)], cases: &[&str], perhaps: &[&str]) {
    let failed = failed_of(changes);
    let missing: Vec<_> = cases.iter().filter(|case| !failed.iter().any(|failed| failed == **case)).collect();
    assert!(missing.is_empty(), "{missing:?} passed; {failed:?} failed");
    let others: Vec<_> = failed.iter().filter(|failed| !cases.contains(&failed.as_str())).collect();
    assert!(others.iter().all(|other| perhaps.contains(&other.as_str())), "{others:?} failed, too");
}

#[test]
fn whose_probe_says_yes() {
    let honest = "if self.login(self.message[\"credential\"]):";
    let cases = [
        "probe-true",
        "probe-absent",
        "probe-silent",
        "restore-killed-after",
        "revoke-killed-after",
        "wrong-admin-probe",
        "apply-cut",
        "apply-stalled",
        "apply-killed-before",
    ];
    found_out(&[(honest, "if True:")], &cases, &["restore-killed-before", "revoke-killed-before"]);
}

#[test]
fn who_says_none_after_a_change() {
    let cases = ["restore-lost", "revoke-lost", "apply-lost", "apply-cut"];
    // Its answer and the deadline come at about the same time.
    found_out(&[("self.effect = \"unknown\"", "self.effect = \"none\"")], &cases, &["apply-stalled", "apply-late"]);
}

#[test]
fn whose_probe_changes_something() {
    let honest = "            return {\"answer\": \"yes\"}";
    let liar = "            self.put(self.message[\"credential\"])\n            return {\"answer\": \"yes\"}";
    found_out(&[(honest, liar)], &["probe-silent"], &[]);
}

#[test]
fn who_lets_the_one_before_live() {
    let honest = "            self.remove(previous)\n        self.see(previous, False)";
    let cases = [
        "rotation",
        "two-in-a-row",
        "all-twice",
        "two-at-once",
        "revoke-twice",
        "revoke-hard",
        "revoke-lost",
        "revoke-killed-before",
        "revoke-killed-after",
        "wrong-admin-revoke",
    ];
    found_out(&[(honest, "            pass")], &cases, &[]);
}

#[test]
fn who_writes_secrets_to_its_log() {
    let honest = "        self.put(candidate)\n";
    let liar = "        self.put(candidate)\n        print(\"set\", candidate[\"password\"], file=sys.stderr)\n";
    found_out(&[(honest, liar)], &["secret-elsewhere"], &[]);
}

#[test]
fn who_claims_what_it_cannot() {
    found_out(
        &[("    \"settings\": [", "    \"capabilities\": {\"usage\": True},\n    \"settings\": [")],
        &["claims"],
        &[],
    );
}

#[test]
fn who_says_secrets_in_errors() {
    let honest = "{credential['username']} is {seen}";
    found_out(&[(honest, "{credential['username']}, {credential['password']}, is {seen}")], &["secret-elsewhere"], &[]);
}

/// It answers while it can, and does afterwards what it could not.
#[test]
fn who_acts_after_the_deadline() {
    let honest = "            raise Failure(self.effect, \"now\", \"no-answer\"";
    let liar = "            if changes:\n                import threading\n\
        \x20               def again():\n\
        \x20                   with socket.create_connection((self.settings[\"host\"], self.settings[\"port\"])) as line:\n\
        \x20                       line.sendall(json.dumps(message).encode() + b\"\\n\")\n\
        \x20                       line.recv(100)\n\
        \x20               threading.Timer(0.4, again).start()\n";
    let early = ("message[\"left_ms\"] / 1000", "message[\"left_ms\"] / 1000 - 1");
    found_out(&[(honest, &format!("{liar}{honest}")), early], &["apply-stalled"], &["apply-cut", "restore-lost"]);
}

#[test]
fn who_restores_nothing() {
    let honest = "        candidate, current = self.message[\"candidate\"], self.message.get(\"current\")\n        if current:\n";
    let cases =
        ["restore", "restore-bare", "restore-twice", "restore-lost", "restore-killed-before", "restore-killed-after"];
    found_out(&[(honest, &format!("        return {{}}\n{honest}"))], &cases, &[]);
}

#[test]
fn who_shows_secrets_in_arguments() {
    let honest = "            with socket.create_connection";
    let liar = "            import subprocess\n            if changes:\n\
        \x20               subprocess.Popen([\"/bin/sh\", \"-c\", \"sleep 3\", \"sh\", message.get(\"password\", \"\")])\n";
    found_out(&[(honest, &format!("{liar}{honest}"))], &["secret-in-process"], &[]);
}
