//! Plugins that misbehave: each costs the call that it misbehaves in, the verdict says what it did, and the next call is answered.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use keywheel_plugin::{Confinement, Fault, FileError, OpenError, PluginRotator};
use keywheel_sdk::{Admin, Answer, Bundle, Call, Effect, Rotator, RotatorError, Secret, Strategy, Target};
use serde_json::Map;
use tempfile::TempDir;

use super::plugin;

pub const GREETING: &str = r#"{"type":"rotator","format":1,"descriptor":{"kind":"zoo","version":"1.0.0","shapes":["in_place"],"origin":"engine"}}"#;

/// An animal in its cage.
pub struct Caged {
    pub rotator: PluginRotator,
    _folder: TempDir,
}

/// A script that greets with `greeting`, does `apply` when it is to apply, and answers each probe with yes.
pub fn script(greeting: &str, apply: &str) -> String {
    format!(
        "#!/bin/sh\nn=0\nwhile IFS= read -r line; do\n    case $line in\n        *'\"type\":\"hello\"'*) echo '{greeting}' ;;\n\
         \x20       *'\"call\":\"apply\"'*) n=$((n + 1)); {apply} ;;\n\
         \x20       *'\"call\":\"probe\"'*) n=$((n + 1)); echo '{{\"type\":\"reply\",\"id\":'$n',\"answer\":\"yes\"}}' ;;\n\
         \x20   esac\ndone\n"
    )
}

/// Answers the call, with this beside its number.
pub fn reply(more: &str) -> String {
    format!("echo '{{\"type\":\"reply\",\"id\":'$n'{more}}}'")
}

/// Answers that it did nothing, and this: what the shell makes of `code`.
pub fn refuses(code: &str) -> String {
    reply(&format!(
        ",\"error\":{{\"effect\":\"none\",\"retry\":\"never\",\"code\":\"found\",\"message\":\"'\"{code}\"'\"}}"
    ))
}

pub fn open(text: &str, confinement: Confinement) -> Result<Caged, OpenError> {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("animal.sh");
    std::fs::write(&file, text).expect("the folder is writable");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("it is ours");
    PluginRotator::open(plugin("zoo", &file, confinement)).map(|rotator| Caged { rotator, _folder: folder })
}

pub fn caged(apply: &str) -> Caged {
    open(&script(GREETING, apply), Confinement::default()).expect("it greets")
}

pub fn login(password: &str) -> Bundle {
    Bundle::login("app", Secret::new(password.to_owned()))
}

pub fn target() -> Target {
    Target {
        settings: Map::new(),
        strategy: Strategy::InPlace { user: "app".to_owned() },
        admin: Admin::Own,
        generates: None,
    }
}

/// Lets it apply, with so long to do it.
pub async fn applied(caged: &Caged, patience: Duration) -> Result<(), RotatorError> {
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + patience };
    caged.rotator.apply(&call, &login("canary-new"), Some(&login("canary-old"))).await
}

pub async fn probed(caged: &Caged) -> Answer {
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + Duration::from_secs(20) };
    caged.rotator.probe(&call, &login("canary-new"), &[]).await
}

/// The call in which it misbehaves is in doubt and says so in these words; the next one is answered.
async fn costs_one_call(caged: Caged, patience: Duration, code: &str, words: &str) {
    let error = applied(&caged, patience).await.expect_err("it misbehaves");
    assert_eq!((error.effect, error.code.as_str()), (Effect::Unknown, code), "{error}");
    assert!(error.message.contains(words) && !error.message.contains("canary"), "{error}");
    assert_eq!(probed(&caged).await, Answer::Yes);
}

pub const PATIENT: Duration = Duration::from_secs(20);
pub const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_crashes() {
    costs_one_call(caged("kill -SEGV $$"), PATIENT, "plugin-ended", "signal: 11").await;
    costs_one_call(caged("kill -ABRT $$"), PATIENT, "plugin-ended", "signal: 6").await;
    costs_one_call(caged("exit 3"), PATIENT, "plugin-ended", "exit status: 3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_more() {
    costs_one_call(caged("exec >&-; read -r more"), PATIENT, "plugin-closed", "closed its output").await;
    costs_one_call(caged("read -r more"), SHORT, "plugin-late", "in time").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loops_for_ever() {
    let short = Confinement { cpu_seconds: 1, ..Confinement::default() };
    let loops = open(&script(GREETING, "while :; do :; done"), short).expect("it greets");
    costs_one_call(loops, PATIENT, "plugin-ended", "signal").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_eats_memory() {
    let small = Confinement { memory_mib: 256, ..Confinement::default() };
    let eats = "exec /usr/bin/python3 -c 'bytearray(1 << 30)' 2>&1";
    let eats = open(&script(GREETING, eats), small).expect("it greets");
    // What Python says of it is no message.
    costs_one_call(eats, PATIENT, "plugin-malformed", "no JSON").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods() {
    let strays = "while :; do echo '{\"type\":\"chatter\"}'; done";
    costs_one_call(caged(strays), PATIENT, "plugin-flood", "64 messages").await;
    let long = "while :; do printf '%01000d' 0; done";
    costs_one_call(caged(long), PATIENT, "plugin-malformed", "longer than 1 MiB").await;
    let errors = "while :; do printf '%01000d' 0 >&2; done";
    costs_one_call(caged(errors), SHORT, "plugin-late", "in time").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_what_is_no_message() {
    costs_one_call(caged("printf '\\377\\376\\n'"), PATIENT, "plugin-malformed", "no JSON").await;
    costs_one_call(caged("echo '[]'"), PATIENT, "plugin-malformed", "another kind").await;
    costs_one_call(caged("echo '{\"type\":\"reply\",\"id\":\"1\"}'"), PATIENT, "plugin-malformed", "another kind")
        .await;
    // Half a message, and the end.
    costs_one_call(caged("printf '{\"type\":\"re'; exit 0"), PATIENT, "plugin-ended", "exit status: 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_what_was_not_asked() {
    costs_one_call(caged("echo '{\"type\":\"reply\",\"id\":7}'"), PATIENT, "plugin-other-call", "call 7 instead of 1")
        .await;
    let twice = caged("echo '{\"type\":\"reply\",\"id\":'$n'}'; echo '{\"type\":\"reply\",\"id\":'$n'}'");
    applied(&twice, PATIENT).await.expect("the first answer counts");
    // The second is never taken for the answer to the next call: at worst that one is asked again of another process.
    let answer = probed(&twice).await;
    assert!(matches!(&answer, Answer::Yes) || is_other_call(&answer), "{answer:?}");
    assert_eq!(probed(&twice).await, Answer::Yes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_written_before_it_is_asked() {
    // The first answer fills our buffer to the last byte, so that the second is still in the pipe.
    let answers = r#"/usr/bin/python3 -c 'import os, sys
reply = "{\"type\":\"reply\",\"id\":" + sys.argv[1] + "}"
os.write(1, (reply.ljust(8191) + "\n" + reply + "\n").encode())' $n"#;
    let twice = caged(answers);
    applied(&twice, PATIENT).await.expect("the first answer counts");
    assert_eq!(probed(&twice).await, Answer::Yes);
}

fn is_other_call(answer: &Answer) -> bool {
    matches!(answer, Answer::Unknown(error) if error.code == "plugin-other-call")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_child_behind() {
    // It says which one by an error, and answers no further call.
    let leaves = "sleep 1000 & echo '{\"type\":\"reply\",\"id\":'$n',\"error\":{\"effect\":\"none\",\"retry\":\"now\",\"code\":\"'$!'\",\"message\":\"\"}}'; exec >&-; wait";
    let caged = caged(leaves);
    let error = applied(&caged, PATIENT).await.expect_err("it says so");
    let child: i32 = error.code.parse().expect("the number of a process");
    drop(caged);
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    // Its signal was sent; the kernel takes a moment.
    let until = Instant::now() + PATIENT;
    while !gone() && Instant::now() < until {
        tokio::task::yield_now().await;
    }
    assert!(gone(), "process {child} lives on");
}

/// What it found it could do, by an error.
async fn finds(what: &str, confinement: Confinement) -> String {
    let tries = format!("{{ {what}; }} >/dev/null 2>&1 && r=done || r=refused; {}", refuses("$r"));
    found(&tries, confinement).await
}

/// The same of what Python does: `refused` is only what is refused for want of rights.
async fn does(what: &str, confinement: Confinement) -> String {
    let tries = format!(
        r#"r=$(/usr/bin/python3 -c '
import ctypes, os, resource, socket
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
try:
    {what}
    print("done")
except OSError as error:
    print("refused" if error.errno in (1, 13) else "errno %d" % error.errno)
' 2>/dev/null || echo broken); {}"#,
        refuses("$r")
    );
    found(&tries, confinement).await
}

async fn found(tries: &str, confinement: Confinement) -> String {
    let caged = open(&script(GREETING, tries), confinement).expect("it greets");
    let error = applied(&caged, PATIENT).await.expect_err("it says what it found");
    assert_eq!(error.code, "found", "{error}");
    error.message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reaches_further_than_it_may() {
    let outside = TempDir::new().expect("a temporary folder");
    let secret = outside.path().join("master.key");
    std::fs::write(&secret, "key").expect("the folder is writable");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    let connects = format!("socket.create_connection((\"127.0.0.1\", {port}))");
    let none = Confinement::default;
    let read = format!("cat {}", secret.display());
    let write = format!("echo x > {}/new", outside.path().display());
    assert_eq!(finds(&read, none()).await, "refused");
    assert_eq!(finds(&read, Confinement { read: vec![secret.clone()], ..none() }).await, "done");
    assert_eq!(finds("cat /etc/passwd", none()).await, "refused");
    assert_eq!(finds("cat /etc/passwd", Confinement { read: vec!["/etc/passwd".into()], ..none() }).await, "done");
    assert_eq!(finds("cat /proc/1/environ", none()).await, "refused");
    assert_eq!(finds("cat /proc/self/environ", none()).await, "refused");
    assert_eq!(finds("ls /etc/ssl/private", none()).await, "refused");
    assert_eq!(finds("ls /etc/ssl/certs", none()).await, "done");
    assert_eq!(finds(&write, none()).await, "refused");
    assert_eq!(finds("echo x > here", none()).await, "done", "its own folder");
    assert_eq!(does(&connects, none()).await, "refused");
    assert_eq!(does(&connects, Confinement { connect: vec![port], ..none() }).await, "done");
    let other = if port == 1 { 2 } else { port - 1 };
    assert_eq!(does(&connects, Confinement { connect: vec![other], ..none() }).await, "refused");
    // But for what the shell itself adds.
    let empty = "list=$(/usr/bin/env) && [ \"$(echo \"$list\" | grep -cv -e ^PWD= -e ^_=)\" = 0 ]";
    assert_eq!(finds(empty, none()).await, "done", "no environment");
    assert_eq!(finds(&format!("export X=1; {empty}"), none()).await, "refused", "the test sees one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_around_its_ports() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    for what in [
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
        // Multipath TCP, ping, whole packets, and another protocol in the place of TCP.
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket().setsockopt(6, 31, b\"smc\")",
        "socket.socket().listen()",
        &format!("socket.socket().sendto(b\"x\", 0x20000000, (\"127.0.0.1\", {port}))"),
        &format!("socket.socket().sendmsg([b\"x\"], [], 0x20000000, (\"127.0.0.1\", {port}))"),
    ] {
        let other = Confinement { connect: vec![if port == 1 { 2 } else { port - 1 }], ..Confinement::default() };
        assert_eq!(does(what, other).await, "refused", "{what}");
    }
    for what in ["socket.socketpair()", "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"] {
        let some = Confinement { connect: vec![port], ..Confinement::default() };
        assert_eq!(does(what, some).await, "done", "{what}");
    }
    let sends = "a, b = socket.socketpair(); a.send(b\"x\"); check(-(b.recv(1) != b\"x\"))";
    assert_eq!(does(sends, Confinement::default()).await, "done");
}

/// What starts processes without end is stopped by the kernel, but where it runs as root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_start_processes_without_end() {
    let limit = "if resource.getrlimit(resource.RLIMIT_NPROC) != (4096, 4096): raise OSError(7, \"\")";
    assert_eq!(does(limit, Confinement::default()).await, "done");
    let lifted = "try:\n        resource.setrlimit(resource.RLIMIT_NPROC, (5000, 5000))\n    except ValueError:\n        raise OSError(1, \"\")";
    assert_eq!(does(lifted, Confinement::default()).await, "refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acts_on_what_is_not_its_own() {
    let outside = TempDir::new().expect("a temporary folder");
    let file = outside.path().join("file");
    std::fs::write(&file, "text").expect("the folder is writable");
    let (file, us) = (file.display(), std::process::id());
    for what in [
        &format!("os.chmod(\"{file}\", 0o777)"),
        &format!("os.chown(\"{file}\", os.getuid(), os.getgid())"),
        &format!("os.utime(\"{file}\")"),
        &format!("os.setxattr(\"{file}\", \"user.x\", b\"x\")"),
        &format!("check(libc.inotify_add_watch(libc.inotify_init(), b\"{file}\", 2))"),
        &format!("resource.prlimit({us}, resource.RLIMIT_NOFILE)"),
        &format!("os.setpriority(os.PRIO_PROCESS, {us}, 19)"),
        &format!("os.sched_setaffinity({us}, {{0}})"),
        &format!("check(libc.ptrace(16, {us}, 0, 0))"),
        "os.kill(-1, 0)",
        "check(libc.shmget(4711, 4096, 0o1600))",
        // A namespace of its own, in which it would be root; and a device.
        "check(libc.unshare(0x10000000))",
        "os.chroot(\".\")",
        "os.mknod(\"device\", 0o060600, os.makedev(7, 0))",
        "check(libc.setuid(65533))",
        // Out of the group that is killed, and on after the daemon's end.
        "os.setsid()",
        "os.setpgid(0, 0)",
        "check(libc.prctl(1, 0))",
    ] {
        assert_eq!(does(what, Confinement::default()).await, "refused", "{what}");
    }
    for what in ["os.mkfifo(\"fifo\")", "resource.prlimit(0, resource.RLIMIT_NOFILE)", "os.kill(os.getpid(), 0)"] {
        assert_eq!(does(what, Confinement::default()).await, "done", "{what}");
    }
    let threads = "import subprocess, threading; thread = threading.Thread(target=int); thread.start(); thread.join(); \
                   check(-subprocess.call([\"/bin/true\"]))";
    assert_eq!(does(threads, Confinement::default()).await, "done");
    if of_linux(6, 12) {
        assert_eq!(does(&format!("os.kill({us}, 0)"), Confinement::default()).await, "refused");
    }
}

/// Whether the kernel is at least this old.
fn of_linux(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

#[test]
fn who_is_not_what_was_installed() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("animal.sh");
    std::fs::write(&file, script(GREETING, ":")).expect("the folder is writable");
    let installed = plugin("zoo", &file, Confinement::default());
    std::fs::write(&file, script(GREETING, "exit")).expect("the folder is writable");
    let error = PluginRotator::open(installed).err().expect("it changed");
    assert!(matches!(error, OpenError::File(FileError::Changed { .. })), "{error}");

    let other = GREETING.replace("zoo", "cat");
    let error = open(&script(&other, ":"), Confinement::default()).err().expect("it is another");
    assert!(matches!(&error, OpenError::OtherKind { kind, .. } if kind == "cat"), "{error}");

    let newer = GREETING.replace("\"format\":1", "\"format\":7");
    let error = open(&script(&newer, ":"), Confinement::default()).err().expect("it is newer");
    assert!(matches!(&error, OpenError::Fault { fault: Fault::Format(7), .. }), "{error}");

    let error = open("#!/bin/sh\nexit 4\n", Confinement::default()).err().expect("it ends");
    assert!(matches!(&error, OpenError::Fault { fault: Fault::Ended(_), .. }), "{error}");

    let error = open("no program", Confinement::default()).err().expect("it does not start");
    assert!(matches!(&error, OpenError::Fault { fault: Fault::Ended(_), .. }), "{error}");
}
