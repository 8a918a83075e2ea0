//! The documents speak of what is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::{all_files, must_be_empty, read, rust_files};

/// The names of all test functions.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for file in rust_files() {
        let mut marked = false;
        for line in file.text.lines().map(str::trim) {
            if line == "#[test]" || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some(rest) = line.trim_start_matches("pub ").trim_start_matches("async ").strip_prefix("fn ")
            {
                if marked {
                    tests.extend(rest.split(['(', '<']).next().map(str::to_owned));
                }
                marked = false;
            }
        }
    }
    tests
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_invariant_names_a_test_that_exists() {
    let architecture = read("ARCHITECTURE.md");
    let tests = tests();
    let mut offences = Vec::new();
    for invariant in ["S1", "S2", "S3", "S4", "S5", "S6"] {
        let row = architecture.lines().find(|line| line.starts_with(&format!("| {invariant} |")));
        let Some(held_by) = row.and_then(|row| row.trim_end_matches([' ', '|']).rsplit('|').next()) else {
            offences.push(format!("{invariant} has no row"));
            continue;
        };
        if quoted(held_by).next().is_none() {
            offences.push(format!("{invariant} names no test"));
        }
        offences.extend(
            quoted(held_by).filter(|name| !tests.contains(*name)).map(|name| format!("{invariant}: no test `{name}`")),
        );
    }
    must_be_empty("ARCHITECTURE.md, invariants", offences);
}

/// The table in `--help` is a promise to scripts, and the README repeats it word by word.
#[test]
fn the_readme_has_the_exit_codes() {
    let source = read("engine/cli/exit.rs");
    let help = source.split("pub const HELP: &str = \"\\\n").nth(1).and_then(|rest| rest.split("\";\n").next());
    let help = help.expect("the table is where it was");
    let readme = read("README.md");
    // Its first line is the heading, which looks otherwise in Markdown.
    let missing: Vec<String> = help.lines().skip(1).filter(|line| !readme.contains(*line)).map(str::to_owned).collect();
    assert!(help.lines().filter(|line| line.starts_with("  ")).count() > 5, "the table has its codes");
    must_be_empty("README.md, exit codes", missing);
}

/// Links to files and folders of this repository lead somewhere.
#[test]
fn links_lead_somewhere() {
    let mut offences = Vec::new();
    for document in all_files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !super::root().join(folder).join(path).exists() {
                offences.push(format!("{}: {link}", document.path));
            }
        }
    }
    must_be_empty("dead ends", offences);
}

/// Paths in the code map are there.
#[test]
fn the_code_map_is_the_tree() {
    let architecture = read("ARCHITECTURE.md");
    let map = architecture
        .split("## Code map")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .expect("there is a code map");
    let rows = map.lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> = rows.filter_map(|row| quoted(row).next()).collect();
    assert!(named.len() > 5, "the code map has rows");
    must_be_empty(
        "not in the tree",
        named.into_iter().filter(|path| !super::root().join(path).exists()).map(str::to_owned).collect(),
    );
}

/// What people copy first is right: the program itself takes the policy of the README.
#[test]
fn the_policy_in_the_readme_is_valid() {
    let readme = read("README.md");
    let policy =
        readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README has a policy");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join("readme.yaml"), policy).expect("the folder of tests can be written to");
    let output =
        Command::new(env!("CARGO_BIN_EXE_keywheel")).args(["validate", "readme.yaml"]).current_dir(folder).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The policies that we ship are valid, each alone and all together.
#[test]
fn the_policies_of_the_library_are_valid() {
    let library = super::root().join("policies/library");
    let files: Vec<_> = std::fs::read_dir(&library)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert!(files.len() >= 10, "the policies are there: {files:?}");
    for path in files.iter().chain([&library]) {
        let output = Command::new(env!("CARGO_BIN_EXE_keywheel"))
            .arg("validate")
            .arg(path)
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
}
