//! A target of an author's own as the subject of the exam: their commands make the stages, and say who is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keywheel_exam::{Candidate, CutProxy, Fault, Line, Stage, Subject};
use keywheel_plugin::PluginRotator;
use keywheel_sdk::{Bundle, Generates, Rotator, Secret, Shape, Target};
use serde_json::{Map, Value, json};

use super::command::{Ended, run};
use super::file::{OwnTarget, is_public};

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

    /// Runs a command with this on its standard input. How it ended, if it knew what it says.
    async fn run(&self, command: &[String], input: &Value) -> Option<Ended> {
        run(&self.own.folder, command, input).await.map_err(|why| self.command_gives_out(command, &why)).ok()
    }

    /// The same of a command that has no other end than a good one: what it printed.
    async fn printed(&self, command: &[String], input: &Value) -> Option<String> {
        let Ended { well, printed } = self.run(command, input).await?;
        if !well {
            self.command_gives_out(command, "it ended with exit code 1");
        }
        well.then_some(printed)
    }

    /// Two accounts, or one, whose passwords the engine makes.
    async fn accounts(&self) -> (Bundle, Candidate) {
        let number = self.stages.fetch_add(1, Ordering::SeqCst);
        let strategy = self.own.strategy();
        let users = strategy.users();
        let (first, last) = (users.first().cloned().unwrap_or_default(), users.last().cloned().unwrap_or_default());
        let current = self.password(&format!("current-{number}"));
        let scene = json!({ "account": first, "password": current, "candidate_account": last });
        self.printed(&self.own.stage, &scene).await;
        let candidate = Secret::new(self.password(&format!("candidate-{number}")));
        (Bundle::login(&first, Secret::new(current)), Candidate::Given(Bundle::login(&last, candidate)))
    }

    /// An account with one key, whose successors the target makes.
    async fn key(&self) -> (Bundle, Candidate) {
        let printed = self.printed(&self.own.stage, &json!({})).await;
        let current = printed.map(|printed| self.fields(&printed)).unwrap_or_default();
        match self.count().await {
            Some(1) | None => {}
            Some(keys) => self.command_gives_out(
                &self.own.stage,
                &format!("the account has {keys} keys after it, and there must be one, which no rotation made"),
            ),
        }
        (current, Candidate::Generated)
    }

    /// The key that a stage begins with, as its command prints it. What was printed is never shown: it holds a secret.
    fn fields(&self, printed: &str) -> Bundle {
        let fields: BTreeMap<String, String> = serde_json::from_str(printed).unwrap_or_default();
        let known = self.rotator.describe().derived_fields;
        let other = fields.keys().find(|field| !known.contains(field));
        if fields.is_empty() {
            self.command_gives_out(&self.own.stage, "it did not print the fields of a key as a JSON object of texts");
        } else if let Some(field) = other {
            let why = format!("it printed the field `{field}`, and the plugin says that a key has {known:?}");
            self.command_gives_out(&self.own.stage, &why);
        }
        fields.into_iter().fold(Bundle::new(), |bundle, (field, value)| bundle.with(&field, Secret::new(value)))
    }

    /// How many keys the account has, if the target makes them.
    async fn count(&self) -> Option<usize> {
        let command = self.own.keys.as_ref()?;
        let printed = self.printed(command, &json!({})).await?;
        let names: Vec<String> = serde_json::from_str(&printed)
            .map_err(|_| self.command_gives_out(command, "it did not print a JSON list of texts, one for each key"))
            .ok()?;
        if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
            self.command_gives_out(command, "it printed one text twice, and each key has a name of its own");
        }
        Some(names.len())
    }

    fn command_gives_out(&self, command: &[String], why: &str) {
        self.gives_out(format!("{command:?}: {why}"));
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
        let (current, candidate) = match self.own.shape() {
            Shape::InPlace | Shape::Alternating => self.accounts().await,
            Shape::Overlapping => self.key().await,
        };
        let honest = str::to_owned;
        let wrong = |_: &str| "not-the-admins-password".to_owned();
        let through = |line: &Arc<CutProxy>| -> (Target, Box<dyn Line>) {
            let change = self.own.line.as_ref().map(|line| line.change.clone()).unwrap_or_default();
            let wire = Wire { proxy: Arc::clone(line), change };
            (self.target(self.own.through(line.port()), honest), Box::new(wire))
        };
        Stage {
            target: self.target(self.own.target.clone(), honest),
            current,
            candidate,
            wrong_admin: self.own.has_admin().then(|| self.target(self.own.target.clone(), wrong)),
            line: self.line.as_ref().map(through),
            odd_passwords: self.own.odd_passwords.clone(),
        }
    }

    async fn accepts(&self, credential: &Bundle) -> bool {
        let fields = credential.fields().map(|(name, value)| (name.to_owned(), value.expose(str::to_owned).into()));
        self.run(&self.own.login, &Value::Object(fields.collect())).await.is_some_and(|ended| ended.well)
    }

    async fn keys(&self) -> Option<usize> {
        self.count().await
    }

    fn tags(&self) -> bool {
        self.own.tags()
    }

    fn is_public(&self, field: &str) -> bool {
        is_public(field)
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
    change: Vec<String>,
}

impl Wire {
    fn arm(&self, fault: impl Fn(Vec<u8>) -> Fault) {
        self.proxy.arm_one_of(self.change.iter().map(|change| fault(change.clone().into_bytes())).collect());
    }
}

impl Line for Wire {
    fn lose_next_acknowledgement(&self) {
        self.arm(|marker| Fault::CutAfterEffect { marker });
    }
    fn cut_before_next_change(&self) {
        self.arm(|marker| Fault::CutBeforeEffect { marker });
    }
    fn stall_next_change(&self) {
        self.arm(|marker| Fault::Stall { marker });
    }
    fn stall_after_next_change(&self) {
        self.arm(|marker| Fault::StallAfterEffect { marker });
    }
    fn strikes(&self) -> u64 {
        self.proxy.strikes()
    }
}
