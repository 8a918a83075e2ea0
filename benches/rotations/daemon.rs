//! One daemon that rotates all accounts, watched from its start to its end.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{CONCURRENCY, Target};

/// What was seen of it.
pub struct Daemon {
    pub elapsed: Duration,
    pub commits: f64,
    pub writes: f64,
    pub peak_kib: u64,
    pub connections: usize,
}

/// Settings, policies and the admin's credential. No account has a `CURRENT`, so each is due at once.
pub fn furnish(home: &Path, target: &impl Target) {
    std::fs::create_dir(home.join("policies")).expect("a new folder");
    keywheel::secrets::MasterKey::generate_file(&home.join("master.key")).expect("a new key");
    let settings = format!(
        "version: 1\nstate: {{ sqlite: state.db }}\n\
         secrets: {{ local: {{ path: secrets.db, master_key: {{ file: master.key }} }} }}\npolicies: [policies]\n\
         limits: {{ rotations: {CONCURRENCY}, per_target: {CONCURRENCY} }}\n"
    );
    std::fs::write(home.join("keywheel.yaml"), settings).expect("a writable folder");
    let each: Vec<String> = (0..target.accounts()).map(|n| format!("  - {{ n: \"{n}\" }}\n")).collect();
    let policy = format!(
        "version: 1\npolicy: role-${{n}}\n{}\nadmin: {{ secret: admin }}\n\
         strategy: {{ in_place: {{ user: \"role_${{n}}\", accept_gap: true }} }}\n\
         secret: {{ name: \"role/${{n}}\", fields: [username, password] }}\nadopt: rotate\nschedule: {{ every: 30d }}\n\
         for_each:\n{}",
        target.lines(),
        each.concat()
    );
    std::fs::write(home.join("policies/roles.yaml"), policy).expect("a writable folder");
    let (user, password) = target.admin();
    let mut child = keywheel(home).args(["secret", "put", "admin"]).stdin(Stdio::piped()).spawn().expect("it runs");
    let value = serde_json::json!({ "username": user, "password": password }).to_string();
    child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("keywheel reads the value");
    assert!(child.wait().expect("it ends").success());
}

fn keywheel(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
    command.current_dir(home).stdout(Stdio::null());
    command
}

/// One daemon, from its start to its end, while its memory and connections are watched.
pub async fn run(home: &Path, target: &impl Target) -> Daemon {
    let began = Instant::now();
    let mut child = keywheel(home)
        .args(["--log", "keywheel=info", "--log-format", "json", "run", "--once"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the daemon starts");
    let pid = child.id();
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let reading = std::thread::spawn(move || {
        let (mut last, mut ended) = (serde_json::Value::Null, Instant::now());
        for line in log.lines().map_while(Result::ok) {
            last = serde_json::from_str(&line).unwrap_or_default();
            ended = Instant::now();
        }
        (last, ended)
    });
    let (mut peak_kib, mut connections) = (0, 0);
    while !reading.is_finished() {
        peak_kib = peak_memory(pid).unwrap_or(peak_kib);
        connections = connections.max(target.connections().await);
        #[expect(clippy::disallowed_methods, reason = "the pace at which the benchmark looks")]
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (last, ended) = reading.join().expect("no panic");
    assert!(child.wait().expect("it ends").success(), "the daemon failed: {last}");
    let field =
        |name: &str| last["fields"][name].as_f64().unwrap_or_else(|| panic!("`{name}` in the last line: {last}"));
    Daemon {
        elapsed: ended - began,
        commits: field("journal_commits"),
        writes: field("journal_writes"),
        peak_kib,
        connections,
    }
}

/// The most memory that a process ever had, in KiB (Linux).
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.trim().parse().ok()
}
