//! A target of an author's own as the subject of the exam: their commands make the stages, and say who is let in.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keywheel_exam::{Candidate, CutProxy, Fault, Line, Stage, Subject};
use keywheel_plugin::PluginRotator;
use keywheel_sdk::{Bundle, Generates, Rotator, Secret, Target, USERNAME};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::file::OwnTarget;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of what a command says when it fails, so many characters are shown.
const WORDS: usize = 300;

pub struct OwnSubject {
    name: String,
    rotator: Arc<PluginRotator>,
    own: OwnTarget,
    line: Option<Arc<CutProxy>>,
    stages: AtomicU64,
    /// The first thing that went wrong with a command.
    trouble: Mutex<Option<String>>,
}

impl OwnSubject {
    pub fn new(name: String, rotator: Arc<PluginRotator>, own: OwnTarget, line: Option<Arc<CutProxy>>) -> Self {
        OwnSubject { name, rotator, own, line, stages: AtomicU64::new(0), trouble: Mutex::default() }
    }

    fn target(&self, settings: Map<String, Value>, secret: impl Fn(&str) -> String) -> Target {
        let generates = Some(Generates { length: 32, classes: 4, required: 0, base64: false });
        Target { settings, strategy: self.own.strategy(), admin: self.own.admin(secret), generates }
    }

    /// Runs a command with this on its standard input. How it ended, if it did by itself.
    async fn run(&self, command: &[String], input: &Value) -> Option<i32> {
        let ended = timeout(PATIENCE, self.ended(command, input)).await;
        let ended = ended.unwrap_or_else(|_| Err(format!("it did not end within {} s", PATIENCE.as_secs())));
        ended.map_err(|why| self.gives_out(format!("{command:?}: {why}"))).ok()
    }

    async fn ended(&self, command: &[String], input: &Value) -> Result<i32, String> {
        let [program, arguments @ ..] = command else { return Err("there is no program".to_owned()) };
        // A path is the file's own, a bare name is looked for as usual.
        let program = if program.contains('/') { self.own.folder.join(program) } else { program.into() };
        let program = if program.components().count() > 1 {
            std::path::absolute(&program).map_err(|error| error.to_string())?
        } else {
            program
        };
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        if !self.own.folder.as_os_str().is_empty() {
            process.current_dir(&self.own.folder);
        }
        let mut process = process.spawn().map_err(|error| format!("it does not start: {error}"))?;
        if let Some(mut stdin) = process.stdin.take() {
            // Who does not read it ends in a way of its own.
            stdin.write_all(format!("{input}\n").as_bytes()).await.ok();
        }
        let output = process.wait_with_output().await.map_err(|error| error.to_string())?;
        let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(WORDS).collect();
        match output.status.code() {
            Some(code @ (0 | 1)) => Ok(code),
            _ => Err(format!("it ended with {}: {said}", output.status)),
        }
    }

    fn gives_out(&self, why: String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }
}

#[async_trait]
impl Subject for OwnSubject {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn rotator(&self) -> &dyn Rotator {
        self.rotator.as_ref()
    }

    async fn stage(&self) -> Stage {
        if let Some(line) = &self.line {
            line.disarm();
        }
        let number = self.stages.fetch_add(1, Ordering::SeqCst);
        let strategy = self.own.strategy();
        let users = strategy.users();
        let (first, last) = (users.first().cloned().unwrap_or_default(), users.last().cloned().unwrap_or_default());
        let current = self.password(&format!("current-{number}"));
        let scene = json!({ "account": first, "password": current, "candidate_account": last });
        if self.run(&self.own.stage, &scene).await == Some(1) {
            self.gives_out(format!("{:?}: it ended with exit code 1", self.own.stage));
        }
        let candidate = Secret::new(self.password(&format!("candidate-{number}")));
        let honest = str::to_owned;
        let wrong = |_: &str| "not-the-admins-password".to_owned();
        let through = |line: &Arc<CutProxy>| -> (Target, Box<dyn Line>) {
            let change = self.own.line.as_ref().map(|line| line.change.clone()).unwrap_or_default();
            let wire = Wire { proxy: Arc::clone(line), change: change.into_bytes() };
            (self.target(self.own.through(line.port()), honest), Box::new(wire))
        };
        Stage {
            target: self.target(self.own.target.clone(), honest),
            current: Bundle::login(&first, Secret::new(current)),
            candidate: Candidate::Given(Bundle::login(&last, candidate)),
            wrong_admin: self.own.has_admin().then(|| self.target(self.own.target.clone(), wrong)),
            line: self.line.as_ref().map(through),
            odd_passwords: self.own.odd_passwords.clone(),
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        let fields = credential.fields().map(|(name, value)| (name.to_owned(), value.expose(str::to_owned).into()));
        self.run(&self.own.login, &Value::Object(fields.collect())).await == Some(0)
    }

    fn is_public(&self, field: &str) -> bool {
        field == USERNAME
    }

    /// The accounts are those of the file.
    fn stands_apart(&self) -> bool {
        false
    }

    fn leaks(&self) -> u64 {
        self.rotator.leaks()
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Breaks at what has a change in it.
struct Wire {
    proxy: Arc<CutProxy>,
    change: Vec<u8>,
}

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.proxy.arm(Fault::CutAfterEffect { marker: self.change.clone() });
    }
    fn cut_before_next_change(&self) {
        self.proxy.arm(Fault::CutBeforeEffect { marker: self.change.clone() });
    }
    fn stall_next_change(&self) {
        self.proxy.arm(Fault::Stall { marker: self.change.clone() });
    }
    fn stall_after_next_change(&self) {
        self.proxy.arm(Fault::StallAfterEffect { marker: self.change.clone() });
    }
    fn strikes(&self) -> u64 {
        self.proxy.strikes()
    }
}
