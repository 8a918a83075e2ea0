//! What the border to a plugin costs: one call of a rotator that answers at once, in Rust in this process, as a library in C in this
//! process and in one of its own, and as executables in Python and sh; and how long plugins take to start. `./x bench plugins`.
//!
//! The answer takes no work and there is no target, so this is the border alone: two lines of JSON, two pipes, two switches of
//! processes. A login to a server on the same machine takes some milliseconds.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keywheel_plugin::{Confinement, Form, Plugin, PluginRotator, sha256_of};
use keywheel_sdk::{
    Admin, Answer, Bundle, Call, Check, Descriptor, Finding, RevokeHow, Rotator, RotatorError, Secret, Strategy,
    Target, Usage,
};
use serde_json::Map;

const CALLS: u32 = 2_000;
const TOGETHER: u32 = 16;
const STARTS: u32 = 100;

const GREETING: &str = r#"{"type":"rotator","format":1,"descriptor":{"kind":"bench","version":"1.0.0","shapes":["in_place"],"origin":"engine"}}"#;

fn in_python() -> String {
    format!(
        "#!/usr/bin/python3\nimport json, sys\nfor line in sys.stdin:\n    message = json.loads(line)\n    if message['type'] == 'hello':\n\
         \x20       print('{GREETING}', flush=True)\n    elif message['type'] == 'call':\n\
         \x20       print(json.dumps({{'type': 'reply', 'id': message['id'], 'answer': 'yes'}}), flush=True)\n"
    )
}

fn in_shell() -> String {
    format!(
        "#!/bin/sh\nn=0\nwhile IFS= read -r line; do\n    case $line in\n        *'\"type\":\"hello\"'*) echo '{GREETING}' ;;\n\
         \x20       *'\"type\":\"call\"'*) n=$((n + 1)); echo '{{\"type\":\"reply\",\"id\":'$n',\"answer\":\"yes\"}}' ;;\n    esac\ndone\n"
    )
}

/// Answers each probe with yes.
struct Here;

#[async_trait]
impl Rotator for Here {
    fn describe(&self) -> Descriptor {
        serde_json::from_str::<keywheel_sdk::message::Greeting>(GREETING).expect("it is a greeting").descriptor
    }
    async fn preflight(&self, _: &Call<'_>, _: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        Ok(Vec::new())
    }
    async fn probe(&self, _: &Call<'_>, _: &Bundle, _: &[&Bundle]) -> Answer {
        Answer::Yes
    }
    async fn apply(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
        Ok(())
    }
    async fn verify(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>, _: &[Check]) -> Result<(), RotatorError> {
        Ok(())
    }
    async fn restore(&self, _: &Call<'_>, _: &Bundle, _: Option<&Bundle>) -> Result<(), RotatorError> {
        Ok(())
    }
    async fn usage(&self, _: &Call<'_>, _: &Bundle) -> Result<Usage, RotatorError> {
        Ok(Usage { sessions: 0 })
    }
    async fn revoke(&self, _: &Call<'_>, _: &Bundle, _: &Bundle, _: RevokeHow) -> Result<(), RotatorError> {
        Ok(())
    }
}

fn executable(folder: &Path, name: &str, text: &str) -> Plugin {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("the folder is writable");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("the file is ours");
    plugin(Form::Executable, file)
}

/// The well-behaved animal of the tests' zoo, under its own name.
fn library(folder: &Path, form: Form) -> Plugin {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("animal.so");
    let done = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&file)
        .arg("-I")
        .arg(here.join("rotators/sdk/include"))
        .arg(here.join("tests/plugins/zoo/animal.c"))
        .status();
    assert!(done.is_ok_and(|status| status.success()), "a C compiler");
    Plugin { name: "zoo".to_owned(), ..plugin(form, file) }
}

fn plugin(form: Form, file: PathBuf) -> Plugin {
    let sha256 = sha256_of(&file).expect("the file is readable");
    let host = PathBuf::from(env!("CARGO_BIN_EXE_keywheel"));
    Plugin { name: "bench".to_owned(), form, file, sha256, signature: None, confinement: Confinement::default(), host }
}

async fn probe(rotator: &dyn Rotator) {
    let target = Target {
        settings: Map::new(),
        strategy: Strategy::InPlace { user: "app".to_owned() },
        admin: Admin::Own,
        generates: None,
    };
    let credential = Bundle::login("app", Secret::new("a-password-of-forty-characters-or-less".to_owned()));
    let call = Call { target: &target, rotation: "bench", fence: 1, until: Instant::now() + Duration::from_secs(30) };
    assert_eq!(rotator.probe(&call, &credential, &[]).await, Answer::Yes);
}

/// Seconds for one call, one after the other; and calls a second, some beside each other.
async fn measured(rotator: Arc<dyn Rotator>) -> (f64, f64) {
    // Processes are started and warm.
    let all = |calls: u32| {
        let rotator = Arc::clone(&rotator);
        async move {
            let each = (0..TOGETHER).map(|_| {
                let rotator = Arc::clone(&rotator);
                tokio::spawn(async move {
                    for _ in 0..calls / TOGETHER {
                        probe(&*rotator).await;
                    }
                })
            });
            for done in each.collect::<Vec<_>>() {
                done.await.expect("no call fails");
            }
        }
    };
    all(TOGETHER).await;
    let begin = Instant::now();
    for _ in 0..CALLS {
        probe(&*rotator).await;
    }
    let one = begin.elapsed().as_secs_f64() / f64::from(CALLS);
    let begin = Instant::now();
    all(CALLS).await;
    (one, f64::from(CALLS / TOGETHER * TOGETHER) / begin.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("one call that answers at once, {CALLS} calls; then {TOGETHER} beside each other");
    let (base, rate) = measured(Arc::new(Here)).await;
    println!("  a rotator of this program  {:>9.1} µs a call   {rate:>9.0} calls/s", base * 1e6);
    let python = executable(folder.path(), "python", &in_python());
    let shell = executable(folder.path(), "sh", &in_shell());
    for (name, plugin) in [
        ("library in this process", library(folder.path(), Form::InProcess)),
        ("library in its own process", library(folder.path(), Form::Library)),
        ("executable in Python", python.clone()),
        ("executable in sh", shell.clone()),
    ] {
        let rotator = PluginRotator::open(plugin).expect("it greets");
        let (one, rate) = measured(Arc::new(rotator)).await;
        let more = (one - base) * 1e6;
        println!("  {name:<27}{:>9.1} µs a call   {rate:>9.0} calls/s   {more:+.1} µs", one * 1e6);
    }
    println!("{STARTS} plugins checked and started, one after the other:");
    for (name, plugin) in [
        ("library in its own process", library(folder.path(), Form::Library)),
        ("executable in Python", python),
        ("executable in sh", shell),
    ] {
        let begin = Instant::now();
        let started: Vec<_> = (0..STARTS).map(|_| PluginRotator::open(plugin.clone()).expect("it greets")).collect();
        let took = begin.elapsed().as_secs_f64();
        drop(started);
        println!("  {name:<27}{took:>9.2} s   {:>6.1} ms each", took * 1e3 / f64::from(STARTS));
    }
}
