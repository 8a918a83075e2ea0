//! Plugins: rotators in processes of their own, which this program starts as `keywheel plugin-host`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_plugin::{Confinement, Form, OpenError, Plugin, PluginRotator, sha256_of};
use keywheel_policies::{BrokenRotator, PluginSpec};
use keywheel_runtime::Registry;
use keywheel_sdk::{Descriptor, Rotator};

use super::guarded;

/// The registry with this plugin, which is started when a policy first names it.
pub fn with(registry: Registry, spec: &PluginSpec) -> Registry {
    let (plugin, file) = (plugin(spec), spec.file.display().to_string());
    registry.with_later(&spec.name, || match PluginRotator::open(plugin) {
        Ok(rotator) => Ok(guarded(rotator)),
        Err(error) => Err(BrokenRotator { why: error.to_string(), file }),
    })
}

/// Starts a plugin, to hear what it is.
///
/// # Errors
/// Why it is no rotator.
pub fn opened(spec: &PluginSpec) -> Result<Descriptor, OpenError> {
    PluginRotator::open(plugin(spec)).map(|rotator| rotator.describe())
}

/// What the settings say of it.
fn plugin(spec: &PluginSpec) -> Plugin {
    Plugin {
        name: spec.name.clone(),
        form: Form::Executable,
        file: spec.file.clone(),
        sha256: spec.sha256.clone(),
        confinement: Confinement {
            memory_mib: spec.memory_mib,
            cpu_seconds: spec.cpu.as_secs(),
            // Its process works in another folder.
            read: spec.read.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect(),
            connect: spec.connect.clone(),
        },
        host: host(),
    }
}

/// This program, which is the host of a plugin as `keywheel plugin-host`.
fn host() -> PathBuf {
    // Linux has this program under this name also when an upgrade has put another file in its place. Elsewhere, where the system does
    // not say what this program is, starting the plugin fails, and that is told.
    let itself = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") { itself.to_owned() } else { std::env::current_exe().unwrap_or_default() }
}

/// A plugin that is open for its exam.
pub struct Examined {
    pub rotator: Arc<PluginRotator>,
    /// What its file's SHA-256 is.
    pub sha256: String,
}

/// Opens a file as the plugin that it says it is, with the hash that it has now.
///
/// # Errors
/// Why it is no rotator.
pub fn examined(file: &Path, read: &[PathBuf], connect: Vec<u16>) -> Result<Examined, OpenError> {
    let sha256 = sha256_of(file)?;
    let library = file.extension().is_some_and(|extension| extension == "so" || extension == "dylib");
    let read = read.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect();
    let confinement = Confinement { read, connect, ..Confinement::default() };
    let named = |name: String| {
        PluginRotator::open(Plugin {
            name,
            form: if library { Form::Library } else { Form::Executable },
            file: file.to_owned(),
            sha256: sha256.clone(),
            confinement: confinement.clone(),
            host: host(),
        })
    };
    // Nobody has told its name yet but itself.
    let rotator = match named(String::new()) {
        Err(OpenError::OtherKind { kind, .. }) => named(kind)?,
        opened => opened?,
    };
    Ok(Examined { rotator: Arc::new(rotator), sha256 })
}
