//! A plugin as a rotator.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use keywheel_sdk::message::{Greeting, Reply, Request, Verb};
use keywheel_sdk::{
    Answer, Bundle, Call, Check, Descriptor, Finding, RevokeHow, Rotator, RotatorError, Secret, USERNAME, Usage, mask,
};

use crate::child::{GREETING, Unanswered};
use crate::fault::Fault;
use crate::file::{FileError, checked};
use crate::instance::{Instance, Source};
use crate::leaks::Leaks;
use crate::plugin::{Form, Plugin};
use crate::resident::Loaded;

/// So many calls are asked of one process; then another takes its place, so that what it piled up goes, and none is killed in a call
/// for the processor time of all those before.
const CALLS: u64 = 64;
/// So many processes wait for calls. More may be at work.
const IDLE: usize = 4;
/// An answer may be on its way for so many milliseconds, or for a tenth of the call's time where that is less.
const WAY_BACK_MS: u64 = 250;
/// Of what a plugin says in words, so many bytes are kept.
const WORDS: usize = 2000;
/// So many of its findings.
const FINDINGS: usize = 100;

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
    source: Source,
    greeting: Greeting,
    idle: Mutex<Vec<Instance>>,
    leaks: Leaks,
}

/// Checks a file, and starts it once to hear what it is, whatever name it was given. Waits for that, for ten seconds at most.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::OtherKind`] is none of them.
pub fn introduce(plugin: &Plugin) -> Result<Descriptor, OpenError> {
    greeted(plugin, &Leaks::default()).map(|(_, greeting)| greeting.descriptor)
}

fn greeted(plugin: &Plugin, leaks: &Leaks) -> Result<(Source, Greeting), OpenError> {
    let fault = |fault| OpenError::Fault { plugin: plugin.name.clone(), fault };
    let file = checked(plugin)?;
    let source = match plugin.form {
        Form::Executable | Form::Library => Source::File(file),
        Form::InProcess => Source::Loaded(Loaded::load(plugin, file, GREETING).map_err(fault)?),
    };
    let greeting = apart(async { source.start(plugin, leaks).await.map(|(_, greeting)| greeting) });
    let greeting = greeting.ok_or_else(|| OpenError::NoThread(plugin.name.clone()))?.map_err(fault)?;
    Ok((source, greeting))
}

impl PluginRotator {
    /// Checks the file, and starts it once to hear what it is. Waits for that, for ten seconds at most.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(plugin: Plugin) -> Result<Self, OpenError> {
        let leaks = Leaks::default();
        let (source, greeting) = greeted(&plugin, &leaks)?;
        if greeting.descriptor.kind != plugin.name {
            return Err(OpenError::OtherKind { plugin: plugin.name, kind: greeting.descriptor.kind });
        }
        Ok(PluginRotator { plugin, source, greeting, idle: Mutex::default(), leaks })
    }

    /// How often a secret stood in what it answered in words, or wrote to its standard error. It was hidden there, but a plugin
    /// should write none. What one in this process writes is not seen.
    pub fn leaks(&self) -> u64 {
        self.leaks.count()
    }

    /// Asks a call of a process that waits, or of a new one. Dropped, the process is killed.
    async fn ask(
        &self,
        verb: Verb,
        call: &Call<'_>,
        fill: impl FnOnce(Request) -> Request,
    ) -> Result<Reply, RotatorError> {
        let name = &self.plugin.name;
        let mut instance = match self.waiting() {
            Some(instance) => instance,
            None => self.start().await.map_err(|fault| fault.before(name))?,
        };
        let mut request = fill(Request::of(instance.next(), verb, call, Instant::now()));
        // A rotator that uses all of its time still has its answer heard.
        request.left_ms -= (request.left_ms / 10).min(WAY_BACK_MS);
        let reply = instance
            .ask(&request, call.until)
            .await
            .map_err(|Unanswered { fault, sent }| if sent { fault.after(name) } else { fault.before(name) })?;
        self.keep(instance);
        told(reply, &request, &self.leaks).into_done()
    }

    fn waiting(&self) -> Option<Instance> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut instance) = idle.pop() {
            if instance.is_quiet() {
                return Some(instance);
            }
            tracing::warn!(target: "keywheel::plugin", plugin = self.plugin.name, "a process ended, or wrote unasked, and is not used again");
        }
        None
    }

    fn keep(&self, instance: Instance) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if instance.next() <= CALLS && idle.len() < IDLE {
            idle.push(instance);
        }
    }

    async fn start(&self) -> Result<Instance, Fault> {
        let (instance, greeting) = self.source.start(&self.plugin, &self.leaks).await?;
        // The file is the same, so it says the same, unless it is not to be trusted.
        if greeting == self.greeting { Ok(instance) } else { Err(Fault::Changed) }
    }

    /// An answer without what was asked for is none.
    fn lacks(&self, member: &str) -> RotatorError {
        let message = format!("the plugin `{}` answered without `{member}`", self.plugin.name);
        RotatorError::unknown("plugin-malformed", message)
    }
}

/// The reply with its words as they can be kept and shown. Secrets are masked first: half of one would not be found any more.
fn told(mut reply: Reply, request: &Request, leaks: &Leaks) -> Reply {
    let fields = || request.bundles().flat_map(Bundle::fields).filter(|(name, _)| *name != USERNAME);
    let told = |text: &str| {
        let masked = mask(text, fields().map(|(_, secret)| secret));
        leaks.note(text, &masked);
        words(&masked)
    };
    if let Some(error) = &mut reply.error {
        (error.code, error.message) = (told(&error.code), told(&error.message));
    }
    reply.reason = reply.reason.as_deref().map(told);
    for found in reply.findings.iter_mut().flatten() {
        (found.what, found.hint) = (told(&found.what), told(&found.hint));
    }
    reply
}

/// As far as it can be kept and shown.
pub(crate) fn words(text: &str) -> String {
    let end = text.floor_char_boundary(WORDS);
    text[..end].chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
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

    async fn preflight(&self, call: &Call<'_>, current: Option<&Bundle>) -> Result<Vec<Finding>, RotatorError> {
        let reply = self.ask(Verb::Preflight, call, |request| request.current(current)).await?;
        let findings = reply.findings.ok_or_else(|| self.lacks("findings"))?;
        Ok(findings.into_iter().take(FINDINGS).collect())
    }

    async fn derive_field(
        &self,
        call: &Call<'_>,
        credential: &Bundle,
        field: &str,
    ) -> Result<Option<Secret>, RotatorError> {
        let fill = |request: Request| Request { field: Some(field.to_owned()), ..request.credential(credential) };
        let reply = self.ask(Verb::DeriveField, call, fill).await?;
        let value = |made: Bundle| made.get(field).ok().map(Secret::duplicate);
        match reply.made.map(value) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(self.lacks("the field")),
        }
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
