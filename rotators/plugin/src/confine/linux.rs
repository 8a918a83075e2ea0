//! On Linux: Landlock for files and ports, seccomp for calls to the kernel that it does not see.

mod calls;
mod rights;

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Rlimit, Signal};

use super::{Confinement, EnterError};

/// What interpreters and libraries need, where it exists. No folder where people keep secrets.
const SYSTEM: [&str; 18] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust",
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

/// Where its user has so many processes and threads, those of others counted, it starts no more. The kernel does not hold root to that.
const PROCESSES: u64 = 4096;

/// See [`super::enter`].
pub(super) fn confine(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<(), EnterError> {
    let limit = |error: rustix::io::Errno| EnterError::Limit(error.to_string());
    let calls = |error: &dyn std::fmt::Display| EnterError::Calls(error.to_string());
    rights::close_files().map_err(EnterError::OpenFiles)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(limit)?;
    if abandoned().map_err(limit)? {
        return Err(EnterError::Abandoned);
    }
    rustix::thread::set_no_new_privs(true).map_err(limit)?;
    rights::drop_capabilities().map_err(|error| EnterError::Capabilities(error.to_string()))?;
    restrict(plugin, work, confinement)?;
    let refused = calls::refused(!confinement.connect.is_empty()).map_err(|error| calls(&error))?;
    let unknown = calls::unknown().map_err(|error| calls(&error))?;
    for filter in [&unknown, &refused] {
        seccompiler::apply_filter(filter).map_err(|error| calls(&error))?;
    }
    // Last, since what came before needs some memory.
    for (what, most) in [
        (rustix::process::Resource::As, confinement.memory_mib << 20),
        (rustix::process::Resource::Cpu, confinement.cpu_seconds),
        (rustix::process::Resource::Fsize, LARGEST_FILE),
        (rustix::process::Resource::Nofile, OPEN_FILES),
        (rustix::process::Resource::Nproc, PROCESSES),
        (rustix::process::Resource::Core, 0),
    ] {
        rustix::process::setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) }).map_err(limit)?;
    }
    Ok(())
}

/// Whether the one that started this process was gone before its death would have been told. It alone holds the other end of our input.
fn abandoned() -> Result<bool, rustix::io::Errno> {
    let input = std::io::stdin();
    let mut polled = [PollFd::new(&input, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled[0].revents().contains(PollFlags::HUP))
}

/// Files, and ports of TCP; where the kernel knows them (Linux 6.10 and 6.12), also devices, and signals and sockets of others.
fn restrict(plugin: &Path, work: &Path, confinement: &Confinement) -> Result<(), EnterError> {
    let abi = ABI::V4;
    let read = AccessFs::from_read(abi);
    // In its own folder: all but what leads out of it.
    let own = AccessFs::from_all(abi) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock);
    let open = |path: &Path| {
        PathFd::new(path).map_err(|why| EnterError::NoSuchPath { path: path.to_owned(), why: why.to_string() })
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::IoctlDev)?
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?
        .create()?
        .set_compatibility(CompatLevel::HardRequirement)
        .add_rule(PathBeneath::new(open(plugin)?, AccessFs::from_file(abi) & read))?
        .add_rule(PathBeneath::new(open(work)?, own))?;
    for path in SYSTEM.iter().map(Path::new).filter(|path| path.exists()) {
        let access = if path.is_dir() { read } else { AccessFs::from_file(abi) & read };
        ruleset = ruleset.add_rule(PathBeneath::new(open(path)?, access))?;
    }
    for path in DEVICES.iter().map(Path::new).filter(|path| path.exists()) {
        ruleset = ruleset.add_rule(PathBeneath::new(open(path)?, AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    for path in &confinement.read {
        let access = AccessFs::ReadFile | AccessFs::ReadDir;
        let access = if path.is_dir() { access } else { AccessFs::ReadFile.into() };
        ruleset = ruleset.add_rule(PathBeneath::new(open(path)?, access))?;
    }
    for port in &confinement.connect {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()?;
    Ok(())
}

impl From<landlock::RulesetError> for EnterError {
    fn from(error: landlock::RulesetError) -> Self {
        EnterError::Files(error.to_string())
    }
}
