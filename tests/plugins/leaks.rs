//! Nothing of a plugin is left behind, and nothing of ours is left to it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use keywheel_plugin::Confinement;
use keywheel_sdk::Answer;
use tempfile::TempDir;

use super::zoo::{GREETING, PATIENT, applied, caged, open, probed, refuses, script};

/// A plugin to be hosted without an engine: this script, and a folder to work in.
struct Hosted {
    folder: TempDir,
}

impl Hosted {
    fn of(text: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("own")).expect("the folder is writable");
        let hosted = Hosted { folder };
        std::fs::write(hosted.file(), format!("#!/bin/sh\n{text}\n")).expect("the folder is writable");
        std::fs::set_permissions(hosted.file(), PermissionsExt::from_mode(0o755)).expect("it is ours");
        hosted
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("plugin")
    }

    /// A shell that does this, where `"$@"` is the host of the plugin.
    fn under(&self, shell: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_keywheel"), "plugin-host", "executable"]);
        command.arg(self.file()).arg(self.folder.path().join("own")).args(["1024", "60"]);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Waits until it is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENT;
    while !so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

fn has_ended(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

#[test]
fn a_plugin_ends_with_who_started_it() {
    let hosted = Hosted::of("echo $$; exec sleep 1000");
    let mut shell = hosted.under("\"$@\" & wait").spawn().expect("it starts");
    let mut line = String::new();
    let mut output = BufReader::new(shell.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("it says its number");
    let plugin: u32 = line.trim().parse().expect("the number of a process");
    assert!(!has_ended(plugin));
    shell.kill().expect("it is ours");
    shell.wait().expect("it is ours");
    until("the plugin lives on", || has_ended(plugin));
}

#[test]
fn a_plugin_does_not_start_if_who_started_it_is_gone() {
    let hosted = Hosted::of("echo runs");
    let (input, ours) = std::io::pipe().expect("a pipe");
    let mut command = hosted.under("exec \"$@\"");
    drop(ours);
    let ended = command.stdin(input).output().expect("it starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.stdout.is_empty() && said.contains("the process that started it has ended"), "{said}");
    // The same with somebody at the other end.
    let (input, _ours) = std::io::pipe().expect("a pipe");
    let ended = hosted.under("exec \"$@\"").stdin(input).output().expect("it starts");
    assert_eq!(ended.stdout, b"runs\n", "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn no_open_file_of_others_is_left_to_a_plugin() {
    let hosted = Hosted::of("cat <&7; cat <&9");
    let secret = hosted.folder.path().join("secret");
    std::fs::write(&secret, "a secret").expect("the folder is writable");
    let secret = secret.display();
    let ended = |shell: &str| {
        let mut process = hosted.under(shell).spawn().expect("it starts");
        let _input = process.stdin.take();
        let mut said = String::new();
        process.stdout.take().expect("a pipe").read_to_string(&mut said).expect("it is text");
        process.wait().expect("it is ours");
        said
    };
    assert_eq!(ended(&format!("exec 7< {secret} 9< {secret}; exec \"$@\"")), "");
    let plugin = hosted.file();
    let plugin = plugin.display();
    assert_eq!(ended(&format!("exec 7< {secret} 9< {secret}; exec {plugin}")), "a secreta secret", "it can fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_folder_is_left_behind() {
    // A folder that is closed to all but root, and one that is full.
    let fills =
        "/usr/bin/python3 -c 'import os; os.mkdir(\"closed\", 0); os.makedirs(\"a/b/c\"); open(\"a/b/c/d\", \"w\")'";
    let caged = caged(&format!("{fills}; ls -d a/b/c/d closed >/dev/null && {}", refuses("$PWD")));
    let folder = applied(&caged, PATIENT).await.expect_err("it says which").message;
    assert!(Path::new(&folder).join("a/b/c/d").exists(), "{folder}");
    drop(caged);
    until("its folder is left behind", || !Path::new(&folder).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_swept_away_is_made_again() {
    let apply = format!("[ $n = 1 ] || exit 3; {}", refuses("$0"));
    let caged = open(&script(GREETING, &apply), Confinement::default()).expect("it greets");
    for other in [false, true] {
        let copy = applied(&caged, PATIENT).await.expect_err("it says which").message;
        std::fs::remove_file(&copy).expect("it is ours");
        if other {
            std::fs::write(&copy, "#!/bin/sh\nexit 1\n").expect("the folder is ours");
            std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        assert_eq!(applied(&caged, PATIENT).await.expect_err("it ends").code, "plugin-ended");
        let again = applied(&caged, PATIENT).await.expect_err("it says which").message;
        assert!(copy != again && Path::new(&again).exists(), "{again}");
        assert_eq!(applied(&caged, PATIENT).await.expect_err("it ends").code, "plugin-ended");
    }
    assert_eq!(probed(&caged).await, Answer::Yes);
}
