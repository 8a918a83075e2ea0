//! Plugins that are dynamic libraries, written in C: what one with a bad habit costs, in a process of its own and in this one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keywheel_plugin::{Confinement, Fault, Form, LoadError, OpenError, PluginRotator};
use keywheel_sdk::{Answer, Call, Effect, Rotator, RotatorError};
use tempfile::TempDir;

use super::formed;
use super::zoo::{PATIENT, SHORT, login, target};

/// A compiled animal.
struct Animal {
    rotator: PluginRotator,
    _folder: TempDir,
}

/// Compiles it against this header.
pub(super) fn compile(folder: &Path, habit: &str, header: &Path) -> std::path::PathBuf {
    let file = folder.join("animal.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/zoo/animal.c");
    let warnings = [
        "-std=c11",
        "-D_DEFAULT_SOURCE",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-infinite-recursion",
        "-Wno-unused-function",
    ];
    let done = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&file)
        .args(warnings)
        .arg(format!("-DHABIT={habit}"))
        .arg("-I")
        .arg(header)
        .arg(source)
        .output()
        .expect("a C compiler, which keywheel itself is built with");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    file
}

pub(super) fn todays_header() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rotators/sdk/include")
}

fn open(habit: &str, form: Form, confinement: Confinement) -> Result<Animal, OpenError> {
    let folder = TempDir::new().expect("a temporary folder");
    let file = compile(folder.path(), habit, &todays_header());
    PluginRotator::open(formed(form, "zoo", &file, confinement)).map(|rotator| Animal { rotator, _folder: folder })
}

fn caged(habit: &str) -> Animal {
    open(habit, Form::Library, Confinement::default()).expect("it greets")
}

async fn applied(animal: &Animal, patience: Duration) -> Result<(), RotatorError> {
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + patience };
    animal.rotator.apply(&call, &login("canary-new"), Some(&login("canary-old"))).await
}

async fn probed(animal: &Animal) -> Answer {
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + PATIENT };
    animal.rotator.probe(&call, &login("canary-new"), &[]).await
}

/// How many instances its library has, itself included.
async fn living(animal: &Animal) -> u64 {
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + PATIENT };
    animal.rotator.usage(&call, &login("canary-new")).await.expect("it counts").sessions
}

/// The call in which it misbehaves is in doubt and says so in these words; the next one is answered.
async fn costs_one_call(animal: Animal, patience: Duration, code: &str, words: &str) {
    let error = applied(&animal, patience).await.expect_err("it misbehaves");
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, code), "{error}");
    assert!(error.message.contains(words) && !error.message.contains("canary"), "{error}");
    assert_eq!(probed(&animal).await, Answer::Yes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_well_behaved() {
    for form in [Form::Library, Form::InProcess] {
        let animal = open("NONE", form, Confinement::default()).expect("it greets");
        assert_eq!(applied(&animal, PATIENT).await, Ok(()));
        assert_eq!(probed(&animal).await, Answer::Yes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_crashes() {
    for (habit, words) in [
        ("SEGFAULT", "signal: 11"),
        ("ABORTS", "signal: 6"),
        ("EXITS", "exit status: 3"),
        ("OVERRUNS_STACK", "signal: 6"),
    ] {
        costs_one_call(caged(habit), PATIENT, "plugin-ended", words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_too_much() {
    let short = Confinement { cpu_seconds: 1, ..Confinement::default() };
    let loops = open("LOOPS", Form::Library, short).expect("it greets");
    costs_one_call(loops, PATIENT, "plugin-ended", "signal").await;
    costs_one_call(caged("LOOPS"), SHORT, "plugin-late", "in time").await;
    let small = Confinement { memory_mib: 512, ..Confinement::default() };
    let balloon = open("BALLOON", Form::Library, small).expect("it greets");
    costs_one_call(balloon, PATIENT, "plugin-ended", "signal: 6").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_no_reply() {
    costs_one_call(caged("NO_STATUS"), PATIENT, "plugin-no-reply", "status 7").await;
    costs_one_call(caged("NOTHING"), PATIENT, "plugin-no-reply", "gave none").await;
    costs_one_call(caged("HUGE_REPLY"), PATIENT, "plugin-no-reply", "2097152 bytes").await;
    costs_one_call(caged("GARBAGE"), PATIENT, "plugin-malformed", "no JSON").await;
    costs_one_call(caged("OTHER_CALL"), PATIENT, "plugin-other-call", "call 8 instead of 1").await;
    let none = caged("NO_INSTANCE");
    let error = applied(&none, PATIENT).await.expect_err("it has no instance");
    assert!(error.message.contains("status 9"), "{error}");
}

/// Already what runs while it is being loaded is confined; and in this process nothing is, which shows that it would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_around_while_it_is_loaded() {
    for (form, reached) in [(Form::Library, 0), (Form::InProcess, 2)] {
        let animal = open("LOOKS_AROUND", form, Confinement::default()).expect("it greets");
        let error = applied(&animal, PATIENT).await.expect_err("it tells how much it reached");
        assert_eq!(error.message, format!("reached {reached}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_in_its_own_way() {
    for habit in ["PRINTS", "MANY_LINES"] {
        let animal = caged(habit);
        assert_eq!(applied(&animal, PATIENT).await, Ok(()), "{habit}");
        assert_eq!(probed(&animal).await, Answer::Yes, "{habit}");
    }
}

/// The header of the first version is kept as it was published; what is built with it is loaded by today's program. It is never edited:
/// where this fails, plugins that people have would no longer load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_built_with_the_first_version() {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/abi/1");
    for form in [Form::Library, Form::InProcess] {
        let folder = TempDir::new().expect("a temporary folder");
        let file = compile(folder.path(), "NONE", &first);
        let rotator = PluginRotator::open(formed(form, "zoo", &file, Confinement::default())).expect("it greets");
        let animal = Animal { rotator, _folder: folder };
        assert_eq!(applied(&animal, PATIENT).await, Ok(()));
        assert_eq!(probed(&animal).await, Answer::Yes);
    }
}

/// Where each member stands is part of the border; so are its numbers.
#[test]
fn the_table_is_laid_out_as_ever() {
    use std::mem::offset_of;

    use keywheel_sdk::library::{ABI, MAGIC, SYMBOL, Table};

    assert_eq!((SYMBOL, MAGIC, ABI), ("keywheel_rotator_1", 0x4b45_5957_4845_454c, 1));
    let pointer = size_of::<usize>();
    assert_eq!(
        [offset_of!(Table, magic), offset_of!(Table, abi), offset_of!(Table, size), offset_of!(Table, sdk)],
        [0, 8, 12, 16]
    );
    let functions = [
        offset_of!(Table, describe),
        offset_of!(Table, create),
        offset_of!(Table, call),
        offset_of!(Table, cancel),
        offset_of!(Table, destroy),
        offset_of!(Table, release),
    ];
    assert_eq!(functions, [0, 1, 2, 3, 4, 5].map(|function| 48 + function * pointer));
    assert_eq!(size_of::<Table>(), 48 + 6 * pointer);
}

/// What cannot be loaded says why, in both places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_plugin() {
    for (habit, words) in [
        ("OTHER_MAGIC", "is something else"),
        ("OTHER_ABI", "version 2 of the border (built with `animal.c`)"),
        ("SMALL_TABLE", "24 bytes, which is too few (built with `animal.c`)"),
        ("LACKS_CALL", "lacks `call`"),
        ("NO_TABLE", "exports no `keywheel_rotator_1`"),
        ("OTHER_FORMAT", "format 7"),
    ] {
        for form in [Form::Library, Form::InProcess] {
            let Err(error) = open(habit, form, Confinement::default()) else { panic!("{habit} was taken") };
            assert!(error.to_string().contains(words), "{habit}: {error}");
        }
    }
    let Err(OpenError::Fault { fault: Fault::Ended(status), .. }) =
        open("DIES_ON_LOAD", Form::Library, Confinement::default())
    else {
        panic!("it died")
    };
    assert!(status.to_string().contains("signal: 11"), "{status}");
    let text = TempDir::new().expect("a temporary folder");
    let file = text.path().join("text.so");
    std::fs::write(&file, "no library").expect("the folder is writable");
    let Err(OpenError::Fault { fault: Fault::NotLoaded(LoadError::NotLoaded(_)), .. }) =
        PluginRotator::open(formed(Form::InProcess, "zoo", &file, Confinement::default()))
    else {
        panic!("it is no library")
    };
}

/// In this process it cannot be killed: it is told that nobody waits, at the deadline and when the call is dropped; and its instance
/// ends when the call does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_that_nobody_waits() {
    let animal = open("WAITS", Form::InProcess, Confinement::default()).expect("it greets");
    only_one_lives(&animal).await;
    let error = applied(&animal, Duration::from_millis(50)).await.expect_err("it waits");
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "plugin-late"), "{error}");
    ended(&animal).await;
    only_one_lives(&animal).await;
    let dropped = tokio::time::timeout(Duration::from_millis(50), applied(&animal, PATIENT)).await;
    assert!(dropped.is_err(), "it waits");
    ended(&animal).await;
    only_one_lives(&animal).await;
}

/// Calls beside each other do not stand in each other's way: none of them is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_by_many_at_once() {
    for form in [Form::Library, Form::InProcess] {
        let animal = open("NONE", form, Confinement::default()).expect("it greets");
        let many = std::sync::Arc::new(animal);
        let each = (0..8).map(|_| {
            let many = std::sync::Arc::clone(&many);
            tokio::spawn(async move {
                for _ in 0..200 {
                    assert_eq!(probed(&many).await, Answer::Yes);
                }
            })
        });
        for asked in each.collect::<Vec<_>>() {
            asked.await.expect("all are answered");
        }
    }
}

/// As long as a call runs that nobody waits for, nothing else is asked of the library: what it does could come after the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_listen_in_this_process() {
    let deaf = open("DEAF", Form::InProcess, Confinement::default()).expect("it greets");
    let error = applied(&deaf, SHORT).await.expect_err("it does not listen");
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, "plugin-late"), "{error}");
    for _ in 0..2 {
        let error = applied(&deaf, SHORT).await.expect_err("the call still runs");
        assert_eq!((error.effect, error.code.as_str()), (Effect::None, "plugin-busy"), "{error}");
    }
}

/// Until the call that was given up has ended.
async fn ended(animal: &Animal) {
    let until = Instant::now() + PATIENT;
    while probed(animal).await != Answer::Yes && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    assert_eq!(probed(animal).await, Answer::Yes);
}

async fn only_one_lives(animal: &Animal) {
    let until = Instant::now() + PATIENT;
    while living(animal).await > 1 && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    assert_eq!(living(animal).await, 1);
}
