//! What a plugin's process does to itself before it becomes the plugin.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use rustix::process::{Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
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

/// What interpreters and libraries need, where it exists. No folder where people keep secrets.
const SYSTEM: [&str; 13] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/localtime",
];

/// What programs read from and write to that is no file.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"];

/// The largest file that a plugin may write, in bytes.
const LARGEST_FILE: u64 = 16 << 20;

/// How many files one of its processes may have open.
const OPEN_FILES: u64 = 256;

/// Why a process did not become the plugin.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("a limit cannot be set: {0}")]
    Limit(#[from] rustix::io::Errno),
    #[error("the kernel does not confine files: {0}")]
    Landlock(#[from] landlock::RulesetError),
    #[error("`{}` is not there to be read by a plugin: {source}", path.display())]
    NoSuchPath { path: PathBuf, source: landlock::PathFdError },
    #[error("the kernel does not confine the network: {0}")]
    Seccomp(#[from] seccompiler::Error),
    #[error("the kernel does not confine the network: {0}")]
    Filter(#[from] seccompiler::BackendError),
    #[error("the file does not start: {0}")]
    Exec(#[from] std::io::Error),
}

/// Confines this process for good, and lets it become `plugin`. To be called before there are threads. Returns only if that fails.
///
/// The process ends with the one that started it. It can gain no rights (`no_new_privs`), writes nowhere but in `work`, and reads and
/// connects to what `confinement` says (Landlock; where the kernel is too old for that, this fails).
///
/// # Errors
/// See [`EnterError`]. Nothing of the plugin has run.
pub fn enter(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<Infallible, EnterError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    for (resource, most) in [
        (Resource::As, confinement.memory_mib << 20),
        (Resource::Cpu, confinement.cpu_seconds),
        (Resource::Fsize, LARGEST_FILE),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ] {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    restrict(plugin, work, confinement)?;
    seccompiler::apply_filter(&filter(!confinement.connect.is_empty())?)?;
    Err(Command::new(plugin).env_clear().exec().into())
}

/// Files, and ports of TCP.
fn restrict(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<(), EnterError> {
    let abi = ABI::V4;
    let read = AccessFs::from_read(abi);
    let open =
        |path: &Path| PathFd::new(path).map_err(|source| EnterError::NoSuchPath { path: path.to_owned(), source });
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rule(PathBeneath::new(open(plugin)?, AccessFs::from_file(abi) & read))?
        .add_rule(PathBeneath::new(open(work)?, AccessFs::from_all(abi)))?;
    for path in SYSTEM.iter().map(Path::new).filter(|path| path.exists()) {
        let access = if path.is_dir() { read } else { AccessFs::from_file(abi) & read };
        rules = rules.add_rule(PathBeneath::new(open(path)?, access))?;
    }
    for path in DEVICES.iter().map(Path::new).filter(|path| path.exists()) {
        rules = rules.add_rule(PathBeneath::new(open(path)?, AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    for path in &confinement.read {
        let access = AccessFs::ReadFile | AccessFs::ReadDir;
        let access = if path.is_dir() { access } else { AccessFs::ReadFile.into() };
        rules = rules.add_rule(PathBeneath::new(open(path)?, access))?;
    }
    for port in &confinement.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()?;
    Ok(())
}

/// Refuses sockets: all of them, or all but those of the internet where some ports may be connected to. A socket of another family
/// may lead to a service that does what the plugin may not. `io_uring` would go around the filter.
fn filter(internet: bool) -> Result<BpfProgram, EnterError> {
    let other_than = |family: i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))
    };
    let rules = if internet {
        vec![SeccompRule::new(vec![other_than(libc::AF_INET)?, other_than(libc::AF_INET6)?])?]
    } else {
        Vec::new()
    };
    let calls = [(libc::SYS_socket, rules), (libc::SYS_io_uring_setup, Vec::new())];
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, refused, architecture)?;
    Ok(filter.try_into()?)
}
