//! Plugins: rotators in processes of their own, which this program starts as `keywheel plugin-host`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keywheel_plugin::{Confinement, FileError, Plugin, PluginRotator, Signature};
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
            // Another version may act instead, and then no policy tells of it.
            if beside {
                tracing::warn!(file, why, "one version of a plugin cannot be used");
            }
            Err(BrokenRotator { why, file })
        }
    })
}

fn open(spec: &PluginSpec) -> Result<PluginRotator, String> {
    is_startable(spec)?;
    PluginRotator::open(plugin(spec)).map_err(|error| error.to_string())
}

fn is_startable(spec: &PluginSpec) -> Result<(), String> {
    match spec.form {
        PluginForm::Executable => Ok(()),
        PluginForm::Library => Err(format!("`{}` is a library, which this version does not load", spec.file.display())),
    }
}

/// Starts a plugin, to hear what it is.
///
/// # Errors
/// Why it is no rotator, as a sentence.
pub fn opened(spec: &PluginSpec) -> Result<Descriptor, String> {
    open(spec).map(|rotator| rotator.describe())
}

/// The same of one that nobody has given a name yet: whatever it says that it is.
///
/// # Errors
/// Why it is no rotator, as a sentence.
pub fn heard(spec: &PluginSpec) -> Result<Descriptor, String> {
    is_startable(spec)?;
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

/// What the settings say of it.
fn plugin(spec: &PluginSpec) -> Plugin {
    Plugin {
        name: spec.name.clone(),
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
        host: Arc::new(host),
    }
}

/// This program as the host of a plugin.
fn host(file: &Path, work: &Path, confinement: &Confinement) -> (PathBuf, Vec<OsString>) {
    // Linux has this program under this name also when an upgrade has put another file in its place. Elsewhere, where the system does
    // not say what this program is, starting the plugin fails, and that is told.
    let itself = Path::new("/proc/self/exe");
    let program =
        if cfg!(target_os = "linux") { itself.to_owned() } else { std::env::current_exe().unwrap_or_default() };
    let mut arguments: Vec<OsString> = vec!["plugin-host".into(), file.into(), work.into()];
    arguments.extend(["--memory-mib".into(), confinement.memory_mib.to_string().into()]);
    arguments.extend(["--cpu-seconds".into(), confinement.cpu_seconds.to_string().into()]);
    arguments.extend(confinement.read.iter().flat_map(|path| ["--read".into(), path.into()]));
    arguments.extend(confinement.connect.iter().flat_map(|port| ["--connect".into(), port.to_string().into()]));
    (program, arguments)
}
