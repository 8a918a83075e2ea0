//! Whatever is done to a file, reading it ends, and what is said of it holds no secret.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::fs;
use std::path::Path;

use keywheel_policies::{
    Catalogue, RotatorSpec, SettingKind, SettingSpec, SettingsCheck, SettingsOwner, Shape, load_settings, load_text,
};
use proptest::prelude::*;

const CANARY: &str = "hunter2";

fn catalogue() -> Catalogue {
    let text = |name: &str, required| SettingSpec {
        name: name.to_owned(),
        kind: SettingKind::Text,
        required,
        help: String::new(),
        names_target: true,
    };
    let rotator = RotatorSpec {
        kind: "postgres".to_owned(),
        version: "0.3.1".to_owned(),
        file: None,
        shapes: vec![Shape::InPlace, Shape::Alternating],
        settings: vec![text("host", true), text("database", false), text("tls", false)],
        fields: vec!["dsn".to_owned()],
        provider_made: false,
        usage: true,
        last_used: false,
        disable: false,
        self_managed: true,
        check: SettingsCheck::none(),
        owner: SettingsOwner::none(),
    };
    Catalogue { rotators: [rotator].into_iter().collect(), ..Catalogue::default() }
}

/// All files of the other tests, good and bad.
fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for folder in ["library", "tests/accept", "tests/reject"] {
        for entry in Path::new(folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                texts.push(String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
            }
        }
    }
    texts
}

#[derive(Debug, Clone)]
enum Edit {
    Remove(usize, usize),
    Insert(usize, String),
    Copy(usize, usize, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let odd = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "\"",
        "'",
        "|",
        ">",
        "\n",
        "  ",
        "\t",
        "- ",
        "#",
        " #",
        "&a ",
        "*a",
        "!x ",
        "? ",
        "${",
        "}",
        "$${",
        "ü",
        "日本",
        "\u{202e}",
        "\r",
        "---\n",
        "...",
        "<<: ",
        "~",
        "null",
        "0",
        "1e9",
        "%",
        "@",
        "`",
        "\\x00",
        "password: ",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
    ]);
    let edit = prop_oneof![
        (0_usize..2_000, 0_usize..40).prop_map(|(at, length)| Edit::Remove(at, length)),
        (0_usize..2_000, odd).prop_map(|(at, text)| Edit::Insert(at, text.to_owned())),
        (0_usize..2_000, 0_usize..80, 0_usize..2_000).prop_map(|(from, length, to)| Edit::Copy(from, length, to)),
    ];
    prop::collection::vec(edit, 0..6)
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let clamp = |at: usize| at % (chars.len() + 1);
        match edit {
            Edit::Remove(at, length) => {
                let at = clamp(*at);
                let end = (at + length).min(chars.len());
                chars.drain(at..end);
            }
            Edit::Insert(at, text) => {
                let at = clamp(*at);
                chars.splice(at..at, text.chars());
            }
            Edit::Copy(from, length, to) => {
                let (from, to) = (clamp(*from), clamp(*to));
                let part: Vec<char> = chars[from..(from + length).min(chars.len())].to_vec();
                chars.splice(to..to, part);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn reading_always_ends(text in prop::sample::select(texts()), edits in edits()) {
        let text = apply(&text, &edits);
        let loaded = load_text("p.yaml", &text, &catalogue());
        for colour in [false, true] {
            let shown = loaded.problems.render(colour);
            prop_assert_eq!(shown.is_empty(), loaded.problems.is_empty());
        }
        for problem in &loaded.problems {
            let lines = u32::try_from(text.replace("\r\n", "\n").split(['\n', '\r']).count()).unwrap();
            prop_assert!(problem.place.line <= lines, "{:?} of {lines} lines", problem.place);
        }
        serde_json::from_str::<serde_json::Value>(&loaded.problems.to_json()).unwrap();
    }

    #[test]
    fn a_password_that_stands_where_none_belongs_is_never_shown(
        place in prop::sample::select(vec!["admin: ", "target: { ", "secret: { ", "schedule: { ", "strategy: { ", ""]),
        key in prop::sample::select(vec!["password", "Password", "db-passwd", "api_key", "TOKEN", "master-key", "admin_pwd_password"]),
        quote in prop::sample::select(vec!["", "\"", "'"]),
        tail in prop::sample::select(vec![" #", " }", ", x: 1 }", "\n", " ü", ""]),
        edits in edits(),
    ) {
        // The line itself stays as it is; whatever else is done around it.
        let line = format!("{place}{key}: {quote}{CANARY}{quote}{tail}");
        let before = apply("version: 1\npolicy: orders\n", &edits);
        for text in [
            format!("{before}\n{line}\nschedule: {{ every: 1 }}\n"),
            format!("{line}\n{before}"),
            format!("a: [{{ {line} }}]\n{before}"),
        ] {
            let loaded = load_text("p.yaml", &text, &catalogue());
            let shown = loaded.problems.render(false) + &loaded.problems.render(true) + &loaded.problems.to_json();
            prop_assert!(!shown.contains(CANARY), "{text}\n----\n{shown}");
        }
    }

    #[test]
    fn what_people_are_told_by_is_never_shown(
        line in prop::sample::select(vec![
            "slack: { url: https://hooks.example.com/services/T0/hunter2 }",
            "teams: { url: { file: \"https://hooks.example.com/hunter2\" } }",
            "slack: https://hooks.example.com/services/T0/hunter2",
            "webhook: { url: https://hooks.example.com/, signed_with: whsec_hunter2 }",
            "webhook: { url: \"https://keywheel:hunter2@hooks.example.com/\" }",
            "signed_with: hunter2",
            "email: { password: hunter2 }",
        ]),
        tail in prop::sample::select(vec![" #", " }", ", x: 1 }", "\n", " ü", ""]),
        edits in edits(),
    ) {
        // The line itself stays as it is; whatever else is done around it.
        let before = apply("version: 1\npolicies: []\nnotify: { to: [a] }\nnotifiers:\n  b: { log: {} }\n  a:\n", &edits);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keywheel.yaml");
        for text in [format!("{before}    {line}{tail}\n"), format!("notifiers: {{ a: {{ {line}{tail} }} }}\n{before}")] {
            fs::write(&path, &text).unwrap();
            let problems = load_settings(&path).unwrap_err();
            let shown = problems.render(false) + &problems.render(true) + &problems.to_json();
            prop_assert!(!shown.contains(CANARY), "{text}\n----\n{shown}");
        }
    }
}

#[test]
fn settings_are_read_by_the_same_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keywheel.yaml");
    fs::write(
        &path,
        format!("version: 1\nsecrets: {{ local: {{ path: s, master_key: {CANARY}, password: {CANARY} }} }}\n"),
    )
    .unwrap();
    let problems = load_settings(&path).unwrap_err();
    let shown = problems.render(true) + &problems.to_json();
    assert!(shown.contains("secret-in-clear") && !shown.contains(CANARY), "{shown}");
}

#[test]
fn json_names_place_code_and_help() {
    let loaded = load_text("p.yaml", "version: 1\nshedule: 1\n", &catalogue());
    let json: serde_json::Value = serde_json::from_str(&loaded.problems.to_json()).unwrap();
    let unknown = json.as_array().unwrap().iter().find(|problem| problem["code"] == "unknown-key").unwrap();
    assert_eq!(
        *unknown,
        serde_json::json!({
            "file": "p.yaml",
            "line": 2,
            "column": 1,
            "length": 7,
            "code": "unknown-key",
            "message": "a policy has no key `shedule`",
            "help": "did you mean `schedule`?",
        })
    );
}
