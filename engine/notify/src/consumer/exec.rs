//! Runs a program, without a shell.

use std::process::Stdio;

use keywheel_policies::{Exec, ExecInput};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Version, json};

/// Where programs are that the program may start. The environment of this process is not handed on: it may hold the master key.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of what a program says when it fails, so many bytes are read and characters shown.
const READ: u64 = 4096;
const WORDS: usize = 500;

/// A program with all that it started. Whoever drops it ends them.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

pub(super) async fn run(exec: &Exec, version: &Version<'_>) -> Result<(), String> {
    let name = exec.program.display();
    // It begins in another folder than this process.
    let program = std::path::absolute(&exec.program).map_err(|error| format!("`{name}` cannot be found: {error}"))?;
    let mut child = Command::new(program)
        .args(&exec.arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("KEYWHEEL_MOMENT", version.moment)
        .env("KEYWHEEL_SECRET", version.secret)
        .env("KEYWHEEL_VERSION", version.version)
        .env("KEYWHEEL_POLICY", version.policy)
        .env("KEYWHEEL_ROTATION", version.rotation.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{name}` does not start: {error}"))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut group = Group(child);
    let telling = async {
        if let (Some(mut stdin), ExecInput::Fields) = (stdin, exec.input) {
            // Who does not read it ends in a way of its own.
            let _ = stdin.write_all(json(version.fields).as_bytes()).await;
        }
    };
    let hearing = async {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(READ).read_to_end(&mut bytes).await;
            // The rest is read too, or the program would wait for somebody to do so.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        bytes
    };
    let ended = async {
        let ((), said, status) = tokio::join!(telling, hearing, group.0.wait());
        (said, status)
    };
    let Ok((said, status)) = tokio::time::timeout(exec.timeout, ended).await else {
        return Err(format!("`{name}` did not end within {} s, and was killed", exec.timeout.as_secs()));
    };
    let status = status.map_err(|error| format!("nobody knows how `{name}` ended: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&said).trim().chars().filter(|c| !c.is_control()).take(WORDS).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(format!("`{name}` ended with {status}{colon}{said}"))
}
