//! The program, its file, and a client that is not ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keywheel_keyservice::{KeyService, Options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Caller, answer, text};

/// A running `keyservice`, killed (with SIGKILL) when this is dropped.
struct Program {
    process: Child,
    port: u16,
}

impl Program {
    fn start(folder: &Path) -> Self {
        std::fs::write(folder.join("token"), "the-token\n").unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_keyservice"))
            .args(["--port", "0", "--database"])
            .arg(folder.join("keys.db"))
            .arg("--admin-token-file")
            .arg(folder.join("token"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().strip_prefix("listening on 127.0.0.1:").unwrap().parse().unwrap();
        Program { process, port }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn a_killed_program_has_all_keys_that_it_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut values = Vec::new();
    for name in ["a", "b"] {
        let program = Program::start(folder.path());
        let url = format!("http://127.0.0.1:{}/v1/users/ann/keys", program.port);
        let request = client.post(url).bearer_auth("the-token").json(&json!({ "name": name }));
        values.push(text(&answer(request).await.1, "key"));
    }
    let options = Options { database: Some(folder.path().join("keys.db")), ..Options::default() };
    let caller = Caller::with(options.clone()).await;
    assert_eq!(caller.names().await, ["a", "b"]);
    assert_eq!(caller.service.most_keys("ann"), 2, "those that were there count");
    for value in &values {
        assert!(caller.service.accepts(value).await);
    }
    let port = caller.service.port();
    caller.service.stop().await;
    let again = KeyService::start(Options { port, ..options }).await.unwrap();
    assert_eq!((again.port(), again.keys("ann").await.len()), (port, 2));
}

#[tokio::test]
async fn a_program_without_a_token_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let run = |token: &Path| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_keyservice"));
        program.args(["--port", "0", "--database"]).arg(folder.path().join("keys.db"));
        program.arg("--admin-token-file").arg(token).output().unwrap()
    };
    let empty = folder.path().join("empty");
    std::fs::write(&empty, " \n").unwrap();
    for token in [&empty, &folder.path().join("missing")] {
        let output = run(token);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(token.to_str().unwrap()));
        assert!(!folder.path().join("keys.db").exists());
    }
}

#[tokio::test]
async fn no_value_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = Some(folder.path().join("keys.db"));
    let caller = Caller::with(Options { database, ..Options::default() }).await;
    let (_, created) = answer(caller.creation("the name").header("Idempotency-Key", "once")).await;
    let id = text(&created, "id");
    let body = json!({ "name": "b", "key": "a-value-made-by-the-caller" });
    answer(caller.request(Method::POST, "/v1/users/ann/keys").json(&body)).await;
    let (_, rotated) = caller.call(Method::POST, &format!("/v1/users/ann/keys/{id}/rotate")).await;
    let values = [text(&created, "key"), "a-value-made-by-the-caller".to_owned(), text(&rotated, "key")];
    assert_eq!(caller.whoami(&values[2]).await.0, StatusCode::OK);

    let written = |folder: &Path| -> Vec<u8> {
        let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.flatten().collect()
    };
    let running = written(folder.path());
    caller.service.stop().await;
    for bytes in [running, written(folder.path())] {
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has(&id) && has("the name"), "the files are those of the service");
        for value in &values {
            assert!(!has(value) && !has(value.trim_start_matches("ks_")));
        }
    }
}

#[test]
fn curl_creates_uses_and_deletes_a_key() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let curl = |arguments: &[&str], token: &str, path: &str| -> (String, Value) {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(arguments)
            .arg(format!("http://127.0.0.1:{}{path}", program.port))
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let (body, status) = output.rsplit_once('\n').unwrap();
        (status.to_owned(), serde_json::from_str(body).unwrap_or_default())
    };
    let (status, created) = curl(&["--json", r#"{"name":"by curl"}"#], "the-token", "/v1/users/ann/keys");
    assert_eq!(status, "201", "{created}");
    let (id, value) = (text(&created, "id"), text(&created, "key"));
    let (status, me) = curl(&[], &value, "/v1/whoami");
    assert_eq!((status.as_str(), text(&me, "key_id")), ("200", id.clone()));
    let (status, _) = curl(&["--request", "DELETE"], "the-token", &format!("/v1/users/ann/keys/{id}"));
    assert_eq!(status, "204");
    assert_eq!(curl(&[], &value, "/v1/whoami").0, "401");
}
