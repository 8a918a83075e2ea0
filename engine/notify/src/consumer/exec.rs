//! Runs a program, without a shell.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keywheel_policies::{Exec, ExecInput};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use super::{Version, json};

/// Where programs are that the program may start. The environment of this process is not handed on: it may hold the master key.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Of what a program says when it fails, so many bytes are kept, for whoever masks and cuts it.
const READ: usize = 64 * 1024;
/// How long after its end a program is still listened to.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program with all that it started. Whoever drops it before it has ended ends them.
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
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut hearing = JoinSet::new();
    if let Some(stderr) = stderr {
        hearing.spawn(hear(stderr, Arc::clone(&said)));
    }
    let ended = async {
        let ((), status) = tokio::join!(telling, group.0.wait());
        status
    };
    let Ok(status) = tokio::time::timeout(exec.timeout, ended).await else {
        return Err(format!("`{name}` did not end within {} s, and was killed", exec.timeout.as_secs()));
    };
    let status = status.map_err(|error| format!("nobody knows how `{name}` ended: {error}"))?;
    if status.success() {
        return Ok(());
    }
    // What it started may live on, and hold the other end for ever.
    let _ = tokio::time::timeout(LAST_WORDS, hearing.join_next()).await;
    let said = String::from_utf8_lossy(&said.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(format!("`{name}` ended with {status}{colon}{said}"))
}

/// Keeps the beginning, and reads the rest too, or the program would wait for somebody to do so.
async fn hear(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut some = vec![0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut some).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = READ.saturating_sub(said.len());
        said.extend_from_slice(&some[..length.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::PathBuf;
    use std::time::Instant;

    use keywheel_sdk::{Bundle, Secret};

    use super::*;

    /// What a shell's script comes to within two seconds.
    async fn ran(script: &str) -> (Result<(), String>, Duration) {
        let exec = Exec {
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            input: ExecInput::Fields,
            timeout: Duration::from_secs(2),
        };
        let fields = Bundle::login("app", Secret::new("a password".to_owned()));
        let version = Version {
            moment: "after-promote",
            rotation: "01900000-0000-7000-8000-000000000001".parse().unwrap(),
            secret: "s",
            policy: "p",
            version: "v",
            fields: &fields,
        };
        let began = Instant::now();
        (run(&exec, &version).await, began.elapsed())
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_is_not_waited_for() {
        let (outcome, took) = ran("sleep 5 & exit 0").await;
        assert_eq!(outcome, Ok(()));
        assert!(took < Duration::from_secs(2), "{took:?}");
        let (outcome, _) = ran("sleep 5 & echo 'it is broken' >&2; exit 3").await;
        assert_eq!(outcome.unwrap_err(), "`/bin/sh` ended with exit status: 3: it is broken");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let (outcome, _) = ran(&format!("sleep 600 & echo $! >{}; wait", file.display())).await;
        assert!(outcome.unwrap_err().contains("did not end within 2 s, and was killed"));
        let child: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        let is_gone = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !is_gone() && Instant::now() < until {
            tokio::task::yield_now().await;
        }
        assert!(is_gone(), "process {child} still runs");
    }

    #[tokio::test]
    async fn a_program_that_floods_or_reads_nothing_ends() {
        let (outcome, _) = ran("head -c 10000000 /dev/zero >&2; exit 1").await;
        assert!(outcome.unwrap_err().len() <= READ + 100);
        let (outcome, _) = ran("exec <&-; exit 0").await;
        assert_eq!(outcome, Ok(()));
    }
}
