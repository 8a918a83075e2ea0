//! What a plugin's process does to itself before it becomes the plugin.

#[cfg(target_os = "linux")]
mod linux;

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What a plugin may use and reach. Beyond that, it has an empty environment, no open files but its three pipes, and a folder of its
/// own to work in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// MiB of address space for each process of it.
    pub memory_mib: u64,
    /// Seconds of processor time for each process of it.
    pub cpu_seconds: u64,
    /// Files and folders that it may read, beside the system's programs and libraries.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to. None: it has no network at all.
    pub connect: Vec<u16>,
}

impl Default for Confinement {
    fn default() -> Self {
        Confinement { memory_mib: 1024, cpu_seconds: 60, read: Vec::new(), connect: Vec::new() }
    }
}

/// Why a process did not become the plugin.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("a limit cannot be set: {0}")]
    Limit(String),
    #[error("the kernel does not confine files: {0}")]
    Files(String),
    #[error("`{}` is not there to be read by a plugin: {why}", path.display())]
    NoSuchPath { path: PathBuf, why: String },
    #[error("the kernel does not refuse calls: {0}")]
    Calls(String),
    #[error("its capabilities cannot be dropped: {0}")]
    Capabilities(String),
    #[error("the open files that it has from others cannot be closed: {0}")]
    OpenFiles(#[source] std::io::Error),
    #[error("the process that started it has ended")]
    Abandoned,
    #[error("the file does not start: {0}")]
    Exec(#[source] std::io::Error),
    /// Plugins run where they can be confined.
    #[error("this system has no way to confine it; Linux 6.7 has")]
    NoConfinement,
}

/// Confines this process for good, and lets it become `plugin`. To be called before there are threads. Returns only if that fails.
///
/// The process ends with the thread that started it. It has no capabilities and can gain no rights (`no_new_privs`), not if it is root
/// either; it has no open files but its pipes, writes nowhere but in `work`, and reads and connects to what `confinement` says
/// (Landlock; where the kernel is too old for that, this fails). Calls to the kernel that act on what is not its own are refused.
///
/// # Errors
/// See [`EnterError`]. Nothing of the plugin has run.
pub fn enter(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<Infallible, EnterError> {
    confine(plugin, work, confinement)?;
    Err(EnterError::Exec(Command::new(plugin).env_clear().exec()))
}

/// All of [`enter`] but that the process becomes the plugin.
pub(crate) fn confine(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<(), EnterError> {
    #[cfg(target_os = "linux")]
    return linux::confine(plugin, work, confinement);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (plugin, work, confinement);
        Err(EnterError::NoConfinement)
    }
}
