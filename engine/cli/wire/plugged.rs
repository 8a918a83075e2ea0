//! Plugins: rotators in processes of their own, which this program starts as `keywheel plugin-host`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_plugin::{Confinement, FileError, Form, Plugin, PluginRotator, Signature};
use keywheel_policies::{BrokenRotator, PluginForm, PluginSpec};
use keywheel_runtime::{PluginFile, Registry};
use keywheel_sdk::{Descriptor, Rotator};

use super::guarded;

/// The registry with this plugin, which is started when a policy first names it. `beside`: there are others of its name.
pub fn with(registry: Registry, spec: &PluginSpec, beside: bool) -> Registry {
    let (spec, file) = (spec.clone(), spec.file.display().to_string());
    let from = PluginFile { file: file.clone(), sha256: spec.sha256.clone() };
    let name = spec.name.clone();
    registry.with_plugin(&name, from, move || match open(&spec) {
        Ok(rotator) => Ok(guarded(rotator)),
        Err(why) => {
            // A policy that asks for exactly another version acts, and then no policy tells of it.
            if beside {
                tracing::warn!(file, why, "one version of a plugin cannot be used");
            }
            Err(BrokenRotator { why, file })
        }
    })
}

fn open(spec: &PluginSpec) -> Result<PluginRotator, String> {
    PluginRotator::open(plugin(spec)).map_err(|error| error.to_string())
}

/// Starts a plugin, to hear what it is: always in a confined process of its own, since whoever asks what it is may not trust it yet.
///
/// # Errors
/// Why it is no rotator, as a sentence.
pub fn opened(spec: &PluginSpec) -> Result<Descriptor, String> {
    open(&PluginSpec { in_process: false, ..spec.clone() }).map(|rotator| rotator.describe())
}

/// The same of one that nobody has given a name yet: whatever it says that it is.
///
/// # Errors
/// Why it is no rotator, as a sentence.
pub fn heard(spec: &PluginSpec) -> Result<Descriptor, String> {
    keywheel_plugin::introduce(&plugin(spec)).map_err(|error| error.to_string())
}

/// Looks whether the file is the one that is listed, and signed where it must be. Starts nothing.
///
/// # Errors
/// What is wrong with it.
pub fn verified(spec: &PluginSpec) -> Result<(), FileError> {
    keywheel_plugin::verify(&plugin(spec))
}

/// The SHA-256 of a file.
///
/// # Errors
/// It cannot be read.
pub fn hashed(file: &Path) -> Result<String, FileError> {
    keywheel_plugin::sha256_of(file)
}

/// Copies a file, and gives the SHA-256 of what it copied.
///
/// # Errors
/// It cannot be read, or its copy cannot be written.
pub fn copied(file: &Path, to: &mut impl Write) -> io::Result<String> {
    keywheel_plugin::copy(file, to)
}

/// What the settings say of it.
fn plugin(spec: &PluginSpec) -> Plugin {
    Plugin {
        name: spec.name.clone(),
        form: match spec.form {
            PluginForm::Executable => Form::Executable,
            PluginForm::Library if spec.in_process => Form::InProcess,
            PluginForm::Library => Form::Library,
        },
        file: spec.file.clone(),
        sha256: spec.sha256.clone(),
        signature: spec
            .signature
            .as_ref()
            .map(|signature| Signature { file: signature.file.clone(), public_key: signature.public_key.clone() }),
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
/// Why it is no rotator, as a sentence.
pub fn examined(file: &Path, read: &[PathBuf], connect: Vec<u16>) -> Result<Examined, String> {
    let sha256 = hashed(file).map_err(|error| error.to_string())?;
    let library = file.extension().is_some_and(|extension| extension == "so" || extension == "dylib");
    let form = if library { PluginForm::Library } else { PluginForm::Executable };
    let called = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let mut spec = PluginSpec::of_file(&called, form, file.to_owned(), sha256.clone());
    (spec.read, spec.connect) = (read.to_vec(), connect);
    // Policies know it by what it says of itself.
    spec.name = heard(&spec)?.kind;
    let rotator = PluginRotator::open(plugin(&spec)).map_err(|error| error.to_string())?;
    Ok(Examined { rotator: Arc::new(rotator), sha256 })
}
