//! `keywheel plugin install` and `verify`: what they change, what they refuse, and what they never start.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keywheel_plugin::sha256_of;
use serde_json::Value;
use tempfile::TempDir;

use super::{example, library};

const SETTINGS: &str = "# Ours.\nversion: 1\nstate: { sqlite: state.db }   # the journal\n\
    secrets: { local: { path: secrets.db, master_key: { file: master.key } } }\npolicies: []\n";

/// A folder with settings, in which the program runs.
struct Folder(TempDir);

impl Folder {
    fn new(more: &str) -> Self {
        let folder = Folder(TempDir::new().expect("a temporary folder"));
        std::fs::write(folder.path("keywheel.yaml"), format!("{SETTINGS}{more}")).expect("ours");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn settings(&self) -> String {
        std::fs::read_to_string(self.path("keywheel.yaml")).expect("they are there")
    }

    fn keywheel(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
        command.current_dir(self.0.path()).arg("plugin").args(arguments).env_remove("FAILPOINTS");
        command.output().expect("the binary runs")
    }

    #[track_caller]
    fn json(&self, exit: i32, arguments: &[&str]) -> Value {
        let output = self.keywheel(&[arguments, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", err(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Refused with these words, and nothing became another.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], said: &str) {
        let before = (self.settings(), self.files());
        let output = self.keywheel(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(said), "{arguments:?}: {}", err(&output));
        assert_eq!((self.settings(), self.files()), before, "{arguments:?}");
    }

    fn files(&self) -> Vec<PathBuf> {
        let folder = self.path("plugins").read_dir();
        let mut files: Vec<PathBuf> =
            folder.into_iter().flatten().map(|entry| entry.expect("readable").path()).collect();
        files.sort();
        files
    }

    /// The example as another version, or another plugin.
    fn variant(&self, file: &str, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(example("slots.py")).expect("the example is there");
        assert!(text.contains(from));
        std::fs::write(self.path(file), text.replacen(from, to, 1)).expect("ours");
        file.to_owned()
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn slots() -> String {
    example("slots.py").display().to_string()
}

fn hash(file: &Path) -> String {
    sha256_of(file).expect("it is readable")
}

#[test]
fn installing_lists_a_copy_with_its_hash() {
    let folder = Folder::new("");
    let sha256 = hash(&example("slots.py"));
    let tried = folder.json(0, &["install", &slots(), "--connect", "8099", "--dry-run"]);
    assert_eq!((&tried["outcome"], &tried["descriptor"]["version"]), (&"dry-run".into(), &"1.0.0".into()));
    assert_eq!((folder.settings().as_str(), folder.files()), (SETTINGS, Vec::new()));

    let installed = folder.json(0, &["install", &slots(), "--connect", "8099"]);
    assert_eq!((&installed["outcome"], &installed["sha256"]), (&"installed".into(), &sha256.as_str().into()));
    let lines = format!(
        "plugins:\n  slots:\n    file: \"plugins/slots-1.0.0\"\n    sha256: \"{sha256}\"\n    connect: [8099]\n"
    );
    assert_eq!(folder.settings(), format!("{SETTINGS}{lines}"));
    let copy = folder.path("plugins/slots-1.0.0");
    assert_eq!(folder.files(), std::slice::from_ref(&copy));
    assert_eq!(copy.metadata().expect("it is there").permissions().mode() & 0o7777, 0o755);
    let listed = folder.json(0, &["list"]);
    assert_eq!((&listed[0]["version"], &listed[0]["form"]), (&"1.0.0".into(), &"executable".into()));

    let again = folder.json(0, &["install", &slots()]);
    assert_eq!((&again["outcome"], &again["descriptor"]), (&"there-already".into(), &Value::Null));
    assert_eq!(folder.settings(), format!("{SETTINGS}{lines}"));
    // Listed, and lost: what is listed is put there again.
    std::fs::remove_file(&copy).expect("ours");
    assert_eq!(folder.json(7, &["verify"])[0]["name"], "slots");
    assert_eq!(folder.json(0, &["install", &slots()])["outcome"], "installed");
    assert_eq!((hash(&copy), folder.settings()), (sha256, format!("{SETTINGS}{lines}")));
}

#[test]
fn a_second_version_stands_beside_the_first() {
    let folder = Folder::new("");
    folder.json(0, &["install", &slots()]);
    let second = folder.variant("next", "\"version\": \"1.0.0\"", "\"version\": \"1.1.0\"");
    let installed = folder.json(0, &["install", &second, "--name", "slots"]);
    assert_eq!(installed["beside_others"], true);
    let (first, second) = (hash(&example("slots.py")), hash(&folder.path(&second)));
    let lines = format!(
        "plugins:\n  slots:\n    - file: \"plugins/slots-1.0.0\"\n      sha256: \"{first}\"\n    \
         - file: \"plugins/slots-1.1.0\"\n      sha256: \"{second}\"\n"
    );
    assert_eq!(folder.settings(), format!("{SETTINGS}{lines}"));
    assert_eq!(folder.json(0, &["show", "slots@1"])["version"], "1.1.0");
    assert_eq!(folder.json(0, &["show", "slots@~1.0"])["version"], "1.0.0");
    folder.refuses(&["show", "slots"], "`slots` is there in `1.0.0`, `1.1.0`");
    folder.refuses(&["show", "slots@2"], "`slots` is there in `1.0.0`, `1.1.0`");
    assert_eq!(folder.json(0, &["verify", "slots"]).as_array().map(Vec::len), Some(2));

    std::fs::write(folder.path("plugins/slots-1.1.0"), "#!/bin/sh\n").expect("ours");
    let verified = folder.json(7, &["verify"]);
    assert_eq!(verified[0]["fault"], Value::Null);
    assert!(verified[1]["fault"].as_str().is_some_and(|fault| fault.contains("is not what it was")), "{verified}");
    folder.refuses(&["verify", "slot"], "there is no plugin `slot`");
}

#[test]
fn what_cannot_be_installed_changes_nothing() {
    let folder = Folder::new("");
    folder.refuses(&["install", &slots(), "--name", "lamp"], "it says that it is `slots`, and not `lamp`");
    folder.refuses(&["install", "/dev/zero"], "`/dev/zero` is no regular file");
    folder.refuses(&["install", "nothing"], "cannot read `nothing`");
    folder.refuses(&["install", &slots(), "--library"], "does not start as it should");
    std::fs::write(folder.path("silent"), "#!/bin/sh\nexit 3\n").expect("ours");
    folder.refuses(&["install", "silent"], "its process ended");
    let outside = folder.variant("outside", "\"version\": \"1.0.0\"", "\"version\": \"../../1\"");
    folder.refuses(&["install", &outside], "it says that its version is `../../1`");
    let unordered = folder.variant("unordered", "\"version\": \"1.0.0\"", "\"version\": \"summer\"");
    folder.refuses(&["install", &unordered], "it says that its version is `summer`, which no policy can ask for");
    let plus = folder.variant("plus", "\"kind\": \"slots\"", "\"kind\": \"slots+1\"");
    folder.refuses(&["install", &plus], "it says that its name is `slots+1`, of which no file's name can be made");
    let ours = folder.variant("ours", "\"kind\": \"slots\"", "\"kind\": \"postgres\"");
    folder.refuses(&["install", &ours], "a rotator of this build is called `postgres` already");
    // Another file in its place.
    std::fs::create_dir(folder.path("plugins")).expect("ours");
    std::fs::write(folder.path("plugins/slots-1.0.0"), "another").expect("ours");
    folder.refuses(&["install", &slots()], "slots-1.0.0` is there, and it is another file");
    std::fs::remove_file(folder.path("plugins/slots-1.0.0")).expect("ours");
    // The same version of another file.
    folder.json(0, &["install", &slots()]);
    let twin = folder.variant("twin", "\"version\": \"1.0.0\"", "\"version\":  \"1.0.0\"");
    folder.refuses(&["install", &twin], "version 1.0.0 of `slots` is listed already, and it is another file");
}

/// Nobody writes to them, so whoever opened one would wait for ever.
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = Folder::new("");
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it starts").success());
    let pipe = pipe.display().to_string();
    folder.refuses(&["install", &pipe], "pipe` is no regular file");
    let key = "RWTyV7aNMHw+DBVK54jVRw2mIVJ+sRsYHeYqFDzr6EOztbrf74/wLdK3";
    folder.refuses(&["install", &slots(), "--signature", &pipe, "--public-key", key], "it is no regular file");
    std::fs::create_dir(folder.path("plugins")).expect("ours");
    std::fs::rename(folder.path("pipe"), folder.path("plugins/slots-1.0.0")).expect("ours");
    folder.refuses(&["install", &slots()], "slots-1.0.0` is there, and it is another file");
}

/// The settings cannot be replaced: beside a file with so long a name there is no room for the name of the next one.
#[test]
fn what_an_installation_made_is_taken_away_when_it_fails() {
    let folder = Folder::new("");
    let long = folder.path(&"k".repeat(254));
    std::fs::rename(folder.path("keywheel.yaml"), &long).expect("ours");
    std::os::unix::fs::symlink(&long, folder.path("keywheel.yaml")).expect("ours");
    let output = folder.keywheel(&["install", &slots()]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("nothing was changed") && !err(&output).contains("panicked"), "{}", err(&output));
    assert!(err(&output).contains("add these lines to the settings"), "{}", err(&output));
    assert_eq!((folder.settings().as_str(), folder.path("plugins").exists()), (SETTINGS, false));
    // What was there before stays, also where the one that is listed would have been the same.
    std::fs::create_dir(folder.path("plugins")).expect("ours");
    std::fs::copy(example("slots.py"), folder.path("plugins/slots-1.0.0")).expect("ours");
    let output = folder.keywheel(&["install", &slots()]);
    assert!(err(&output).contains("nothing was changed"), "{}", err(&output));
    assert_eq!(folder.files(), [folder.path("plugins/slots-1.0.0")]);
}

#[test]
fn who_may_read_the_settings_may_read_them_after() {
    let folder = Folder::new("");
    let settings = folder.path("keywheel.yaml");
    std::fs::set_permissions(&settings, PermissionsExt::from_mode(0o640)).expect("ours");
    // Only root can give a file away.
    let given = std::os::unix::fs::chown(&settings, Some(4711), Some(4712)).is_ok();
    let line = format!(
        "umask 077 && exec '{}' plugin install '{}'",
        env!("CARGO_BIN_EXE_keywheel"),
        example("slots.py").display()
    );
    let output = Command::new("sh").current_dir(folder.0.path()).args(["-c", &line]).output().expect("it runs");
    assert!(output.status.success(), "{}", err(&output));
    let found = settings.metadata().expect("it is there");
    assert_eq!(found.permissions().mode() & 0o7777, 0o640);
    assert!(!given || (found.uid(), found.gid()) == (4711, 4712), "{found:?}");
    assert_eq!(folder.path("plugins").metadata().expect("it is there").permissions().mode() & 0o7777, 0o755);
}

#[test]
fn a_signature_is_verified_before_anything_runs() {
    let signed = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("rotators/plugin/tests/signed").join(name);
    let key = std::fs::read_to_string(signed("key.pub")).expect("it is there");
    let key = key.lines().nth(1).expect("minisign writes two lines");
    let folder = Folder::new("");
    let minisig = signed("lamp.minisig").display().to_string();
    // Started, it would say what it is, and fail for that.
    let named = ["install", &slots(), "--name", "other", "--signature", &minisig, "--public-key", key];
    folder.refuses(&named, "the signature is of other bytes, or was changed itself");
    folder.refuses(&["install", &slots(), "--signature", &minisig], "--public-key");
    // The signed file is no plugin: that is seen only because it was started.
    let lamp = signed("lamp").display().to_string();
    folder.refuses(&["install", &lamp, "--signature", &minisig, "--public-key", key], "its process ended");
    // What stands beside a signed one must be signed by the same.
    let listed = format!(
        "plugins:\n  slots:\n    file: \"{lamp}\"\n    sha256: \"{}\"\n    signature: \"{minisig}\"\n    public_key: \"{key}\"\n",
        hash(&signed("lamp"))
    );
    let folder = Folder::new(&listed);
    folder.refuses(
        &["install", &slots()],
        "`slots` is listed with a signature, and this file is not signed with the same key",
    );
    folder.refuses(&["install", &slots(), "--name", "slots"], &format!("say `--signature FILE --public-key {key}`"));
}

#[test]
fn a_library_is_heard_in_its_confinement() {
    let folder = Folder::new("");
    let library = library::compile(folder.0.path(), "NONE", &library::todays_header());
    let library = library.display().to_string();
    assert_eq!(folder.json(0, &["install", &library, "--library"])["name"], "zoo");
    let copy = folder.path("plugins/zoo-1.0.0.so");
    assert!(folder.settings().ends_with(&format!(
        "plugins:\n  zoo:\n    library: \"plugins/zoo-1.0.0.so\"\n    sha256: \"{}\"\n",
        hash(&copy)
    )));
    // As a program it is none, and in the daemon's own process it is what it is elsewhere.
    folder.refuses(&["install", &library, "--name", "other", "--library"], "it says that it is `zoo`, and not `other`");
    let in_process = format!("{}    in_process: true\n", folder.settings());
    for settings in [folder.settings(), in_process] {
        std::fs::write(folder.path("keywheel.yaml"), &settings).expect("ours");
        let listed = folder.json(0, &["list"]);
        assert_eq!((&listed[0]["form"], &listed[0]["version"]), (&"library".into(), &"1.0.0".into()));
        assert_eq!(listed[0]["in_process"], settings.contains("in_process"));
    }
}

#[test]
fn settings_in_flow_style_are_for_a_person() {
    let folder = Folder::new(&format!("plugins: {{ lamp: {{ file: lamp, sha256: \"{}\" }} }}\n", "0".repeat(64)));
    let sha256 = hash(&example("slots.py"));
    let lines =
        format!("plugins:\n  slots:\n    file: \"plugins/slots-1.0.0\"\n    sha256: \"{sha256}\"\n    connect: [80]\n");
    folder.refuses(&["install", &slots(), "--connect", "80"], &lines);
    let folder = Folder::new(&format!("plugins:\n  slots: {{ file: lamp, sha256: \"{}\" }}\n", "0".repeat(64)));
    let lines = format!("plugins:\n  slots:\n    - file: \"plugins/slots-1.0.0\"\n      sha256: \"{sha256}\"\n");
    folder.refuses(&["install", &slots()], &lines);
}

#[test]
fn a_signature_is_verified_and_nothing_started() {
    let signed = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("rotators/plugin/tests/signed").join(name);
    let key = std::fs::read_to_string(signed("key.pub")).expect("it is there");
    let key = key.lines().nth(1).expect("minisign writes two lines");
    for (signature, exit) in [("lamp.minisig", 0), ("lamp.legacy.minisig", 0), ("lamp.other.minisig", 7)] {
        let folder = Folder::new(&format!(
            "plugins:\n  lamp:\n    file: {}\n    sha256: \"{}\"\n    signature: {}\n    public_key: {key}\n",
            signed("lamp").display(),
            hash(&signed("lamp")),
            signed(signature).display()
        ));
        let verified = folder.json(exit, &["verify"]);
        assert_eq!(verified[0]["signed"], true);
        let text = folder.keywheel(&["verify"]);
        let said = String::from_utf8_lossy(&text.stdout).into_owned();
        let wanted = if exit == 0 { "as listed, and signed" } else { "WRONG: " };
        assert!(said.contains(wanted) && text.status.code() == Some(exit), "{said}");
    }
}
