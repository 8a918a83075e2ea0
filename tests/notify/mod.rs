//! People are told: by mail through a real mail server, by webhooks and chats that a stranger's program receives.

mod consuming;
mod kills;
mod mail;
mod post;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use keywheel_testkit::python_with;
use serde_json::Value;

use crate::house::{House, say};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of ours in Python, which prints its port and then a line for all that it takes.
struct Office {
    child: Child,
    lines: Receiver<Value>,
    port: u16,
}

impl Office {
    /// `None` where no Python has the module, which is said.
    fn start(script: &str, module: &str, options: &Value) -> Option<Self> {
        let Some(python) = python_with(module) else {
            #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says which clients must be there")]
            let required = std::env::var("KEYWHEEL_TEST_CLIENTS").unwrap_or_default();
            assert!(!required.split(' ').any(|client| client == module), "{module} must be there, and is not");
            say(&format!("not run: {script} (no Python with `{module}`; KEYWHEEL_TEST_PYTHON names one)"));
            return None;
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notify").join(script);
        let mut child = Command::new(python)
            .arg(file)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It tells of each client that ends a handshake.
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = out.next().expect("it says its port").expect("text").parse().expect("a port");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        Some(Office { child, lines, port })
    }

    /// The next thing that it takes.
    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("something arrives")
    }

    /// All that it took so far.
    fn all(&self) -> Vec<Value> {
        let mut asked = self.child.stdin.as_ref().expect("piped");
        asked.write_all(b"\n").expect("it reads");
        std::iter::from_fn(|| Some(self.next()).filter(|line| !line.is_null())).collect()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port at which nobody listens.
fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound").port()
}

/// Policies whose target is away, so that a rotation is rolled back at once, or parked.
fn policies_without_target(house: &House, names: &[&str], then: &str, more: &str) {
    let port = nobody();
    for name in names {
        let strategy = format!("{{ in_place: {{ user: {name}, accept_gap: true }} }}");
        let failing = format!("on_failure: {{ attempts: 1, backoff: 1s..1s, then: {then} }}\n{more}");
        house.policy(name, port, &strategy, &failing);
        house.put(name, name, &format!("first-password-of-{name}"));
    }
}

/// The exit code, and all that was said.
fn ran(house: &House, arguments: &[&str]) -> (i32, String) {
    let output = house.keywheel(arguments).stdin(Stdio::null()).output().expect("the binary runs");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")).concat();
    (output.status.code().expect("no signal"), said)
}
