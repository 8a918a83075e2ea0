//! Standard output and standard error: closed early, coloured or not, for machines or not.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn keywheel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // Larger than any pipe's buffer, so that writing goes on after the reader has gone.
    for arguments in [&["schema", "policy"][..], &["completions", "zsh"], &["--help"]] {
        let mut child =
            keywheel(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().expect("piped")).read_line(&mut first).expect("text comes");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn closed_streams_do_not_panic() {
    let status = Command::new("sh")
        .args(["-c", "exec \"$0\" --settings /nowhere/keywheel.yaml status >&- 2>&-", env!("CARGO_BIN_EXE_keywheel")])
        .status()
        .expect("the shell runs");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the system has it");
    let output = keywheel(&["schema"]).stdout(full).stderr(Stdio::piped()).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error:"));
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let error = |arguments: &[&str], no_color: bool| {
        let mut command = keywheel(&[arguments, &["--settings", "/nowhere/keywheel.yaml", "status"]].concat());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        String::from_utf8_lossy(&command.output().expect("the binary runs").stderr).into_owned()
    };
    assert!(!error(&[], false).contains('\x1b'), "a pipe is no terminal");
    assert!(error(&["--color", "always"], false).contains('\x1b'));
    assert!(!error(&["--color", "never"], false).contains('\x1b'));
    assert!(!error(&[], true).contains('\x1b'));
}

#[test]
fn each_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = keywheel(&["completions", shell]).output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("rotate") && text.contains("doctor"), "{shell}");
    }
}
