//! What is written of consumers arrives in the model, and what is not written has the documented defaults.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keywheel_policies::{
    Catalogue, ConsumerKind, ConsumerSpec, Exec, ExecInput, File, FileSignal, KnownConsumer, Problems, Reference,
    Settings, Signal, Webhook, load, load_settings, load_text,
};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn at(path: &str) -> PathBuf {
    Path::new("tests/accept").join(path)
}

/// Settings with these lines at their end, in this folder.
fn with(folder: &Path, lines: &str) -> Result<Settings, Problems> {
    let file = folder.join("keywheel.yaml");
    let begin = "version: 1\nstate: { sqlite: s.db }\nsecrets: { local: { path: s, master_key: { file: k } } }\n";
    fs::write(&file, format!("{begin}policies: []\n{lines}\n")).unwrap();
    load_settings(&file)
}

fn codes(problems: &Problems) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn each_kind() {
    let settings = load_settings(&at("keywheel-consumers.yaml")).unwrap();
    let plain = |path: PathBuf| File { path, template: None, mode: 0o600, owner: None, group: None, signal: None };
    let template = "PGUSER=${username}\nPGPASSWORD='${password}'\nUSER=${username}\nHOME=$HOME $${HOME}\n";
    let expected = [
        ("plain-file", ConsumerKind::File(plain(at("fields.json")))),
        (
            "app-file",
            ConsumerKind::File(File {
                template: Some(template.to_owned()),
                mode: 0o640,
                owner: Some("orders".to_owned()),
                group: Some("orders-readers".to_owned()),
                signal: Some(FileSignal { pid_file: at("orders.pid"), signal: Signal::Hup }),
                ..plain(at("../programs/db.env"))
            }),
        ),
        (
            "block",
            ConsumerKind::File(File {
                template: Some("password: ${password}\n".to_owned()),
                mode: 0o440,
                signal: Some(FileSignal { pid_file: "/run/orders.pid".into(), signal: Signal::Usr2 }),
                ..plain("/block.env".into())
            }),
        ),
        (
            "plain-exec",
            ConsumerKind::Exec(Exec {
                program: at("../programs/reload"),
                arguments: Vec::new(),
                input: ExecInput::Nothing,
                timeout: Duration::from_secs(20),
            }),
        ),
        (
            "reload-orders",
            ConsumerKind::Exec(Exec {
                program: at("../programs/reload"),
                arguments: texts(&["--now", "", "${x}", "a b"]),
                input: ExecInput::Fields,
                timeout: Duration::from_secs(300),
            }),
        ),
        (
            "hook",
            ConsumerKind::Webhook(Webhook {
                url: "http://hooks.internal/".to_owned(),
                signed_with: vec![Reference::Env("HOOK_KEY".to_owned()), Reference::File(at("hook.key"))],
                ca_file: None,
            }),
        ),
    ];
    let expected = expected.map(|(name, does)| ConsumerSpec { name: name.to_owned(), does });
    assert_eq!(settings.consumers, expected);
    let fields: Vec<_> = settings.consumers.iter().map(ConsumerSpec::fields).collect();
    let files: Vec<_> = settings.consumers.iter().map(|spec| KnownConsumer::from(spec).writes_file).collect();
    assert_eq!(files, [true, true, true, false, false, false]);
    // `$${HOME}` is no placeholder.
    let asked = [&[][..], &["username", "password"], &["password"], &[], &[], &[]].map(texts);
    assert_eq!(fields, asked);
}

/// The catalogue of the settings that name every kind.
fn known() -> Catalogue {
    let settings = Some(load_settings(&at("keywheel-consumers.yaml")).unwrap());
    let consumers = settings.iter().flat_map(|settings| &settings.consumers);
    let consumers = consumers.map(|consumer| (consumer.name.clone(), KnownConsumer::from(consumer))).collect();
    Catalogue { consumers, ..Catalogue::default() }
}

#[test]
fn a_declared_consumer_is_known_to_policies() {
    let text = fs::read_to_string(at("smallest.yaml")).unwrap();
    let text = format!("{text}after_promote: [app-file, hook]\nbefore_revoke: [hook, plain-exec, nobody]\n");
    let problems = load_text("p.yaml", &text, &known()).problems;
    let unknown = problems.iter().filter(|problem| problem.code == "unknown-consumer");
    assert_eq!(unknown.count(), 1, "{}", problems.render(false));
}

#[test]
fn names_come_from_the_settings() {
    let consumers = ["reload-orders", "app-file", "dsn-file"].map(|name| (name.to_owned(), KnownConsumer::default()));
    let known = Catalogue { consumers: consumers.into_iter().collect(), ..Catalogue::default() };
    let problems = load(&[at("consumers-by-variable.yaml")], &known).problems;
    assert!(!codes(&problems).contains(&"unknown-consumer"), "{}", problems.render(false));
    // Where settings are not known, no names are.
    let unknown = load(&[at("consumers-by-variable.yaml")], &Catalogue::default()).problems;
    assert!(codes(&unknown).contains(&"unknown-consumer"), "{}", unknown.render(false));
    assert!(unknown.render(false).contains("consumers are declared in keywheel.yaml, under `consumers`"));
}

#[test]
fn a_program_is_one_that_could_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("reload");
    let exec = |text: &str| with(folder.path(), &format!("consumers: {{ a: {{ exec: {{ command: [{text}] }} }} }}"));
    assert_eq!(codes(&exec("./reload").unwrap_err()), ["no-such-program"]);
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(codes(&exec("./reload").unwrap_err()), ["not-executable"]);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let whole = program.to_str().unwrap().to_owned();
    for text in ["./reload", whole.as_str()] {
        let settings = exec(text).unwrap();
        let ConsumerKind::Exec(exec) = &settings.consumers[0].does else { panic!("{settings:?}") };
        assert!(exec.program.ends_with("reload") && exec.program.is_absolute(), "{}", exec.program.display());
    }
    assert_eq!(codes(&exec("reload").unwrap_err()), ["bad-path"], "PATH is not searched, nor this folder");
    let spaced = folder.path().join("re load");
    fs::copy(&program, &spaced).unwrap();
    assert!(exec("\"./re load\"").is_ok());
    // A link to nowhere is no program.
    fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink("nowhere", &program).unwrap();
    assert_eq!(codes(&exec("./reload").unwrap_err()), ["no-such-program"]);
}

#[test]
fn modes_that_keep_a_file_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |mode: u32| {
        let line = format!("consumers: {{ a: {{ file: {{ path: a.env, mode: \"{mode:04o}\" }} }} }}");
        let settings = with(folder.path(), &line);
        settings.map(|settings| match &settings.consumers[0].does {
            ConsumerKind::File(file) => file.mode,
            ConsumerKind::Exec(_) | ConsumerKind::Webhook(_) => panic!("{settings:?}"),
        })
    };
    for closed in [0o600, 0o640, 0o440, 0o400, 0o700, 0o750, 0] {
        assert_eq!(mode(closed).unwrap(), closed, "{closed:o}");
    }
    for bit in [0o4000, 0o2000, 0o1000, 0o020, 0o004, 0o002, 0o001] {
        assert_eq!(codes(&mode(0o600 | bit).unwrap_err()), ["open-mode"], "{bit:o}");
    }
}

#[test]
fn there_are_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let consumers = |count: usize| {
        let lines: String = (0..count).map(|n| format!("  n{n}: {{ file: {{ path: {n}.env }} }}\n")).collect();
        with(folder.path(), &format!("consumers:\n{lines}"))
    };
    assert_eq!(consumers(1_000).unwrap().consumers.len(), 1_000);
    assert_eq!(codes(&consumers(1_001).unwrap_err()), ["too-many"]);
    let named = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        let consumers = names.iter().map(|name| (name.clone(), KnownConsumer::default())).collect();
        let known = Catalogue { consumers, ..Catalogue::default() };
        let text = fs::read_to_string(at("smallest.yaml")).unwrap();
        let text = format!("{text}after_promote: [{}]\n", names.join(", "));
        codes(&load_text("p.yaml", &text, &known).problems)
    };
    assert!(!named(50).contains(&"too-many"));
    assert!(named(51).contains(&"too-many"));
}

#[test]
fn what_is_absent_now_stops_nobody_who_only_uses_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keywheel.yaml");
    let text = |consumers: &str| {
        format!(
            "version: 1\nstate: {{ sqlite: s }}\nsecrets: {{ local: {{ path: p, master_key: {{ file: k }} }} }}\npolicies: []\n{consumers}"
        )
    };
    let absent = "consumers: { a: { exec: { command: [./none] } }, b: { file: { path: none/x } } }";
    fs::write(&file, text(absent)).unwrap();
    assert_eq!(codes(&keywheel_policies::load_settings(&file).unwrap_err()), ["no-such-program", "no-such-folder"]);
    let (settings, problems) = keywheel_policies::load_settings_to_use(&file).unwrap();
    assert_eq!((settings.consumers.len(), problems.len()), (2, 2));
    // Any other mistake does.
    fs::write(&file, text(&absent.replace("file:", "fiel:"))).unwrap();
    keywheel_policies::load_settings_to_use(&file).unwrap_err();
}
