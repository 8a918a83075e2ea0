//! A house for tests: a folder with settings, a key and policies, beside a real Postgres; and the real binary run in it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use keywheel::secrets::{Keyring, LocalStore, SecretStore, Selector, Stored};
use keywheel_testkit::PostgresServer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// One server for all tests of this binary: each test has roles of its own.
pub fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| PostgresServer::start().expect("a throwaway Postgres starts"))
}

/// A folder in which keywheel lives.
pub struct House {
    dir: TempDir,
}

impl House {
    /// With the settings of the tests, a fresh key, and the server's admin in the store as `pg/admin`.
    pub fn new() -> Self {
        let house = House { dir: TempDir::new().expect("a temporary folder") };
        std::fs::create_dir(house.path("policies")).expect("a new folder");
        keywheel::secrets::MasterKey::generate_file(&house.path("master.key")).expect("a new key file");
        house.settings("limits: { rotations: 16, per_target: 8 }\n");
        let (user, password) = server().superuser();
        house.put("pg/admin", user, password);
        house
    }

    /// Writes `keywheel.yaml` with these lines added.
    pub fn settings(&self, more: &str) {
        let text = format!(
            "version: 1\nstate: {{ sqlite: state.db }}\n\
             secrets: {{ local: {{ path: secrets.db, master_key: {{ file: master.key }} }} }}\n\
             policies: [policies]\n{more}"
        );
        std::fs::write(self.path("keywheel.yaml"), text).expect("the settings are written");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a policy for roles on the test's server, by way of `port`. `more` are further top-level lines.
    pub fn policy(&self, name: &str, port: u16, strategy: &str, more: &str) {
        let lines = format!(
            "rotator: postgres\ntarget: {{ host: 127.0.0.1, port: {port}, database: postgres, tls: disable }}\n\
             admin: {{ secret: pg/admin }}"
        );
        self.policy_for(name, &lines, strategy, more);
    }

    /// Writes a policy; `lines` are those about rotator, target and admin.
    pub fn policy_for(&self, name: &str, lines: &str, strategy: &str, more: &str) {
        let text = format!(
            "version: 1\npolicy: {name}\n{lines}\nstrategy: {strategy}\n\
             secret: {{ name: {name}, fields: [username, password] }}\n{more}\n"
        );
        std::fs::write(self.path("policies").join(format!("{name}.yaml")), text).expect("the policy is written");
    }

    /// The binary, in this house.
    pub fn keywheel(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
        command.current_dir(self.root()).args(arguments).env_remove("FAILPOINTS").env_remove("RUST_LOG");
        // What a killed one leaves behind goes with the house, and is searched for secrets with it.
        command.env("TMPDIR", self.root());
        command
    }

    /// Runs the binary, and demands that it succeeds.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.keywheel(arguments).stdin(Stdio::null()).output().expect("the binary runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "keywheel {arguments:?}: {}\n{err}", output.status);
        String::from_utf8(output.stdout).expect("output is text")
    }

    /// The same, with JSON on standard output.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[&["--output", "json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} prints no JSON ({error}): {text}"))
    }

    /// Puts a login into the store, as a person would.
    pub fn put(&self, secret: &str, username: &str, password: &str) {
        self.put_fields(secret, &json!({ "username": username, "password": password }));
    }

    /// Puts a value of any fields.
    pub fn put_fields(&self, secret: &str, fields: &Value) {
        let mut child = self
            .keywheel(&["secret", "put", secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let value = fields.to_string();
        child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("the value is read");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "secret put: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The daemon, with its log as JSON on standard error.
    pub fn daemon(&self, filter: &str, failpoints: Option<&str>) -> Daemon {
        let mut command = self.keywheel(&["--log-format", "json", "--log", filter, "run"]);
        if let Some(failpoints) = failpoints {
            command.env("FAILPOINTS", failpoints);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Daemon { child, log: log.lines() }
    }

    /// Searches every file of the house, and a text, for each of these values, in the clear and in the usual encodings.
    pub fn search(&self, values: &BTreeSet<String>, text: &str) {
        let mut haystacks = vec![("what was said".to_owned(), text.as_bytes().to_vec())];
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the folder is readable").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    haystacks.push((path.display().to_string(), bytes));
                }
            }
        }
        for value in values {
            let bytes = value.as_bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let base64 = STANDARD_NO_PAD.encode(bytes);
            for needle in [bytes, hex.as_bytes(), base64.as_bytes(), &utf16] {
                for (place, haystack) in &haystacks {
                    let found = haystack.windows(needle.len()).any(|window| window == needle);
                    assert!(!found, "S6: a secret value is in {place}");
                }
            }
        }
    }

    /// The secret store, opened as another process would.
    pub async fn store(&self) -> LocalStore {
        let keyring = Keyring::load(&self.path("master.key")).expect("the key is readable");
        LocalStore::open(&self.path("secrets.db"), keyring).await.expect("the store opens")
    }

    /// Every kept version of a secret, decrypted.
    pub async fn versions(&self, secret: &str) -> Vec<Stored> {
        let store = self.store().await;
        let mut all = Vec::new();
        for info in store.versions(secret).await.expect("the store lists") {
            all.extend(store.read(secret, Selector::Version(&info.version)).await.expect("the store reads"));
        }
        all
    }
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    log: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Daemon {
    /// The next log entry; `None` once it ended.
    pub fn next(&mut self) -> Option<Value> {
        let line = self.log.next()?.expect("the log is text");
        Some(serde_json::from_str(&line).unwrap_or_else(|_| json!({ "text": line })))
    }

    /// Reads the log until an entry with this message, and returns what came, that one last. Panics if it ends before.
    pub fn until(&mut self, messages: &[&str]) -> Vec<Value> {
        let mut seen = Vec::new();
        while let Some(entry) = self.next() {
            let found = messages.iter().any(|message| message_of(&entry).starts_with(message));
            seen.push(entry);
            if found {
                return seen;
            }
        }
        panic!("the daemon ended before it said one of {messages:?}: {seen:#?}");
    }

    /// Reads the log to its end, and how the process ended.
    pub fn wait(mut self) -> (std::process::ExitStatus, Vec<Value>) {
        let mut seen = Vec::new();
        while let Some(entry) = self.next() {
            seen.push(entry);
        }
        (self.child.wait().expect("it ends"), seen)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop. Fine if it is gone already.
    pub fn ask_to_stop(&self) {
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
    }

    /// Asks it to stop, and demands that it does so cleanly.
    pub fn stop(self) -> Vec<Value> {
        self.ask_to_stop();
        let (status, seen) = self.wait();
        assert!(status.success(), "a clean stop: {status}; {seen:#?}");
        seen
    }
}

/// The message of a log entry.
pub fn message_of(entry: &Value) -> &str {
    entry["fields"]["message"].as_str().unwrap_or_default()
}

/// Says something to whoever watches the tests: written past the capture of their output, since it is a result.
#[cfg(feature = "failpoints")]
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
