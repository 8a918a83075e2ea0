//! What plugins write to their standard error: events without secrets, of which nothing shows a piece.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keywheel_plugin::Confinement;
use keywheel_sdk::{Call, Rotator, Secret};
use tracing::subscriber::DefaultGuard;

use super::zoo::{Caged, GREETING, PATIENT, login, open, reply, target};

/// What is logged, in plain text.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Heard {
    /// Listens in this thread, until the guard is dropped.
    fn listen() -> (Self, DefaultGuard) {
        let heard = Heard::default();
        let writer = heard.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (heard, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("events are text")
    }

    /// All that was logged until this word was.
    async fn until(&self, word: &str) -> String {
        let until = Instant::now() + PATIENT;
        while !self.text().contains(word) {
            assert!(Instant::now() < until, "`{word}` is not logged, but this is:\n{}", self.text());
            tokio::task::yield_now().await;
        }
        self.text()
    }
}

/// A script that does this when it is to make a value.
fn maker(generate: &str) -> Caged {
    let text = format!(
        "#!/bin/sh\nwhile IFS= read -r line; do\n    case $line in\n        *'\"type\":\"hello\"'*) echo '{GREETING}' ;;\n\
         \x20       *'\"call\":\"generate\"'*) {generate} ;;\n    esac\ndone\n"
    );
    open(&text, Confinement::default()).expect("it greets")
}

/// What is logged of an `apply` with these passwords, until `end` is.
async fn logged(apply: &str, candidate: &str, current: &str) -> String {
    let (heard, _listens) = Heard::listen();
    let caged = super::zoo::caged(&format!("{{ {apply}; echo the end; }} >&2; {}", reply("")));
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + PATIENT };
    caged.rotator.apply(&call, &login(candidate), Some(&login(current))).await.expect("it answers");
    heard.until("the end").await
}

#[tokio::test]
async fn no_secret_is_shown() {
    let heard = logged("echo a canary-new b; printf 'x\\001\\033[31mred  \\n'", "canary-new", "canary-old").await;
    assert!(heard.contains("a ••• b") && heard.contains("x[31mred plugin") && !heard.contains("canary"), "{heard}");
    // Control characters between hide it from a search; without them it would be there to read.
    let heard = logged("printf 'a can\\001ary-\\033new b\\n'", "canary-new", "canary-old").await;
    assert!(heard.contains("a ••• b") && !heard.contains("ary-"), "{heard}");
    // A value with control characters and blanks at its end, which no log shows.
    let heard = logged("printf 'a can\\001ary \\n'; echo 'b canary'", "can\u{1}ary ", "canary-old").await;
    assert!(heard.contains("a ••• plugin") && heard.contains("b ••• plugin"), "{heard}");
}

#[tokio::test]
async fn no_secret_of_several_lines_is_shown() {
    let pem = "-----BEGIN KEY-----\ncanary-one\ncanary-two\n-----END KEY-----\n";
    let heard = logged("printf 'canary-one\\ncanary-two\\n'; printf '%s\\n' \"$line\"", pem, "canary-old").await;
    assert!(heard.contains("type") && !heard.contains("canary"), "{heard}");
}

#[tokio::test]
async fn no_secret_is_shown_as_json_has_it() {
    let says = "printf '%s\\n' 'a \"canary \\\"\\u00e4\\\\ new\" b' 'c \"canary \\\"ä\\\\ new\" d'";
    let heard = logged(says, "canary \"ä\\ new", "canary-old").await;
    assert!(heard.contains("a \"•••\" b") && heard.contains("c \"•••\" d") && !heard.contains("canary"), "{heard}");
}

#[tokio::test]
async fn no_piece_of_a_line_that_is_too_long_is_shown() {
    for before in [4090, 8186, 12282] {
        let says = format!("printf '%0{before}dcanary-new\\n' 0; echo next");
        let heard = logged(&says, "canary-new", "canary-old").await;
        assert!(!heard.contains("00000000") && !heard.contains("new") && !heard.contains("nary"), "{heard}");
        assert!(heard.contains("next"), "{heard}");
    }
}

#[tokio::test]
async fn what_is_being_made_is_not_shown() {
    let (heard, _listens) = Heard::listen();
    let made = r#"echo made canary-made >&2; read -r pause < /dev/null; echo '{"type":"reply","id":1,"made":{"username":"app","password":"canary-made"}}'; echo the end >&2"#;
    let caged = maker(made);
    let target = target();
    let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + PATIENT };
    let made = caged.rotator.generate(&call, None).await.expect("it makes one");
    assert!(made.password().expect("a login").same_as(&Secret::new("canary-made".to_owned())));
    let text = heard.until("the end").await;
    assert!(text.contains("made •••") && !text.contains("canary"), "{text}");
}

#[tokio::test]
async fn what_was_made_without_an_answer_is_never_shown() {
    for (made, patience) in [("exit 3", PATIENT), ("read -r more", Duration::from_secs(1))] {
        let (heard, _listens) = Heard::listen();
        let caged = maker(&format!("echo made canary-made >&2; {made}"));
        let target = target();
        let call = Call { target: &target, rotation: "r-1", fence: 1, until: Instant::now() + patience };
        assert!(caged.rotator.generate(&call, None).await.is_err());
        let text = heard.until("1 more lines were left out").await;
        assert!(!text.contains("canary"), "{text}");
    }
}
