//! Puts the parts together: the only file that names concrete rotators and stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;

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
pub fn read_policies(paths: &[PathBuf], settings: Option<&Settings>) -> Loaded {
    let freezes = settings.map(|settings| settings.freezes.clone()).unwrap_or_default();
    let rotators = rotators().specs();
    keywheel_policies::load(paths, &Catalogue { rotators, freezes })
}

/// Reads the policies that the settings name, showing all their mistakes.
pub fn policies(settings: &Settings) -> Result<Vec<Arc<Policy>>, Failure> {
    let loaded = read_policies(&settings.policies, Some(settings));
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
        rotators: rotators(),
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

/// All rotators of this build, each behind redaction.
pub fn rotators() -> Registry {
    let all: [Arc<dyn Rotator>; 2] = [Arc::new(PostgresRotator::new()), Arc::new(SqlServerRotator::new())];
    all.into_iter().fold(Registry::new(), |registry, rotator| {
        #[cfg(feature = "failpoints")]
        let rotator: Arc<dyn Rotator> = {
            use keywheel_runtime::failpoint::{Kill, PointedRotator};
            Arc::new(PointedRotator(rotator, Arc::new(Kill)))
        };
        registry.with(Arc::new(Redacted::new(rotator)))
    })
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
