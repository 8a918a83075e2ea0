//! An author's commands: programs with their arguments, which get a line of JSON and answer by how they end and what they print.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of what a command says when it fails, so many characters are shown.
const WORDS: usize = 300;

/// How a command ended that knows what it says.
pub struct Ended {
    /// Exit code 0, and not 1.
    pub well: bool,
    /// Its standard output.
    pub printed: String,
}

/// Runs a command of the file in this folder, with this on its standard input.
///
/// # Errors
/// It did not start, or did not end by itself in time and with one of the two exit codes that mean something: which, and what it wrote to
/// its standard error.
pub async fn run(folder: &Path, command: &[String], input: &Value) -> Result<Ended, String> {
    let late = |_| Err(format!("it did not end within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, ended(folder, command, input)).await.unwrap_or_else(late)
}

async fn ended(folder: &Path, command: &[String], input: &Value) -> Result<Ended, String> {
    let [program, arguments @ ..] = command else { return Err("there is no program".to_owned()) };
    // A path is the file's own, a bare name is looked for as usual.
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let program = if program.components().count() > 1 {
        std::path::absolute(&program).map_err(|error| error.to_string())?
    } else {
        program
    };
    let mut process = Command::new(program);
    process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if !folder.as_os_str().is_empty() {
        process.current_dir(folder);
    }
    let mut process = process.spawn().map_err(|error| format!("it does not start: {error}"))?;
    if let Some(mut stdin) = process.stdin.take() {
        // Who does not read it ends in a way of its own.
        stdin.write_all(format!("{input}\n").as_bytes()).await.ok();
    }
    let output = process.wait_with_output().await.map_err(|error| error.to_string())?;
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(WORDS).collect();
    match output.status.code() {
        Some(code @ (0 | 1)) => {
            Ok(Ended { well: code == 0, printed: String::from_utf8_lossy(&output.stdout).into_owned() })
        }
        _ => Err(format!("it ended with {}: {said}", output.status)),
    }
}
