//! Puts the parts together: the only file that names concrete rotators and stores.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_apikey::ApiKeyRotator;
use keywheel_policies::{
    Catalogue, KnownConsumer, Loaded, MasterKey, Problem, Problems, RESTING, SecretStore, Settings, StateStore,
};
use keywheel_postgres::PostgresRotator;
use keywheel_runtime::{Clock, Engine, Environment, Limits, Observer, Redacted, Registry, SystemClock};
use keywheel_sdk::{Rotator, Secret};
use keywheel_secrets::memory::MemoryStore;
use keywheel_secrets::{Keyring, LocalStore};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_state::sqlite::SqliteState;

use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::output::talk;
use crate::select::Policies;

mod declared;
mod plugged;
mod told;

use declared::is_in_declaration;
pub use declared::{Declaration, Origin};
pub use keywheel_apikey::{Held, Known, Mistake, Provider, RequestOutline, SettingOutline, Sketch, provider_schema};
pub use keywheel_plugin::FileError;
pub use plugged::{Examined, copied, examined, hashed, heard, opened, verified};
pub use told::notifiers;

/// Policies and the engine over them.
pub struct Wired {
    /// What they were read from.
    pub settings: Settings,
    pub policies: Policies,
    pub engine: Arc<Engine>,
    /// The engine's journal, for its counters.
    pub journal: Arc<SqliteState>,
}

/// Reads `keywheel.yaml`, showing all its mistakes.
pub fn settings(path: &Path) -> Result<Settings, Failure> {
    if !path.exists() {
        return Err(Failure::input(format!("there is no settings file `{}`", path.display()))
            .hint("`keywheel init` makes one; `--settings FILE` or KEYWHEEL_SETTINGS names another"));
    }
    let (settings, absent) = keywheel_policies::load_settings_to_use(path).map_err(|problems| refused(&problems))?;
    log_absent(&absent);
    Ok(settings)
}

/// Reads the policies that the settings name, or others, without judging them. Mistakes in declarations of providers are among
/// the problems.
pub fn read_policies(paths: &[PathBuf], settings: Option<&Settings>, rotators: &Rotators) -> Loaded {
    let freezes = settings.map(|settings| settings.freezes.clone()).unwrap_or_default();
    let notifiers = settings.iter().flat_map(|settings| &settings.notifiers).map(|spec| spec.name.clone()).collect();
    let consumers = settings.iter().flat_map(|settings| &settings.consumers);
    let consumers = consumers.map(|consumer| (consumer.name.clone(), KnownConsumer::from(consumer))).collect();
    let known = Catalogue { rotators: rotators.registry.specs(), freezes, notifiers, consumers };
    let mut loaded = keywheel_policies::load(paths, &known);
    loaded.problems.extend(rotators.broken.iter().flat_map(Declaration::problems));
    loaded
}

/// Reads the policies that the settings name.
///
/// # Errors
/// All mistakes, which are shown, unless they are in declarations of providers alone, or it is not clear which rotator acts: then only the
/// policies that need these rest.
pub fn policies(settings: &Settings, rotators: &Rotators) -> Result<Policies, Failure> {
    let loaded = read_policies(&settings.policies, Some(settings), rotators);
    let of_rotators = |problem: &Problem| is_of_resting(problem) || is_in_declaration(problem);
    if !loaded.problems.iter().all(of_rotators) {
        return Err(refused(&loaded.problems));
    }
    Ok(Policies {
        usable: loaded.policies.into_iter().map(Arc::new).collect(),
        resting: loaded.resting,
        mistakes: loaded.problems.iter().filter(|problem| is_in_declaration(problem)).count(),
    })
}

/// Opens everything for those policies that can be acted on, and tells of those that rest. `observer` is told of each step.
pub async fn open(settings_file: &Path, observer: Option<Observer>) -> Result<Wired, Failure> {
    let settings = settings(settings_file)?;
    let rotators = rotators(Some(&settings));
    let policies = policies(&settings, &rotators)?;
    if policies.mistakes > 0 || !policies.resting.is_empty() {
        talk(&format!("note: {}", policies.told()));
    }
    wired(&settings, policies, &rotators, observer).await
}

/// Opens everything for all policies.
///
/// # Errors
/// Any mistake in settings, policies or declarations of providers; all of them are shown.
pub async fn open_all(settings_file: &Path, observer: Option<Observer>) -> Result<Wired, Failure> {
    let settings = settings(settings_file)?;
    let rotators = rotators(Some(&settings));
    let loaded = read_policies(&settings.policies, Some(&settings), &rotators);
    if !loaded.problems.is_empty() {
        return Err(refused(&loaded.problems));
    }
    let usable = loaded.policies.into_iter().map(Arc::new).collect();
    wired(&settings, Policies { usable, resting: Vec::new(), mistakes: 0 }, &rotators, observer).await
}

/// Opens everything for the daemon: a policy rests where it is not clear which rotator acts, and the others do not wait for it.
///
/// # Errors
/// Any other mistake in settings, policies or declarations of providers; all of them are shown.
pub async fn open_to_run(settings_file: &Path) -> Result<Wired, Failure> {
    let settings = settings(settings_file)?;
    let rotators = rotators(Some(&settings));
    let loaded = read_policies(&settings.policies, Some(&settings), &rotators);
    if !loaded.problems.iter().all(is_of_resting) {
        return Err(refused(&loaded.problems));
    }
    let usable = loaded.policies.into_iter().map(Arc::new).collect();
    wired(&settings, Policies { usable, resting: loaded.resting, mistakes: 0 }, &rotators, None).await
}

/// Reads everything anew for a daemon that runs, and joins it with the stores that it has open.
///
/// # Errors
/// Any mistake that would stop a start; all of them are logged. Or the stores are named otherwise: that needs a start.
pub fn again(settings_file: &Path, before: &Wired) -> Result<Wired, Failure> {
    let (settings, absent) =
        keywheel_policies::load_settings_to_use(settings_file).map_err(|problems| logged(&problems))?;
    log_absent(&absent);
    if (&settings.state, &settings.secrets) != (&before.settings.state, &before.settings.secrets) {
        return Err(Failure::input("the settings name other stores than before")
            .hint("stop keywheel and start it again for that"));
    }
    let rotators = rotators(Some(&settings));
    let loaded = read_policies(&settings.policies, Some(&settings), &rotators);
    if !loaded.problems.iter().all(is_of_resting) {
        return Err(logged(&loaded.problems));
    }
    let usable = loaded.policies.into_iter().map(Arc::new).collect();
    let policies = Policies { usable, resting: loaded.resting, mistakes: 0 };
    let (state, secrets) = (Arc::clone(&before.engine.state), Arc::clone(&before.engine.secrets));
    let engine = Arc::new(assembled(&settings, state, secrets, &rotators, None));
    Ok(Wired { settings, policies, engine, journal: Arc::clone(&before.journal) })
}

/// What a consumer needs and is not there now.
fn log_absent(problems: &Problems) {
    for Problem { code, message, place, .. } in problems.iter() {
        let (file, line) = (place.file.as_ref(), place.line);
        tracing::warn!(file, line, code, "a consumer cannot do its part now: {message}");
    }
}

/// Writes mistakes to the log, and sums them up.
fn logged(problems: &Problems) -> Failure {
    for Problem { code, message, place, help, .. } in problems.iter() {
        let (file, line, column) = (place.file.as_ref(), place.line, place.column);
        tracing::error!(file, line, column, code, help, "{message}");
    }
    Failure::input(format!("{} to mend first", mistakes(problems.len())))
}

fn mistakes(count: usize) -> String {
    format!("{count} {}", if count == 1 { "mistake" } else { "mistakes" })
}

fn is_of_resting(problem: &Problem) -> bool {
    RESTING.contains(&problem.code)
}

async fn wired(
    settings: &Settings,
    policies: Policies,
    rotators: &Rotators,
    observer: Option<Observer>,
) -> Result<Wired, Failure> {
    let journal = journal(settings).await?;
    let engine = joined(settings, Arc::clone(&journal) as _, rotators, observer).await?;
    Ok(Wired { settings: settings.clone(), policies, engine: Arc::new(engine), journal })
}

/// Opens the stores and joins them with the rotators.
pub async fn engine(settings: &Settings, rotators: &Rotators, observer: Option<Observer>) -> Result<Engine, Failure> {
    joined(settings, state(settings).await?, rotators, observer).await
}

async fn joined(
    settings: &Settings,
    state: Arc<dyn keywheel_state::StateStore>,
    rotators: &Rotators,
    observer: Option<Observer>,
) -> Result<Engine, Failure> {
    let secrets: Arc<dyn keywheel_secrets::SecretStore> = Arc::new(secrets(settings).await?);
    #[cfg(feature = "failpoints")]
    let (state, secrets): (Arc<dyn keywheel_state::StateStore>, Arc<dyn keywheel_secrets::SecretStore>) = {
        use keywheel_runtime::failpoint::{Kill, PointedSecrets, PointedState};
        (Arc::new(PointedState(state, Arc::new(Kill))), Arc::new(PointedSecrets(secrets, Arc::new(Kill))))
    };
    Ok(assembled(settings, state, secrets, rotators, observer))
}

/// An engine over open stores.
fn assembled(
    settings: &Settings,
    state: Arc<dyn keywheel_state::StateStore>,
    secrets: Arc<dyn keywheel_secrets::SecretStore>,
    rotators: &Rotators,
    observer: Option<Observer>,
) -> Engine {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let consumers = told::consumers(&settings.consumers, Arc::clone(&secrets), environment(), Arc::clone(&clock));
    #[cfg(feature = "failpoints")]
    let consumers: Arc<dyn keywheel_runtime::Consumers> = {
        use keywheel_runtime::failpoint::{Kill, PointedConsumers};
        Arc::new(PointedConsumers(consumers, Arc::new(Kill)))
    };
    Engine {
        state,
        secrets,
        rotators: rotators.registry.clone(),
        consumers,
        clock,
        environment: environment(),
        limits: limits(settings),
        observer,
    }
}

/// Opens the journal.
pub async fn state(settings: &Settings) -> Result<Arc<dyn keywheel_state::StateStore>, Failure> {
    Ok(journal(settings).await?)
}

async fn journal(settings: &Settings) -> Result<Arc<SqliteState>, Failure> {
    match &settings.state {
        StateStore::Sqlite(path) => Ok(Arc::new(SqliteState::open(path).await?)),
    }
}

/// Opens the secret store. Made here on first use.
pub async fn secrets(settings: &Settings) -> Result<LocalStore, Failure> {
    match &settings.secrets {
        SecretStore::Local { path, master_key } => Ok(LocalStore::open(path, keyring(master_key)?).await?),
    }
}

/// The secret store, to look into: an empty one where there is none yet or it cannot be opened, and why. Makes none.
pub async fn secrets_to_look_into(settings: &Settings) -> (Box<dyn keywheel_secrets::SecretStore>, Option<String>) {
    let SecretStore::Local { path, .. } = &settings.secrets;
    let why = if path.exists() {
        match secrets(settings).await {
            Ok(store) => return (Box::new(store), None),
            Err(failure) => failure.what,
        }
    } else {
        format!("there is no secret store `{}` yet", path.display())
    };
    (Box::new(MemoryStore::new()), Some(why))
}

/// Reads the master key.
pub fn keyring(key: &MasterKey) -> Result<Keyring, Failure> {
    let keyring = match key {
        MasterKey::File(path) => Keyring::load(path),
        MasterKey::Env(name) => match environment()(name) {
            // Our copy of the text is zeroed after use; the system's, in the environment, is not ours to touch.
            Some(text) => Secret::new(text).expose(Keyring::from_text),
            None => {
                return Err(Failure::input(format!(
                    "the environment variable `{name}`, which should hold the master key, is not set"
                )));
            }
        },
    };
    keyring.map_err(|error| {
        Failure::input(error.to_string())
            .hint("the key encrypts the secret store; `keywheel init` makes one for a new store")
    })
}

/// The rotators that policies may name: read with them and used by the engine, so that each is made once.
pub struct Rotators {
    registry: Registry,
    /// Declarations with mistakes.
    broken: Vec<Declaration>,
}

/// All rotators of this build, one for each provider that the settings declare, and one for each plugin.
pub fn rotators(settings: Option<&Settings>) -> Rotators {
    let providers = settings.map(|settings| settings.providers.as_slice()).unwrap_or_default();
    let plugins = settings.map(|settings| settings.plugins.as_slice()).unwrap_or_default();
    let (mut registry, mut broken) = (of_build(), Vec::new());
    let mut taken: BTreeSet<String> = registry.kinds().map(str::to_owned).collect();
    for plugin in plugins.iter().filter(|plugin| !taken.contains(&plugin.name)) {
        let beside = plugins.iter().filter(|other| other.name == plugin.name).count() > 1;
        registry = plugged::with(registry, plugin, beside);
    }
    taken.extend(plugins.iter().map(|plugin| plugin.name.clone()));
    for declaration in declared::in_files(providers, &taken) {
        match declaration.read {
            Ok(provider) => registry = registry.with(guarded(ApiKeyRotator::new(provider))),
            Err(_) => {
                if let Some((kind, why)) = declaration.broken() {
                    registry = registry.with_later(kind, || Err(why));
                }
                broken.push(declaration);
            }
        }
    }
    Rotators { registry, broken }
}

/// The rotators of this build.
fn of_build() -> Registry {
    let servers = Registry::new().with(guarded(PostgresRotator::new())).with(guarded(SqlServerRotator::new()));
    keywheel_apikey::shipped().iter().fold(servers, |registry, shipped| {
        registry.with_later(shipped.name, || Ok(guarded(ApiKeyRotator::new(shipped.provider()))))
    })
}

/// Whether a rotator of this build has this name.
pub fn is_of_build(kind: &str) -> bool {
    of_build().kinds().any(|known| known == kind)
}

/// Behind redaction; and, where tests kill, with the points at which they do.
fn guarded(rotator: impl Rotator + 'static) -> Arc<dyn Rotator> {
    let rotator: Arc<dyn Rotator> = Arc::new(rotator);
    #[cfg(feature = "failpoints")]
    let rotator: Arc<dyn Rotator> = {
        use keywheel_runtime::failpoint::{Kill, PointedRotator};
        Arc::new(PointedRotator(rotator, Arc::new(Kill)))
    };
    Arc::new(Redacted::new(rotator))
}

/// All declarations of providers, right and wrong: first what is shipped.
pub fn declarations(providers: &[PathBuf]) -> Vec<Declaration> {
    let taken = of_build().kinds().map(str::to_owned).collect();
    declared::shipped().chain(declared::in_files(providers, &taken)).collect()
}

/// The process's environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment; all others are given it")]
pub fn environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok())
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        rotations: settings.limits.rotations as usize,
        per_target: settings.limits.per_target as usize,
        step: settings.deadlines.step,
        lease: settings.deadlines.lease,
    }
}

/// Shows mistakes as a compiler does, and sums them up.
fn refused(problems: &Problems) -> Failure {
    show(problems);
    Failure {
        exit: Exit::Input,
        what: format!("{} to mend first", mistakes(problems.len())),
        changed: NOTHING_CHANGED,
        hint: Some("`keywheel validate` checks files without doing anything".to_owned()),
    }
}

/// Shows the mistakes in declarations.
pub fn show_mistakes<'a>(declarations: impl IntoIterator<Item = &'a Declaration>) -> Problems {
    let mut problems = Problems::default();
    problems.extend(declarations.into_iter().flat_map(Declaration::problems));
    if !problems.is_empty() {
        show(&problems);
    }
    problems
}

/// Writes mistakes to stderr.
pub fn show(problems: &Problems) {
    use std::io::Write;
    // Styles are taken out again where stderr does not want them.
    let _ = anstream::stderr().write_all(problems.render(true).as_bytes());
    talk("");
}
