//! Files that mean harm, or that are just not what they should be: refused at once, with words, in little memory.

#![expect(clippy::unwrap_used, reason = "a panic is the test's failure")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use keywheel_policies::{
    Catalogue, Loaded, RotatorSpec, SettingKind, SettingSpec, SettingsCheck, SettingsOwner, Shape, load, load_settings,
    load_text,
};
use rustix::time::{ClockId, clock_gettime};

/// A second of work, or what a debug build makes of it.
const AT_ONCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });

fn catalogue() -> Catalogue {
    let host = SettingSpec {
        name: "host".to_owned(),
        kind: SettingKind::Text,
        required: true,
        help: String::new(),
        names_target: true,
    };
    let rotator = RotatorSpec {
        kind: "postgres".to_owned(),
        version: "0.3.1".to_owned(),
        file: None,
        shapes: vec![Shape::InPlace, Shape::Alternating],
        settings: vec![host],
        fields: Vec::new(),
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

/// What `f` gives, and for how long this thread worked at it: what else the machine does is not counted.
fn worked<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let begin = now();
    let done = f();
    (done, now() - begin)
}

fn timed(paths: &[PathBuf]) -> Loaded {
    let (loaded, took) = worked(|| load(paths, &catalogue()));
    assert!(took < AT_ONCE, "{paths:?} took {took:?}");
    loaded
}

fn refused(content: &[u8]) -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, content).unwrap();
    let loaded = timed(std::slice::from_ref(&path));
    assert!(loaded.policies.is_empty());
    let text = loaded.problems.render(true);
    assert!(!text.is_empty() && text.len() < 1_000_000, "{} characters", text.len());
    // The same file as settings meets the same walls.
    if content.len() < 10_000 {
        let (read, took) = worked(|| load_settings(&path));
        assert!(read.is_err() && took < AT_ONCE, "{took:?}");
    }
    loaded.problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn a_huge_file_is_not_even_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.yaml");
    File::create(&path).unwrap().set_len(100 * 1024 * 1024).unwrap();
    assert_eq!(codes(&timed(&[path])), ["too-large"]);
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn an_alias_bomb_does_not_go_off() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let m = n - 1;
        writeln!(bomb, "a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}]").unwrap();
    }
    assert_eq!(refused(bomb.as_bytes()), ["too-complex"]);
}

#[test]
fn an_alias_of_itself_ends() {
    assert_eq!(refused(b"a: &a [*a]\n"), ["too-complex"]);
    assert_eq!(refused(b"&a { b: *a }\n"), ["too-complex"]);
}

#[test]
fn nesting_has_a_bottom() {
    let stairs: String = (0..1_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for text in ["[".repeat(500_000), "{a: ".repeat(200_000), "- ".repeat(400_000), stairs] {
        assert_eq!(refused(text.as_bytes()), ["too-complex"]);
    }
}

#[test]
fn many_of_everything() {
    refused("a\n".repeat(500_000).as_bytes());
    refused("- a\n".repeat(250_000).as_bytes());
    refused((0..90_000).fold(String::new(), |text, n| text + "k" + &n.to_string() + ": 1\n").as_bytes());
    refused("owner: a\n".repeat(100_000).as_bytes());
    refused(format!("version: 1\npolicy: {}\n", "x".repeat(900_000)).as_bytes());
    refused(format!("version: 1\n{}: 1\n", "x".repeat(900_000)).as_bytes());
    refused(format!("version: 1\nschedule: {{ cron: \"{}\" }}\n", "1,".repeat(400_000)).as_bytes());
    refused(format!("# {}\n", "x".repeat(900_000)).as_bytes());
}

#[test]
fn bytes_that_are_no_text() {
    assert_eq!(refused(b"version: 1\0\n"), ["control-character"]);
    assert_eq!(refused(&[0; 4096]), ["control-character"]);
    assert_eq!(refused(b"\xff\xfev\0e\0r\0"), ["not-utf-8"]);
    assert_eq!(refused(b"policy: \xc3\x28\n"), ["not-utf-8"]);
    assert_eq!(refused(b""), ["empty"]);
    assert_eq!(refused(b"\xef\xbb\xbf"), ["empty"]);
    assert_eq!(refused(b"---\n---\n---\n").len(), 1);
}

const FINE: &str = "version: 1\npolicy: orders\nrotator: postgres\ntarget: { host: pg1.internal }\nadmin: self\n\
                    strategy: { in_place: { user: orders, accept_gap: true } }\nsecret: { name: orders }\n\
                    schedule: { manual: true }\n";

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let loaded = load_text("p.yaml", &format!("\u{feff}{FINE}"), &catalogue());
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    let loaded = load_text("p.yaml", &FINE.replace('\n', "\r\n"), &catalogue());
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
}

#[test]
fn paths_that_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(codes(&timed(&[folder.path().join("missing.yaml")])), ["unreadable"]);
    assert!(
        load_settings(folder.path()).is_err_and(|problems| problems.iter().all(|problem| problem.code == "not-a-file"))
    );
    // An empty folder is a fleet of none.
    assert!(timed(&[folder.path().to_owned()]).problems.is_empty());
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
    use std::os::unix::fs::symlink;
    assert_eq!(codes(&timed(&[PathBuf::from("/dev/zero")])), ["not-a-file"]);
    let folder = tempfile::tempdir().unwrap();
    symlink(folder.path(), folder.path().join("loop")).unwrap();
    symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
    fs::write(folder.path().join("orders.yaml"), FINE).unwrap();
    let loaded = timed(&[folder.path().to_owned()]);
    assert!(codes(&loaded).contains(&"unreadable"), "{:?}", codes(&loaded));
    assert_eq!(loaded.policies.len(), 1, "the same file by another way is the same file");
}

#[test]
fn files_are_read_in_the_order_of_names_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, policy: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, FINE.replace("orders", policy)).unwrap();
        path
    };
    let first = write("b/z.yml", "second");
    write("a.yaml", "first");
    write("c.yaml", "third");
    write("notes.txt", "never");
    write(".hidden/x.yaml", "never");
    let loaded = timed(&[folder.path().to_owned(), first]);
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    let names: Vec<&str> = loaded.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
}

/// A fleet of `count` accounts, with this text somewhere in the policy.
fn fleet(count: usize, extra: &str) -> String {
    let mut text = format!(
        "version: 1\npolicy: \"db-${{n}}\"\nrotator: postgres\ntarget: {{ host: pg1.internal }}\nadmin: {{ secret: pg1/rotator }}\n\
         strategy: {{ alternating: {{ users: [\"u${{n}}_a\", \"u${{n}}_b\"] }} }}\nsecret: {{ name: \"db/${{n}}\" }}\n\
         schedule: {{ cron: \"0 3 * * mon\", timezone: Europe/Berlin, window: {{ from: \"02:00\", to: \"05:00\" }} }}\n{extra}for_each:\n"
    );
    for n in 0..count {
        writeln!(text, "  - {{ n: {n} }}").unwrap();
    }
    text
}

#[test]
fn a_fleet_of_ten_thousand() {
    let (loaded, took) = worked(|| load_text("fleet.yaml", &fleet(10_000, "max_age: 10d\n"), &catalogue()));
    assert!(loaded.problems.is_empty(), "{}", loaded.problems.render(false));
    assert_eq!(loaded.policies.len(), 10_000);
    assert!(took < Duration::from_secs(20), "{took:?}");
    eprintln!("10,000 policies in {took:?}");
}

#[test]
fn a_mistake_in_a_fleet_is_told_once() {
    let loaded = load_text("fleet.yaml", &fleet(5_000, "max_age: 8d\ncolour: blue\n"), &catalogue());
    assert_eq!(codes(&loaded), ["max-age-cannot-be-kept", "unknown-key"]);
    let related = &loaded.problems.iter().next().unwrap().related;
    assert!(related.as_ref().is_some_and(|(place, _)| place.line == 12), "{related:?}");
}

/// A fleet with these entries, and with this text in each policy.
fn heavy(entries: impl Iterator<Item = String>, extra: &str) -> Vec<u8> {
    let mut text = FINE.replace(": orders", ": \"orders-${n}\"") + extra + "for_each:\n";
    for entry in entries {
        writeln!(text, "  - {{ {entry} }}").unwrap();
    }
    text.into_bytes()
}

#[test]
fn variables_do_not_blow_a_text_up() {
    let long = "x".repeat(200_000);
    let entries = || (0..3).map(|n| format!("n: n{n}, v: \"{long}\""));
    // Four gigabytes, if it were done.
    let label = format!("labels: {{ a: \"{}\" }}\n", "${v}".repeat(20_000));
    assert_eq!(refused(&heavy(entries(), &label)), ["too-long"]);
    // Wherever a text may stand.
    let check = format!("verify: [{{ sql: \"{}\" }}]\n", "${v}".repeat(20_000));
    assert_eq!(refused(&heavy(entries(), &check)), ["too-long"]);
    // Each one is within the limit, and there are too many of them.
    let short = "x".repeat(100);
    let labels = (0..300).fold(String::new(), |text, n| text + &format!("l{n}: \"{}\", ", "${v}".repeat(600)));
    let entries = (0..1_000).map(|n| format!("n: n{n}, v: \"{short}\""));
    assert_eq!(refused(&heavy(entries, &format!("labels: {{ {labels} }}\n"))), ["too-large"]);
    assert_small();
}

#[test]
fn rounds_do_not_blow_a_file_up() {
    let entries = || (0..20_000).map(|n| format!("n: n{n}"));
    // Twelve gigabytes of the same statements.
    let statement = format!("{{ sql: \"SELECT 1{}\" }}, ", "y".repeat(3_000));
    assert_eq!(refused(&heavy(entries(), &format!("verify: [{}login]\n", statement.repeat(200)))), ["too-large"]);
    // Many small things are as heavy as a few large ones.
    assert_eq!(refused(&heavy(entries(), &format!("verify: [{}login]\n", "login, ".repeat(5_000)))), ["too-large"]);
    let labels = (0..2_000).fold(String::new(), |text, n| text + &format!("l{n}: x, "));
    assert_eq!(refused(&heavy(entries(), &format!("labels: {{ {labels} }}\n"))), ["too-large"]);
    // A text that is filled in for nothing takes time all the same.
    let dull = format!("labels: {{ a: \"{}\" }}\n", "${n}".repeat(100_000));
    assert_eq!(refused(&heavy(entries(), &dull)), ["too-large", "too-long"]);
    assert_small();
}

#[test]
fn aliases_of_aliases_do_not_blow_a_text_up() {
    let text = "x".repeat(500_000);
    let many = |name: &str| format!("*{name}, ").repeat(95);
    let bomb = format!("a: &a \"{text}\"\nb: &b [{}x]\nc: [{}x]\n", many("a"), many("b"));
    refused(bomb.as_bytes());
    assert_small();
}

/// Looks at what all tests of this file together have ever held.
fn assert_small() {
    let Ok(status) = fs::read_to_string(Path::new("/proc/self/status")) else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 1024 * 1024, "{kib} KiB");
}

#[test]
fn memory_stays_small() {
    assert_small();
}
