//! `plugin exam` against a target of an author's own; and what it refuses to examine.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keywheel_keyservice::{KeyService, Options};
use serde_json::Value;
use tempfile::TempDir;

use super::example;
use super::newcomer::keywheel;

/// Puts a value into the first slot of the user `u`, and empties the other one.
const STAGE: &str = r#"#!/usr/bin/python3 -ES
import json, sys, urllib.error, urllib.request
def ask(method, slot, body=None):
    request = urllib.request.Request("@URL@/v1/users/u/slots/" + slot, method=method)
    request.add_header("Authorization", "Bearer @TOKEN@")
    request.add_header("Content-Type", "application/json")
    try:
        urllib.request.urlopen(request, body)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
scene = json.loads(sys.stdin.readline())
if scene["candidate_account"] != scene["account"]:
    ask("DELETE", scene["candidate_account"])
ask("PUT", scene["account"], json.dumps({"value": scene["password"]}).encode())
"#;

const LOGIN: &str = r#"#!/usr/bin/python3 -ES
import json, sys, urllib.error, urllib.request
request = urllib.request.Request("@URL@/v1/whoami")
request.add_header("Authorization", "Bearer " + json.loads(sys.stdin.readline())["password"])
try:
    urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    sys.exit(1 if error.code == 401 else 3)
"#;

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("the folder is writable");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("it is ours");
    file
}

/// How the exam of a plugin ends, what it prints, and what it says.
pub fn examined(plugin: &Path, target: Option<&Path>) -> (Option<i32>, Value, String) {
    let mut exam = keywheel(&["--output", "json", "plugin", "exam"]);
    exam.arg(plugin).args(target.iter().flat_map(|target| [Path::new("--target"), target]));
    let output = exam.output().expect("it starts");
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), printed, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authors_own_target_is_as_good() {
    let service = KeyService::start(Options::default()).await.expect("a free port");
    let (url, port, token) = (service.url(), service.port(), Options::default().admin_token);
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in [("stage.py", STAGE), ("login.py", LOGIN)] {
        written(&folder, name, &text.replace("@URL@", &url).replace("@TOKEN@", &token));
    }
    let own = format!(
        "target: {{ url: \"{url}\", user: u }}\nconnect: [{port}]\nstrategy: {{ alternating: {{ users: [a, b] }} }}\n\
         admin: {{ username: admin, password: {token} }}\nstage: [./stage.py]\nlogin: [./login.py]\n\
         odd_passwords: ['it''s\"quoted\"\\and$$and;--:and']\nline: {{ setting: url, port: {port}, change: \"/slots/\" }}\n"
    );
    let file = written(&folder, "exam.yaml", &own);
    let (code, exam, said) = examined(&example("slots.py"), Some(&file));
    assert_eq!((code, &exam["passed"]), (Some(0), &exam["fit"]), "{exam:#}\n{said}");
    assert!(exam["fit"].as_u64() > Some(35), "too many cases were skipped: {exam:#}");

    // A command that cannot tell ends the exam: what it says is neither a yes nor a no.
    written(&folder, "login.py", "#!/bin/sh\necho the service is away >&2\nexit 3\n");
    let (code, exam, _) = examined(&example("slots.py"), Some(&file));
    let cases = exam["exams"][0]["cases"].as_array().expect("cases");
    let failed: Vec<_> = cases.iter().filter(|case| case["outcome"] == "failed").collect();
    assert_eq!((code, failed.len()), (Some(7), 1), "{exam:#}");
    let why = failed[0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("login.py") && why.contains("exit status: 3") && why.contains("the service is away"), "{why}");
    assert_eq!(cases[cases.len() - 1]["why"], "the target gave out before");
}

#[test]
fn what_cannot_be_examined_is_bad_input() {
    let folder = TempDir::new().expect("a temporary folder");
    let refused = |plugin: &Path, target: Option<&Path>, words: &str| {
        let (code, printed, said) = examined(plugin, target);
        assert!(code == Some(2) && printed.is_null() && said.contains(words), "{code:?}\n{said}");
    };
    refused(&folder.path().join("nothing"), None, "cannot read");
    refused(&written(&folder, "ends", "#!/bin/sh\nexit 4\n"), None, "does not start as it should: its process ended");
    refused(&example("slots.py"), None, "the plugin needs the setting `url`");
    let greets = |descriptor: &str| {
        let greeting = format!(
            "{{\"type\":\"rotator\",\"format\":1,\"descriptor\":{{\"kind\":\"k\",\"version\":\"1\",{descriptor}}}}}"
        );
        written(&folder, "greets", &format!("#!/bin/sh\nwhile read -r line; do echo '{greeting}'; done\n"))
    };
    refused(&greets("\"shapes\":[\"overlapping\"],\"origin\":\"provider\""), None, "made by its target");
    refused(&greets("\"shapes\":[\"overlapping\"],\"origin\":\"engine\""), None, "claims neither");
    let file = written(&folder, "exam.yaml", "target: {}\nstages: [x]\n");
    refused(&example("slots.py"), Some(&file), "exam.yaml:2:1: ");
    refused(&example("slots.py"), Some(&folder.path().join("absent.yaml")), "cannot read");
    refused(&example("slots.py"), Some(folder.path()), "it is no regular file");
}
