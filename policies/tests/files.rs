//! Every file in `accept/` is accepted; every file or folder in `reject/` is refused with the text beside it.
//!
//! Adding a case is adding a file. `UPDATE_MESSAGES=1 cargo test -p keywheel-policies` writes the texts anew: read the diff.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::path::{Path, PathBuf};

use jiff::civil::date;
use jiff::tz::TimeZone;
use keywheel_policies::{
    BROKEN_ROTATOR, BrokenRotator, Catalogue, Freeze, KnownConsumer, Problem, Problems, RESTING, RotatorSpec, Rotators,
    SettingKind, SettingSpec, SettingsCheck, SettingsOwner, Shape, load, load_settings, load_text,
};

fn setting(name: &str, kind: SettingKind, required: bool) -> SettingSpec {
    SettingSpec { name: name.to_owned(), kind, required, help: format!("the {name}"), names_target: required }
}

fn catalogue() -> Catalogue {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let postgres = RotatorSpec {
        kind: "postgres".to_owned(),
        version: "0.3.1".to_owned(),
        file: None,
        shapes: vec![Shape::InPlace, Shape::Alternating],
        settings: vec![
            setting("host", SettingKind::Text, true),
            setting("port", SettingKind::Integer { min: 1, max: 65_535 }, false),
            setting("database", SettingKind::Text, false),
            setting("tls", SettingKind::Choice(words(&["disable", "require", "verify-ca", "verify-full"])), false),
            setting("ca_file", SettingKind::Text, false),
            setting("insecure", SettingKind::Boolean, false),
            setting("replicas", SettingKind::Texts, false),
            setting("lifetime", SettingKind::Duration, false),
            setting("permissions", SettingKind::Json, false),
        ],
        fields: words(&["dsn", "host", "port", "database"]),
        provider_made: false,
        usage: true,
        last_used: false,
        disable: false,
        self_managed: true,
        check: SettingsCheck::new(|settings| match settings.get("host").and_then(|host| host.as_str()) {
            Some("primary-of-nothing") => Err("`host: primary-of-nothing` needs `replicas`".to_owned()),
            _ => Ok(()),
        }),
        owner: SettingsOwner::none(),
    };
    let apikey = RotatorSpec {
        kind: "apikey".to_owned(),
        version: "0.1.0".to_owned(),
        file: None,
        shapes: vec![Shape::Overlapping],
        settings: vec![
            setting("url", SettingKind::Text, true),
            setting("lifetime", SettingKind::Text, false),
            setting("exclusive", SettingKind::Boolean, false),
        ],
        fields: words(&["key_id", "key"]),
        provider_made: true,
        usage: false,
        last_used: true,
        disable: true,
        self_managed: false,
        check: SettingsCheck::none(),
        owner: SettingsOwner::new(|settings| Some(settings.get("url")?.as_str()?.trim_end_matches('/').to_lowercase())),
    };
    let expiring =
        RotatorSpec { kind: "expiring".to_owned(), fields: words(&["key_id", "key", "expires_at"]), ..apikey.clone() };
    let year_end = Freeze {
        name: "year-end".to_owned(),
        from: date(2026, 12, 20).at(0, 0, 0, 0),
        to: date(2027, 1, 6).at(0, 0, 0, 0),
        timezone: TimeZone::UTC,
    };
    let endless = Freeze {
        name: "endless".to_owned(),
        from: date(2026, 1, 1).at(0, 0, 0, 0),
        to: date(2062, 1, 1).at(0, 0, 0, 0),
        timezone: TimeZone::UTC,
    };
    let why = "the declaration of `mailer` has mistakes".to_owned();
    let broken = BrokenRotator { why, file: "providers/mailer.yaml".to_owned() };
    let rotators: Rotators = [postgres.clone(), apikey, expiring].into_iter().collect();
    let rotators = rotators.with("mailer", || Err(broken));
    let consumers = [
        ("app-file", &["username", "password"][..]),
        ("dsn-file", &["dsn"]),
        ("reload-orders", &[]),
        ("drain-orders", &[]),
    ];
    let consumers = consumers.map(|(name, fields)| {
        let known = KnownConsumer { fields: words(fields), writes_file: name.ends_with("-file") };
        (name.to_owned(), known)
    });
    Catalogue {
        rotators: with_versions(rotators, &postgres),
        freezes: vec![year_end, endless],
        notifiers: words(&["secops", "pager"]),
        consumers: consumers.into_iter().collect(),
    }
}

/// Plugins with several files each, some of which are not what they should be.
fn with_versions(rotators: Rotators, like: &RotatorSpec) -> Rotators {
    let broken = |file: &str| BrokenRotator {
        why: format!("`{file}` is not what it was: its SHA-256 is another"),
        file: file.to_owned(),
    };
    let files = [
        ("lamp", "1.4.2"),
        ("lamp", "1.5.0"),
        ("lamp", "2.0.0"),
        ("twins", "1.0.0"),
        ("twins", "1.0.0"),
        ("loose", "summer"),
        ("patchy", "1.4.2"),
    ];
    let rotators = files.into_iter().zip(1..).fold(rotators, |all, ((kind, version), number)| {
        let (kind, version) = (kind.to_owned(), version.to_owned());
        let file = Some(format!("plugins/{kind}-{number}"));
        let spec = RotatorSpec { kind: kind.clone(), version, file, ..like.clone() };
        all.beside(&kind, move || Ok(spec))
    });
    rotators.beside("patchy", move || Err(broken("plugins/patchy-2")))
}

fn is_settings(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with("keywheel")
}

fn problems(path: &Path) -> Problems {
    if is_settings(path) {
        load_settings(path).err().unwrap_or_default()
    } else {
        load(&[path.to_owned()], &catalogue()).problems
    }
}

/// The files and folders of a folder but for the expected texts, in order.
fn cases(folder: &str) -> Vec<PathBuf> {
    // Relative, so that the texts do not depend on where this is built: tests start in the folder of their crate.
    let entries = Path::new(folder).read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.extension().is_none_or(|e| e != "txt")).collect();
    cases.sort();
    assert!(!cases.is_empty(), "{folder} has no cases");
    cases
}

#[test]
fn accepted() {
    for case in cases("tests/accept") {
        let problems = problems(&case);
        assert!(problems.is_empty(), "{}:\n{}", case.display(), problems.render(false));
        if !is_settings(&case) {
            assert!(!load(&[case], &catalogue()).policies.is_empty());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's switch, not the program's")]
#[test]
fn rejected_with_these_words() {
    let update = std::env::var_os("UPDATE_MESSAGES").is_some();
    let mut wrong = Vec::new();
    for case in cases("tests/reject") {
        let problems = problems(&case);
        assert!(!problems.is_empty(), "{} is accepted", case.display());
        let says_what_to_do = |problem: &Problem| problem.help.is_some() || problem.message.starts_with("expected ");
        assert!(problems.iter().all(says_what_to_do), "{}: {problems:?}", case.display());
        let text = problems.render(false);
        // Planted wherever a file may hold a secret by mistake.
        assert!(
            !text.contains("hunter2") && !problems.to_json().contains("hunter2"),
            "{} leaks:\n{text}",
            case.display()
        );
        let beside = case.with_extension("txt");
        if update {
            std::fs::write(&beside, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if expected != text {
            wrong.push(format!("{}: expected\n{expected}\nfound\n{text}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_policy_of_a_broken_declaration_rests_and_the_others_do_not() {
    let loaded = load(&["tests/reject/rotator-broken.yaml".into(), "tests/accept/smallest.yaml".into()], &catalogue());
    let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [BROKEN_ROTATOR], "nothing else is held against it");
    assert_eq!(loaded.policies.len(), 1);
    let [resting] = loaded.resting.as_slice() else { panic!("{:?}", loaded.resting) };
    assert_eq!((resting.policy.as_str(), resting.secret.as_str()), ("mail-key", "mail/key"));
    assert_eq!((resting.rotator.as_str(), resting.declaration.as_str()), ("mailer", "providers/mailer.yaml"));
}

#[test]
fn of_the_versions_that_fit_the_highest_is_taken() {
    let rotator = |word: &str| {
        let text = std::fs::read_to_string("tests/accept/smallest.yaml").unwrap();
        let text = text.replace("rotator: postgres", &format!("rotator: {word}"));
        let loaded = load_text("smallest.yaml", &text, &catalogue());
        assert!(loaded.problems.is_empty(), "{word}: {}", loaded.problems.render(false));
        (loaded.policies[0].rotator.clone(), loaded.policies[0].rotator_version.clone())
    };
    for (word, kind, version) in [
        ("lamp@1", "lamp", "1.5.0"),
        ("lamp@^1.4", "lamp", "1.5.0"),
        ("lamp@~1.4", "lamp", "1.4.2"),
        ("lamp@=1.4.2", "lamp", "1.4.2"),
        ("lamp@>=1, <3", "lamp", "2.0.0"),
        ("lamp@\">=1, <3\"", "lamp", "2.0.0"),
        ("lamp@*", "lamp", "2.0.0"),
        // One that is listed alone, and is no semantic version.
        ("loose", "loose", "summer"),
        // A file that is broken says nothing of its version: only who asks for exactly another one goes on.
        ("patchy@=1.4.2", "patchy", "1.4.2"),
        ("postgres@0.3", "postgres", "0.3.1"),
    ] {
        assert_eq!(rotator(word), (kind.to_owned(), version.to_owned()), "{word}");
    }
}

#[test]
fn a_policy_rests_where_nobody_knows_which_version_acts() {
    for (word, file) in [
        ("twins@1", "plugins/twins-5"),
        ("twins", "plugins/twins-5"),
        ("patchy@2", "plugins/patchy-2"),
        // The broken one may be a higher one that fits, too.
        ("patchy@1", "plugins/patchy-2"),
        ("patchy@=1.4", "plugins/patchy-2"),
        ("patchy@=1.5.0", "plugins/patchy-2"),
        ("patchy", "plugins/patchy-2"),
    ] {
        let text = std::fs::read_to_string("tests/accept/smallest.yaml").unwrap();
        let text = text.replace("rotator: postgres", &format!("rotator: {word}"));
        let loaded = load_text("smallest.yaml", &text, &catalogue());
        let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!((codes.as_slice(), loaded.policies.len()), ([BROKEN_ROTATOR].as_slice(), 0), "{word}");
        assert_eq!(loaded.resting[0].declaration, file);
    }
}

#[test]
fn a_policy_without_its_version_rests_and_the_others_do_not() {
    for (case, code) in [("rotator-unpinned", "unpinned-rotator"), ("rotator-no-version", "no-such-version")] {
        let file = format!("tests/reject/{case}.yaml");
        let loaded = load(&[file.clone().into(), "tests/accept/list-setting.yaml".into()], &catalogue());
        let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!((codes.as_slice(), loaded.policies.len()), ([code].as_slice(), 1), "{case}");
        assert!(RESTING.contains(&code));
        let [resting] = loaded.resting.as_slice() else { panic!("{:?}", loaded.resting) };
        assert_eq!((resting.declaration.as_str(), resting.rotator.as_str()), (file.as_str(), "lamp"));
        // What rests keeps its name and its secret.
        let loaded = load(&[file.clone().into(), "tests/accept/smallest.yaml".into()], &catalogue());
        let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["duplicate-policy", "duplicate-secret", code], "{case}");
        // With a mistake of its own, it is a mistake.
        let text = std::fs::read_to_string(&file).unwrap().replace("version: 1", "version: 2");
        let loaded = load_text("wrong.yaml", &text, &catalogue());
        let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!((codes.as_slice(), loaded.resting.len()), (["unsupported-version", code].as_slice(), 0), "{case}");
    }
}

/// Whatever it rests for: an account, a secret and the keys of a target that it owns are refused to others, and others go on.
#[test]
fn what_a_policy_that_rests_claims_is_nobody_elses() {
    let account = |rotator: &str, host: &str, user: &str, secret: &str| {
        format!(
            "rotator: {rotator}\ntarget: {{ host: {host} }}\nstrategy: {{ in_place: {{ user: {user}, accept_gap: true }} }}\n\
             secret: {{ name: {secret} }}\n"
        )
    };
    let keys = |rotator: &str, exclusive: bool, secret: &str| {
        format!(
            "rotator: {rotator}\ntarget: {{ url: \"https://keys.example\", exclusive: {exclusive} }}\nstrategy: overlapping\n\
             secret: {{ name: {secret} }}\n"
        )
    };
    let mut cases = Vec::new();
    for (resting, acting) in [("patchy@2", "patchy@=1.4.2"), ("lamp", "lamp@2"), ("postgres@^99", "postgres")] {
        let first = account(resting, "DB.example", "app", "first");
        cases.push((first.clone(), account(acting, "db.example", "app", "second"), ["duplicate-account"].as_slice()));
        cases.push((first.clone(), account(acting, "db.example", "other", "first"), &["duplicate-secret"]));
        cases.push((first.clone(), account(acting, "db.example", "other", "second"), &[]));
        cases.push((first, account(acting, "other.example", "app", "second"), &[]));
    }
    for (first, second) in [(true, false), (false, true), (true, true)] {
        let found = ["duplicate-owner"].as_slice();
        cases.push((keys("apikey@^99", first, "first"), keys("apikey", second, "second"), found));
    }
    cases.push((keys("apikey@^99", false, "first"), keys("apikey", false, "second"), &[]));
    let folder = tempfile::tempdir().unwrap();
    for (resting, acting, expected) in cases {
        // Whichever is read first.
        for names in [["a", "b"], ["b", "a"]] {
            for (name, lines) in names.into_iter().zip([&resting, &acting]) {
                let more = "admin: { secret: its/admin }\nschedule: { every: 30d }\n";
                std::fs::write(
                    folder.path().join(format!("{name}.yaml")),
                    format!("version: 1\npolicy: {name}\n{lines}{more}"),
                )
                .unwrap();
            }
            let loaded = load(&[folder.path().to_owned()], &catalogue());
            let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
            let (rests, others): (Vec<&str>, Vec<&str>) = codes.into_iter().partition(|code| RESTING.contains(code));
            assert_eq!((others.as_slice(), rests.len(), loaded.resting.len()), (expected, 1, 1), "{resting}{acting}");
        }
    }
}
