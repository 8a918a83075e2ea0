//! A plugin as a rotator.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use keywheel_sdk::message::{Greeting, Reply, Request, Verb};
use keywheel_sdk::{
    Answer, Bundle, Call, Check, Descriptor, Finding, Place, RevokeHow, Rotator, RotatorError, Secret, Target, Usage,
};
use serde_json::{Map, Value};

use crate::child::{Child, Unanswered};
use crate::confine::Confinement;
use crate::fault::Fault;
use crate::file::{Copy, FileError, checked};

/// So many calls are asked of one process; then another takes its place, so that what it piled up goes, and none is killed in a call
/// for the processor time of all those before.
const CALLS: u64 = 64;
/// So many processes wait for calls. More may be at work.
const IDLE: usize = 4;
/// How long a question may take that a policy's reader asks.
const QUESTION: Duration = Duration::from_secs(5);

/// A program and its arguments that confine themselves and become the plugin: made from its file, its folder to work in, and what it may.
pub type Host = dyn Fn(&Path, &Path, &Confinement) -> (PathBuf, Vec<OsString>) + Send + Sync;

/// Which file is a plugin, and what it may.
#[derive(Clone)]
pub struct Plugin {
    /// The word after `rotator:`.
    pub name: String,
    pub file: PathBuf,
    /// What the file's SHA-256 must be, in hexadecimal digits.
    pub sha256: String,
    pub confinement: Confinement,
    /// How its processes are started; see [`crate::enter`].
    pub host: Arc<Host>,
}

/// Why a plugin is no rotator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the plugin `{plugin}` does not start as it should: {fault}")]
    Fault { plugin: String, fault: Fault },
    /// It is another rotator than the settings say.
    #[error("the plugin `{plugin}` says that it is `{kind}`: give it that name in the settings, or another file")]
    OtherKind { plugin: String, kind: String },
    /// The system has no thread for it.
    #[error("cannot ask the plugin `{0}`: the system gives no thread")]
    NoThread(String),
}

/// A rotator whose calls are answered by processes of a plugin.
pub struct PluginRotator {
    plugin: Plugin,
    file: Copy,
    greeting: Greeting,
    idle: Mutex<Vec<Child>>,
    places: Mutex<HashMap<String, Place>>,
}

impl PluginRotator {
    /// Checks the file, and starts it once to hear what it is. Waits for that, for ten seconds at most.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(plugin: Plugin) -> Result<Self, OpenError> {
        let file = checked(&plugin.file, &plugin.sha256)?;
        let greeting = apart(async { Child::start(&plugin, &file.path).await.map(|(_, greeting)| greeting) });
        let greeting = greeting.ok_or_else(|| OpenError::NoThread(plugin.name.clone()))?;
        let greeting = greeting.map_err(|fault| OpenError::Fault { plugin: plugin.name.clone(), fault })?;
        if greeting.descriptor.kind != plugin.name {
            return Err(OpenError::OtherKind { plugin: plugin.name, kind: greeting.descriptor.kind });
        }
        Ok(PluginRotator { plugin, file, greeting, idle: Mutex::default(), places: Mutex::default() })
    }

    /// Asks a call of a process that waits, or of a new one. Dropped, the process is killed.
    async fn ask(
        &self,
        verb: Verb,
        call: &Call<'_>,
        fill: impl FnOnce(Request) -> Request,
    ) -> Result<Reply, RotatorError> {
        let name = &self.plugin.name;
        let mut child = match self.waiting() {
            Some(child) => child,
            None => self.start().await.map_err(|fault| fault.before(name))?,
        };
        let request = fill(Request::of(child.next(), verb, call, Instant::now()));
        let reply = child
            .ask(&request, call.until)
            .await
            .map_err(|Unanswered { fault, sent }| if sent { fault.after(name) } else { fault.before(name) })?;
        self.keep(child);
        reply.into_done()
    }

    fn waiting(&self) -> Option<Child> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut child) = idle.pop() {
            if child.is_quiet() {
                return Some(child);
            }
            tracing::warn!(target: "keywheel::plugin", plugin = self.plugin.name, "a process ended, or wrote unasked, and is not used again");
        }
        None
    }

    fn keep(&self, child: Child) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if child.next() <= CALLS && idle.len() < IDLE {
            idle.push(child);
        }
    }

    async fn start(&self) -> Result<Child, Fault> {
        let (child, greeting) = Child::start(&self.plugin, &self.file.path).await?;
        // The file is the same, so it says the same, unless it is not to be trusted.
        if greeting == self.greeting { Ok(child) } else { Err(Fault::Changed) }
    }

    /// Asks a question that belongs to no rotation, of a process of its own.
    fn question(&self, verb: Verb, fill: impl FnOnce(Request) -> Request + Send) -> Result<Reply, RotatorError> {
        let name = &self.plugin.name;
        let asked = apart(async {
            let mut child = self.start().await.map_err(|fault| fault.before(name))?;
            let request = fill(Request::new(child.next(), verb, QUESTION));
            let reply = child.ask(&request, Instant::now() + QUESTION).await;
            reply.map_err(|unanswered| unanswered.fault.after(name))?.into_done()
        });
        asked.unwrap_or_else(|| Err(Fault::Late.before(name)))
    }

    fn answers(&self, question: &str) -> bool {
        self.greeting.answers.iter().any(|answered| answered == question)
    }
}

/// Runs this on a thread of its own, and waits: for callers that cannot await, wherever they run.
fn apart<T: Send>(what: impl Future<Output = T> + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let run = || Some(tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?.block_on(what));
        std::thread::Builder::new().spawn_scoped(scope, run).ok()?.join().ok()?
    })
}

#[async_trait]
impl Rotator for PluginRotator {
    fn describe(&self) -> Descriptor {
        self.greeting.descriptor.clone()
    }

    fn check_settings(&self, settings: &Map<String, Value>) -> Result<(), String> {
        if !self.answers("check_settings") {
            return Ok(());
        }
        match self.question(Verb::CheckSettings, |request| request.settings(settings)) {
            Ok(Reply { flaw: None, .. }) => Ok(()),
            Ok(Reply { flaw: Some(flaw), .. }) => Err(flaw),
            Err(error) => Err(error.message),
        }
    }

    fn place(&self, settings: &Map<String, Value>) -> Place {
        if !self.answers("place") {
            return Place::default();
        }
        // The same settings are the same place: it is asked at each step of a rotation.
        let key = Value::Object(settings.clone()).to_string();
        let known = || self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known().get(&key) {
            return place.clone();
        }
        match self.question(Verb::Place, |request| request.settings(settings)) {
            Ok(reply) => {
                let place = Place { owner: reply.owner.unwrap_or_default(), mark: reply.mark.unwrap_or_default() };
                known().insert(key, place.clone());
                place
            }
            // No place of any rotation: those that are under way rest until it answers.
            Err(error) => Place { owner: error.message, mark: String::new() },
        }
    }

    fn derive_field(&self, target: &Target, bundle: &Bundle, field: &str) -> Option<Secret> {
        let field = field.to_owned();
        self.question(Verb::DeriveField, |request| Request {
            field: Some(field),
            ..request.on(target).credential(bundle)
        })
        .ok()?
        .value
    }

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let reply = self.ask(Verb::Preflight, call, |request| request.current(current)).await?;
        reply.findings.ok_or_else(|| self.lacks("findings"))
    }

    async fn probe(&self, call: &Call<'_>, credential: &Bundle, others: &[&Bundle]) -> Answer {
        let others = others.iter().map(|other| other.duplicate()).collect();
        let fill = |request: Request| Request { others, ..request.credential(credential) };
        match self.ask(Verb::Probe, call, fill).await {
            Ok(reply) => reply.into_answer(),
            Err(error) => Answer::Unknown(error),
        }
    }

    async fn generate(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Bundle, RotatorError> {
        let reply = self.ask(Verb::Generate, call, |request| request.current(current)).await?;
        reply.made.ok_or_else(|| self.lacks("made"))
    }

    async fn sweep(&self, call: &Call<'_>, earlier: &[String], keep: &[&Bundle]) -> Result<(), RotatorError> {
        let keep = keep.iter().map(|kept| kept.duplicate()).collect();
        let fill = |request: Request| Request { keep, earlier: earlier.to_vec(), ..request };
        self.ask(Verb::Sweep, call, fill).await.map(drop)
    }

    async fn apply(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.ask(Verb::Apply, call, |request| request.candidate(candidate).current(current)).await.map(drop)
    }

    async fn verify(
        &self,
        call: &Call<'_>,
        candidate: &Bundle,
        current: Option<&Bundle>,
        checks: &[Check],
    ) -> Result<(), RotatorError> {
        let fill =
            |request: Request| Request { checks: checks.to_vec(), ..request.candidate(candidate).current(current) };
        self.ask(Verb::Verify, call, fill).await.map(drop)
    }

    async fn restore(&self, call: &Call<'_>, candidate: &Bundle, current: Option<&Bundle>) -> Result<(), RotatorError> {
        self.ask(Verb::Restore, call, |request| request.candidate(candidate).current(current)).await.map(drop)
    }

    async fn usage(&self, call: &Call<'_>, credential: &Bundle) -> Result<Usage, RotatorError> {
        let reply = self.ask(Verb::Usage, call, |request| request.credential(credential)).await?;
        reply.sessions.map(|sessions| Usage { sessions }).ok_or_else(|| self.lacks("sessions"))
    }

    async fn last_used(&self, call: &Call<'_>, credential: &Bundle) -> Result<Option<SystemTime>, RotatorError> {
        let reply = self.ask(Verb::LastUsed, call, |request| request.credential(credential)).await?;
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        match reply.last_used.map(at) {
            None => Ok(None),
            Some(Some(at)) => Ok(Some(at)),
            Some(None) => Err(self.lacks("last_used")),
        }
    }

    async fn disable(&self, call: &Call<'_>, previous: &Bundle, current: &Bundle) -> Result<(), RotatorError> {
        let fill = |request: Request| request.previous(previous).current(Some(current));
        self.ask(Verb::Disable, call, fill).await.map(drop)
    }

    async fn revoke(
        &self,
        call: &Call<'_>,
        previous: &Bundle,
        current: &Bundle,
        how: RevokeHow,
    ) -> Result<(), RotatorError> {
        let fill = |request: Request| Request { how: Some(how), ..request.previous(previous).current(Some(current)) };
        self.ask(Verb::Revoke, call, fill).await.map(drop)
    }
}

impl PluginRotator {
    /// An answer without what was asked for is none.
    fn lacks(&self, member: &str) -> RotatorError {
        let message = format!("the plugin `{}` answered without `{member}`", self.plugin.name);
        RotatorError::unknown("plugin-malformed", message)
    }
}
