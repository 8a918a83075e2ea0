//! On Linux: Landlock for files and ports, seccomp for sockets.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use rustix::process::{Rlimit, Signal};
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter};

use super::{Confinement, EnterError};

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

/// See [`super::enter`].
pub(super) fn enter(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<Infallible, EnterError> {
    let limit = |error: rustix::io::Errno| EnterError::Limit(error.to_string());
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(limit)?;
    rustix::thread::set_no_new_privs(true).map_err(limit)?;
    restrict(plugin, work, confinement)?;
    let filter = filter(!confinement.connect.is_empty()).map_err(|error| EnterError::Network(error.to_string()))?;
    seccompiler::apply_filter(&filter).map_err(|error| EnterError::Network(error.to_string()))?;
    // Last, since what came before needs some memory.
    for (what, most) in [
        (rustix::process::Resource::As, confinement.memory_mib << 20),
        (rustix::process::Resource::Cpu, confinement.cpu_seconds),
        (rustix::process::Resource::Fsize, LARGEST_FILE),
        (rustix::process::Resource::Nofile, OPEN_FILES),
        (rustix::process::Resource::Core, 0),
    ] {
        rustix::process::setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) }).map_err(limit)?;
    }
    Err(EnterError::Exec(Command::new(plugin).env_clear().exec()))
}

/// Files, and ports of TCP.
fn restrict(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<(), EnterError> {
    let abi = ABI::V4;
    let read = AccessFs::from_read(abi);
    let open = |path: &Path| {
        PathFd::new(path).map_err(|why| EnterError::NoSuchPath { path: path.to_owned(), why: why.to_string() })
    };
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

impl From<landlock::RulesetError> for EnterError {
    fn from(error: landlock::RulesetError) -> Self {
        EnterError::Files(error.to_string())
    }
}

/// Refuses sockets: all of them, or all but those of the internet where some ports may be connected to. A socket of another family
/// may lead to a service that does what the plugin may not. `io_uring` would go around the filter.
fn filter(internet: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let other_than = |family: i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))
    };
    let rules = if internet {
        vec![seccompiler::SeccompRule::new(vec![other_than(libc::AF_INET)?, other_than(libc::AF_INET6)?])?]
    } else {
        Vec::new()
    };
    let calls = [(libc::SYS_socket, rules), (libc::SYS_io_uring_setup, Vec::new())];
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, refused, architecture)?;
    filter.try_into()
}
