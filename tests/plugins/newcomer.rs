//! What somebody does who begins a plugin: `plugin new`, build, `plugin exam`, a policy, and the first rotation.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keywheel_plugin::sha256_of;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house::House;

/// A project that `keywheel plugin new` has made.
pub struct Project {
    folder: TempDir,
    name: &'static str,
}

impl Project {
    pub fn begun(name: &'static str, lang: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut new = keywheel(&["plugin", "new", name, "--dir"]);
        succeeds(new.arg(folder.path()).arg("--lang").args(lang));
        Project { folder, name }
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(self.name).join(file)
    }
}

pub fn keywheel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywheel"));
    command.args(arguments).stdin(Stdio::null()).env_remove("FAILPOINTS");
    command
}

/// Says something past the capture of tests' output, since it is a result.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{}{}", output.status, said[0], said[1]);
    said[0].clone()
}

/// `keywheel plugin practice`, in a process of its own.
pub struct Practice {
    process: Child,
    pub port: u16,
    admin: String,
}

impl Practice {
    pub fn start() -> Self {
        let mut process = keywheel(&["plugin", "practice"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut last = || {
            let line = lines.next().expect("it says where it is").expect("it is text");
            line.rsplit([' ', ':']).next().expect("a line has an end").to_owned()
        };
        let port = last().parse().expect("a port");
        Practice { port, admin: last(), process }
    }

    fn ask(&self, message: &Value) -> Value {
        let mut line = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        writeln!(line, "{message}").expect("it reads");
        let mut answer = String::new();
        BufReader::new(line).read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).expect("it answers in JSON")
    }

    fn accepts(&self, user: &str, password: &str) -> bool {
        self.ask(&json!({ "do": "login", "user": user, "password": password }))["ok"] == true
    }

    /// Ends it as Ctrl-C does.
    fn stop(mut self) {
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it is ours");
        assert!(self.process.wait().expect("it is ours").success());
    }
}

/// The exam is green. What its file's SHA-256 is.
fn passes(plugin: &Path) -> String {
    let exam = succeeds(keywheel(&["--output", "json", "plugin", "exam"]).arg(plugin));
    let exam: Value = serde_json::from_str(&exam).expect("it prints JSON");
    assert_eq!(exam["passed"], exam["fit"], "{exam:#}");
    assert!(exam["fit"].as_u64() > Some(60), "too many cases were skipped: {exam:#}");

    let sha256 = sha256_of(plugin).expect("it is readable");
    assert_eq!(exam["sha256"], sha256);
    sha256
}

/// The exam is green, and then a rotation in a fresh house takes the place of the password before.
fn is_used(project: &Project, key: &str, plugin: &Path) {
    let sha256 = passes(plugin);
    let practice = Practice::start();
    let house = House::new();
    let name = project.name;
    house.settings(&format!(
        "plugins: {{ {name}: {{ {key}: \"{}\", sha256: \"{sha256}\", connect: [{}] }} }}\n",
        plugin.display(),
        practice.port
    ));
    is_rotated(&house, project, practice);
}

/// A rotation in a house whose settings name the plugin takes the place of the password before.
pub fn is_rotated(house: &House, project: &Project, practice: Practice) {
    let name = project.name;
    let policy = std::fs::read_to_string(project.path("policy.yaml")).expect("it is there");
    let policy = policy.replace("8123", &practice.port.to_string()).replace("after: 1h", "after: 0s");
    std::fs::write(house.path("policies/app.yaml"), policy).expect("the folder is writable");
    house.put(&format!("{name}/admin"), "admin", &practice.admin);
    let first = "the-first-password";
    house.put(&format!("{name}/app"), "app_a", first);
    let set = json!({ "do": "set", "user": "app_a", "password": first, "admin": practice.admin });
    assert_eq!(practice.ask(&set)["ok"], true);

    house.run(&["rotate", &format!("{name}-app")]);
    let shown: Value =
        serde_json::from_str(&house.run(&["secret", "get", &format!("{name}/app")])).expect("it prints JSON");
    let password = shown["password"].as_str().expect("a password");
    assert_eq!(shown["username"], "app_b");
    assert!(practice.accepts("app_b", password), "the new one is accepted");
    assert!(!practice.accepts("app_a", first), "the one before is refused");
    practice.stop();
}

#[test]
fn in_python() {
    let project = Project::begun("lamp-py", &["python"]);
    is_used(&project, "file", &project.path("lamp-py.py"));
}

#[test]
fn in_c() {
    let jansson = Command::new("cc").args(["-E", "-include", "jansson.h", "-x", "c", "/dev/null"]).output();
    if !jansson.expect("a C compiler, which keywheel itself is built with").status.success() {
        #[expect(clippy::disallowed_methods, reason = "where nobody watches, what is absent must not be passed over")]
        let required = std::env::var("KEYWHEEL_TEST_CLIENTS").unwrap_or_default();
        assert!(!required.contains("jansson"), "jansson is not installed");
        say("not run: a plugin in C (libjansson-dev is not installed)");
        return;
    }
    let project = Project::begun("lamp_c", &["c"]);
    let warnings = "CFLAGS=-O1 -Wall -Wextra -Werror";
    succeeds(Command::new("make").arg(warnings).current_dir(project.path("")));
    is_used(&project, "library", &project.path("lamp_c.so"));
}

/// Without a network: with the crates that this repository has.
#[test]
fn in_rust() {
    let root = env!("CARGO_MANIFEST_DIR");
    let project = Project::begun("lamp-rs", &["rust", "--sdk", root]);
    std::fs::copy(Path::new(root).join("Cargo.lock"), project.path("Cargo.lock")).expect("the folder is writable");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--offline", "--quiet", "--target-dir"]).arg(&target).current_dir(project.path(""));
    succeeds(build.env_remove("CARGO_TARGET_DIR"));
    is_used(&project, "library", &target.join("debug/liblamp_rs.so"));
}

#[test]
fn names_are_checked_and_nothing_is_replaced() {
    let folder = TempDir::new().expect("a temporary folder");
    let new = |name: &str| {
        let mut new = keywheel(&["plugin", "new", "--lang", "python", name]);
        new.current_dir(folder.path()).output().expect("it starts")
    };
    assert!(new("lamp").status.success());
    let file = folder.path().join("lamp/README.md");
    let before = std::fs::read(&file).expect("it is there");
    for (name, words) in [("lamp", "is there already"), ("../lamp", "is no name"), ("2", "is no name")] {
        let output = new(name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    }
    assert_eq!(std::fs::read(&file).expect("it is there"), before);
    let rust =
        keywheel(&["plugin", "new", "--lang", "rust", "lamp2", "--sdk", "."]).current_dir(folder.path()).output();
    let said = rust.expect("it starts").stderr;
    assert!(String::from_utf8_lossy(&said).contains("does not hold keywheel's sources"));
    assert!(!folder.path().join("lamp2").exists());
}

/// The disk is full after some of it: no file may be longer than 512 bytes.
#[test]
fn what_was_begun_is_taken_away_where_it_cannot_be_ended() {
    let folder = TempDir::new().expect("a temporary folder");
    let line =
        format!("trap '' XFSZ; ulimit -f 1; exec '{}' plugin new --lang python lamp", env!("CARGO_BIN_EXE_keywheel"));
    let output = Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write") && said.contains("nothing was changed"), "{said}");
    assert_eq!(folder.path().read_dir().expect("it is ours").count(), 0);
}
