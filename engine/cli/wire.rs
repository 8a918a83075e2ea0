//! Puts the parts together: the only file that names concrete rotators and stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_apikey::{ApiKeyRotator, Provider};
use keywheel_policies::{Catalogue, Loaded, MasterKey, Policy, Problems, SecretStore, Settings, StateStore};
use keywheel_postgres::PostgresRotator;
use keywheel_runtime::{Engine, Environment, Limits, Observer, Redacted, Registry, SystemClock};
use keywheel_sdk::{Rotator, Secret};
use keywheel_secrets::{Keyring, LocalStore};
use keywheel_sqlserver::SqlServerRotator;
use keywheel_state::sqlite::SqliteState;

use crate::exit::{Exit, Failure, NOTHING_CHANGED};
use crate::output::talk;

/// Policies and the engine over them.
pub struct Wired {
    pub policies: Vec<Arc<Policy>>,
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
    keywheel_policies::load_settings(path).map_err(|problems| refused(&problems))
}

/// Reads the policies that the settings name, or others, without judging them.
///
/// # Errors
/// Mistakes in declarations of providers, which are shown.
pub fn read_policies(paths: &[PathBuf], settings: Option<&Settings>) -> Result<Loaded, Failure> {
    let freezes = settings.map(|settings| settings.freezes.clone()).unwrap_or_default();
    let providers = settings.map(|settings| settings.providers.as_slice()).unwrap_or_default();
    let rotators = rotators(providers)?.specs();
    Ok(keywheel_policies::load(paths, &Catalogue { rotators, freezes }))
}

/// Reads the policies that the settings name, showing all their mistakes.
pub fn policies(settings: &Settings) -> Result<Vec<Arc<Policy>>, Failure> {
    let loaded = read_policies(&settings.policies, Some(settings))?;
    if !loaded.problems.is_empty() {
        return Err(refused(&loaded.problems));
    }
    Ok(loaded.policies.into_iter().map(Arc::new).collect())
}

/// Opens everything. `observer` is told of each step.
pub async fn open(settings_file: &Path, observer: Option<Observer>) -> Result<Wired, Failure> {
    let settings = settings(settings_file)?;
    let policies = policies(&settings)?;
    let journal = journal(&settings).await?;
    let engine = joined(&settings, Arc::clone(&journal) as _, observer).await?;
    Ok(Wired { policies, engine: Arc::new(engine), journal })
}

/// Opens the stores and joins them with the rotators.
pub async fn engine(settings: &Settings, observer: Option<Observer>) -> Result<Engine, Failure> {
    joined(settings, state(settings).await?, observer).await
}

async fn joined(
    settings: &Settings,
    state: Arc<dyn keywheel_state::StateStore>,
    observer: Option<Observer>,
) -> Result<Engine, Failure> {
    let secrets: Arc<dyn keywheel_secrets::SecretStore> = Arc::new(secrets(settings).await?);
    #[cfg(feature = "failpoints")]
    let (state, secrets): (Arc<dyn keywheel_state::StateStore>, Arc<dyn keywheel_secrets::SecretStore>) = {
        use keywheel_runtime::failpoint::{Kill, PointedSecrets, PointedState};
        (Arc::new(PointedState(state, Arc::new(Kill))), Arc::new(PointedSecrets(secrets, Arc::new(Kill))))
    };
    Ok(Engine {
        state,
        secrets,
        rotators: rotators(&settings.providers)?,
        clock: Arc::new(SystemClock),
        environment: environment(),
        limits: limits(settings),
        observer,
    })
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

/// All rotators of this build, and one for each provider that is declared there; each behind redaction.
fn rotators(providers: &[PathBuf]) -> Result<Registry, Failure> {
    let mut all: Vec<Arc<dyn Rotator>> = vec![Arc::new(PostgresRotator::new()), Arc::new(SqlServerRotator::new())];
    for provider in declared(providers)? {
        let rotator = ApiKeyRotator::new(provider);
        let kind = rotator.describe().kind;
        if all.iter().any(|other| other.describe().kind == kind) {
            let what = format!("two rotators are called `{kind}`");
            return Err(Failure::input(what).hint("give the provider another name in its declaration"));
        }
        all.push(Arc::new(rotator));
    }
    Ok(all.into_iter().fold(Registry::new(), |registry, rotator| {
        #[cfg(feature = "failpoints")]
        let rotator: Arc<dyn Rotator> = {
            use keywheel_runtime::failpoint::{Kill, PointedRotator};
            Arc::new(PointedRotator(rotator, Arc::new(Kill)))
        };
        registry.with(Arc::new(Redacted::new(rotator)))
    }))
}

/// Reads the declarations in files, and in all YAML files of folders. All mistakes in them are shown.
fn declared(paths: &[PathBuf]) -> Result<Vec<Provider>, Failure> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Failure::input(format!("the declaration of a provider `{}` cannot be read: {error}", path.display()))
    };
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, error))?;
        let found = entries.filter_map(Result::ok).map(|entry| entry.path());
        let yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let mut found: Vec<PathBuf> = found.filter(yaml).collect();
        found.sort();
        files.extend(found);
    }
    let (mut providers, mut mistakes) = (Vec::new(), Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        match Provider::parse(&file.display().to_string(), &text) {
            Ok(provider) => providers.push(provider),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() {
        return Ok(providers);
    }
    for mistake in &mistakes {
        talk(&format!("{mistake}\n"));
    }
    let count = mistakes.len();
    let what = format!("{count} {} in declarations of providers", if count == 1 { "mistake" } else { "mistakes" });
    Err(Failure::input(what))
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
    let count = problems.len();
    Failure {
        exit: Exit::Input,
        what: format!("{count} {} to mend first", if count == 1 { "mistake" } else { "mistakes" }),
        changed: NOTHING_CHANGED,
        hint: Some("`keywheel validate` checks files without doing anything".to_owned()),
    }
}

/// Writes mistakes to stderr.
pub fn show(problems: &Problems) {
    use std::io::Write;
    // Styles are taken out again where stderr does not want them.
    let _ = anstream::stderr().write_all(problems.render(true).as_bytes());
    talk("");
}
