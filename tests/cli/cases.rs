//! Runs the cases in `cases/`: each is a file, so that adding a case is adding a file. `cases/README.md` has the format.
//!
//! Beside what a case demands, no value that was given on standard input may come out of a command, but of `secret get`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Part of every secret value in the cases.
const CANARY: &str = "canary-";

#[test]
fn every_case_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/cases");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the folder of cases").map(|entry| entry.expect("readable").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "case"));
    files.sort();
    assert!(files.len() >= 8, "the cases are there: {files:?}");
    let failures: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).expect("a case is text");
            run(&text).into_iter().map(|failure| format!("{}: {failure}", file.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_runner_sees_what_is_wrong() {
    let failures = run("$ --version\n= 3\n1> no such words\n1! keywheel\n");
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(run("$ --version\n= 0\n1> keywheel\n").is_empty());
}

/// What did not hold, with line numbers.
fn run(case: &str) -> Vec<String> {
    let folder = TempDir::new().expect("a temporary folder");
    let mut failures = Vec::new();
    let mut input = String::new();
    let mut last: Option<(String, Output)> = None;
    let mut lines = case.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut demand = |holds: bool, found: &dyn std::fmt::Display| {
            if !holds {
                failures.push(format!("line {}: `{line}`, but:\n{found}", number + 1));
            }
        };
        match word {
            "" | "#" => {}
            "<" => input.push_str(&format!("{rest}\n")),
            "write" => {
                let mut text = String::new();
                while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with("  ")) {
                    text.push_str(&format!("{}\n", &more[2..]));
                }
                std::fs::write(folder.path().join(rest), text).expect("the file is written");
            }
            "mode" => {
                let (mode, file) = rest.split_once(' ').expect("a mode and a file");
                let mode = u32::from_str_radix(mode, 8).expect("an octal mode");
                let path = folder.path().join(file);
                std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("the file is ours");
            }
            "remove" => std::fs::remove_file(folder.path().join(rest)).expect("the file is there"),
            "$" => {
                let output = keywheel(folder.path(), rest, &input);
                input.clear();
                if !rest.starts_with("secret get") {
                    demand(!said(&output).contains(CANARY), &format!("a secret came out: {}", said(&output)));
                }
                demand(!said(&output).contains("panicked"), &said(&output));
                last = Some((rest.to_owned(), output));
            }
            _ => {
                let (_, output) = last.as_ref().expect("a demand follows a command");
                let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                match word {
                    "=" => demand(output.status.code().is_some_and(|code| code.to_string() == rest), &said(output)),
                    "1>" => demand(out.contains(rest), &out),
                    "1!" => demand(if rest.is_empty() { out.is_empty() } else { !out.contains(rest) }, &out),
                    "2>" => demand(err.contains(rest), &err),
                    "2!" => demand(if rest.is_empty() { err.is_empty() } else { !err.contains(rest) }, &err),
                    other => panic!("line {}: no case has the word `{other}`", number + 1),
                }
            }
        }
    }
    failures
}

fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn keywheel(folder: &Path, arguments: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keywheel"))
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .envs([("HOME", folder), ("TMPDIR", folder)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // A command that does not read may be gone already.
    child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
    child.wait_with_output().expect("it ends")
}
