//! The examples do what they say.

use std::path::Path;
use std::process::Command;

/// Runs an example, which cargo has built beside the tests.
fn run(example: &str) -> String {
    let here = std::env::current_exe().expect("this program has a path");
    let folder = here.parent().and_then(Path::parent).expect("tests stand in a folder of the target folder");
    let output = Command::new(folder.join("examples").join(example)).output().expect("the example is built and runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {}\n{err}", output.status);
    String::from_utf8(output.stdout).expect("output is text")
}

#[test]
fn sqlserver_login() {
    let out = run("sqlserver-login");
    let turns: Vec<&str> = out.lines().collect();
    let turn = |from: &str, to: &str| {
        format!("CURRENT was a login of {from} (accepted now: false), and is one of {to} (accepted now: true)")
    };
    assert_eq!(turns, [turn("orders_a", "orders_b"), turn("orders_b", "orders_a"), turn("orders_a", "orders_b")]);
}
