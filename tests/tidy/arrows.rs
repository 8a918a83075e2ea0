//! Which crate may know which: data flows from policies to rotators, and no crate looks back.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{code_of, identifiers, line_of};
use super::{all_files, must_be_empty, read, rust_files};

/// Each crate with those of ours that it may depend on. `core` and `sdk` do not see each other: the API of those who write
/// rotators does not move with our internals.
const ARROWS: [(&str, &[&str]); 18] = [
    ("policies", &[]),
    ("core", &["policies"]),
    ("sqlite", &[]),
    ("state", &["core", "sqlite"]),
    ("secrets", &["sdk", "sqlite"]),
    ("runtime", &["state", "secrets", "core", "sdk", "policies"]),
    ("notify", &["state", "core", "sdk", "policies"]),
    ("sdk-derive", &[]),
    ("sdk", &["sdk-derive"]),
    ("export", &["sdk"]),
    ("exam", &["sdk"]),
    ("testkit", &["sdk", "exam"]),
    ("sqlserver-double", &[]),
    ("postgres", &["sdk"]),
    ("sqlserver", &["sdk"]),
    ("apikey", &["sdk"]),
    ("plugin", &["sdk"]),
    ("keyservice", &[]),
];

/// What every crate may use in its tests.
const IN_TESTS: [&str; 5] = ["testkit", "sqlserver-double", "keyservice", "export", "plugin"];

/// Crates that decide or describe, and so have no clock, chance, network or threads.
const PURE: [&str; 2] = ["core", "sdk"];

/// What a pure crate does not depend on: what could wait, roll dice, or reach the outside.
const IMPURE: [&str; 12] = [
    "tokio",
    "tokio-util",
    "futures-util",
    "sqlx",
    "sqlx-core",
    "rustls",
    "aws-lc-rs",
    "rand",
    "getrandom",
    "tracing",
    "tempfile",
    "rustix",
];

/// What a pure crate does not say: these read the clock.
const CLOCKS: [(&str, &str); 6] = [
    ("SystemTime", "now"),
    ("Instant", "now"),
    ("Timestamp", "now"),
    ("Zoned", "now"),
    ("Uuid", "now_v7"),
    ("Uuid", "new_v4"),
];

/// A member of the workspace.
struct Member {
    folder: String,
    name: String,
    /// Of all kinds of dependency tables: plain, of a target, or for building.
    depends: BTreeSet<String>,
    depends_in_tests: BTreeSet<String>,
}

fn members() -> Vec<Member> {
    let manifests =
        all_files().into_iter().filter(|file| file.path.ends_with("/Cargo.toml") || file.path == "Cargo.toml");
    let mut members = Vec::new();
    for manifest in manifests {
        let tables = tables(&manifest.text);
        let name = tables.get("package").and_then(|package| package.get("name")).expect("a member has a name").clone();
        let mut member = Member {
            folder: manifest.path.trim_end_matches("Cargo.toml").to_owned(),
            name: name.trim_matches('"').trim_start_matches("keywheel-").to_owned(),
            depends: BTreeSet::new(),
            depends_in_tests: BTreeSet::new(),
        };
        for (table, lines) in tables.iter().filter(|(table, _)| !table.starts_with("workspace")) {
            let into = match table.rsplit('.').next() {
                Some("dev-dependencies") => &mut member.depends_in_tests,
                Some("dependencies" | "build-dependencies") => &mut member.depends,
                _ => continue,
            };
            into.extend(lines.keys().cloned());
        }
        members.push(member);
    }
    members
}

/// The tables of a manifest: enough of TOML for ours, where each key stands on a line of its own.
fn tables(manifest: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut table = String::new();
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = header.split(']').next().unwrap_or_default().to_owned();
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with([' ', '#'])
        {
            let key = key.trim().trim_end_matches(".workspace").trim_matches('"');
            tables.entry(table.clone()).or_default().insert(key.to_owned(), value.trim().to_owned());
        }
    }
    tables
}

#[test]
fn crates_depend_along_the_arrows_only() {
    let arrows = BTreeMap::from(ARROWS);
    let mut offences = Vec::new();
    for member in members().iter().filter(|member| member.name != "keywheel") {
        let Some(allowed) = arrows.get(member.name.as_str()) else {
            offences.push(format!("{}: its arrows are not in this test's table", member.name));
            continue;
        };
        let ours = |names: &BTreeSet<String>| -> Vec<String> {
            names.iter().filter_map(|name| name.strip_prefix("keywheel-")).map(str::to_owned).collect()
        };
        for other in ours(&member.depends) {
            if !allowed.contains(&other.as_str()) {
                offences.push(format!("{} → {other}", member.name));
            }
        }
        for other in ours(&member.depends_in_tests) {
            if !allowed.contains(&other.as_str()) && !IN_TESTS.contains(&other.as_str()) {
                offences.push(format!("{} → {other} (in tests)", member.name));
            }
        }
    }
    must_be_empty("arrows that the house does not have", offences);
}

#[test]
fn the_table_of_arrows_is_the_workspace() {
    let listed: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there: BTreeSet<String> =
        members().into_iter().map(|member| member.name).filter(|name| name != "keywheel").collect();
    assert_eq!(there, listed);
}

#[test]
fn core_and_sdk_are_pure() {
    let mut offences = Vec::new();
    for member in members().iter().filter(|member| PURE.contains(&member.name.as_str())) {
        offences.extend(
            IMPURE
                .iter()
                .filter(|name| member.depends.contains(**name))
                .map(|name| format!("{} depends on {name}", member.name)),
        );
        let sources = format!("{}src/", member.folder);
        for file in rust_files().iter().filter(|file| file.path.starts_with(&sources)) {
            let code = code_of(&file.text);
            let words = identifiers(&code);
            for pair in words.windows(2) {
                let [(_, first), (at, second)] = pair else { continue };
                if CLOCKS.contains(&(*first, *second)) {
                    offences.push(format!("{}:{}: {first}::{second}", file.path, line_of(&code, *at)));
                }
            }
        }
    }
    must_be_empty("a pure crate reaches outside", offences);
}

/// A receipt turns an intent into an attempt, so it comes from a commit and from nowhere else.
#[test]
fn only_state_stores_mint_receipts() {
    let mut offences = Vec::new();
    for file in rust_files() {
        let at_home = file.path == "engine/core/src/handle.rs" || file.path.starts_with("engine/state/");
        let code = code_of(&file.text);
        for (at, _) in identifiers(&code).into_iter().filter(|(_, word)| !at_home && *word == "of_commit") {
            offences.push(format!("{}:{}", file.path, line_of(&code, at)));
        }
    }
    must_be_empty("`Receipt::of_commit` is called outside a state store", offences);
}

/// One file puts the parts together, and the library's facade hands them on; all else sees the trait.
#[test]
fn only_wire_names_concrete_rotators() {
    let mut offences = Vec::new();
    for file in rust_files().iter().filter(|file| file.path.starts_with("engine/")) {
        let allowed = ["engine/cli/wire.rs", "engine/lib.rs"].contains(&file.path.as_str());
        let code = code_of(&file.text);
        for (at, _) in identifiers(&code).into_iter().filter(|(_, word)| !allowed && *word == "keywheel_postgres") {
            offences.push(format!("{}:{}", file.path, line_of(&code, at)));
        }
    }
    must_be_empty("a concrete rotator is named", offences);
}

/// The two sides of the border to C, in which code can be unsafe.
const BORDER: [&str; 4] = [
    "rotators/export/src/lib.rs",
    "rotators/export/src/library.rs",
    "rotators/plugin/src/library.rs",
    "rotators/sdk/src/library.rs",
];

#[test]
fn only_the_border_to_c_can_be_unsafe() {
    let workspace = read("Cargo.toml");
    assert!(workspace.contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let workspace = tables(&workspace);
    let mut offences = Vec::new();
    for member in members() {
        let manifest = read(&format!("{}Cargo.toml", member.folder));
        let manifest = tables(&manifest);
        let takes_all = manifest.get("lints").and_then(|lints| lints.get("workspace")).is_some_and(|on| on == "true");
        let at_border = BORDER.iter().any(|file| file.starts_with(&member.folder) && !member.folder.is_empty());
        let has_own = at_border
            && ["rust", "clippy"].iter().all(|tool| {
                let (own, ours) =
                    (manifest.get(&format!("lints.{tool}")), workspace.get(&format!("workspace.lints.{tool}")));
                ours.into_iter().flatten().all(|(lint, level)| {
                    let level = if lint == "unsafe_code" { "\"deny\"" } else { level.as_str() };
                    own.and_then(|own| own.get(lint))
                        .is_some_and(|own| own.trim_matches('"') == level.trim_matches('"'))
                })
            });
        if !takes_all && !has_own {
            offences.push(format!("{} does not take the workspace's lints", member.name));
        }
    }
    for file in rust_files().iter().filter(|file| !BORDER.contains(&file.path.as_str())) {
        let code = code_of(&file.text);
        for (at, _) in identifiers(&code).into_iter().filter(|(_, word)| *word == "unsafe") {
            offences.push(format!("{}:{}", file.path, line_of(&code, at)));
        }
    }
    must_be_empty("unsafe code", offences);
}
