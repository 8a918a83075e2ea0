//! Which calls to the kernel a plugin may not make (seccomp): those that reach or change what is not its own, and that Landlock does
//! not see. What is not named here is allowed, so that any language's runtime starts.

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, sock_filter,
};

/// Arguments with which a call is refused.
type Case = seccompiler::SeccompRule;
type Flaw = seccompiler::BackendError;

/// Calls that are refused whatever their arguments are.
const REFUSED: &[c_long] = &[
    // Other files' modes, owners, attributes and times: Landlock knows none of these. (`fchmodat2` has no name everywhere.)
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    452,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // `setxattrat`, `removexattrat` and `file_setattr`.
    463,
    466,
    469,
    libc::SYS_utimensat,
    // What becomes of other people's files.
    libc::SYS_inotify_add_watch,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_open_by_handle_at,
    // Other processes.
    libc::SYS_setpriority,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Its process group is how all that it starts is killed.
    libc::SYS_setsid,
    libc::SYS_setpgid,
    // Keys, memory and queues that are shared by name or number.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Namespaces, in which it would be root, and what is mounted. (The number is `open_tree_attr`.)
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    467,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    // The machine, and large parts of the kernel that no rotator needs. `io_uring` would go around this filter.
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Nobody connects to a plugin.
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];

/// Older names of the same, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// New namespaces, and a child that would be its parent's instead of its own.
const CLONE: [i32; 8] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_PARENT,
];

/// The kernel looks at these bits of a socket's type.
const TYPE: u64 = 0xf;

/// Refuses as the kernel does where rights are missing.
pub(super) fn refused(internet: bool) -> Result<BpfProgram, Flaw> {
    let mut calls: Vec<_> = REFUSED.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    calls.extend([
        (libc::SYS_socket, sockets(internet)?),
        (libc::SYS_socketpair, pairs()?),
        // A first packet that carries data connects without being asked whether it may.
        (libc::SYS_sendto, vec![has(3, libc::MSG_FASTOPEN)?]),
        (libc::SYS_sendmsg, vec![has(2, libc::MSG_FASTOPEN)?]),
        (libc::SYS_sendmmsg, vec![has(3, libc::MSG_FASTOPEN)?]),
        // Another protocol in the place of TCP, which may ask in another way.
        (
            libc::SYS_setsockopt,
            vec![both(is(1, SeccompCmpOp::Eq, libc::IPPROTO_TCP)?, is(2, SeccompCmpOp::Eq, libc::TCP_ULP)?)?],
        ),
        (libc::SYS_clone, CLONE.iter().map(|flag| has(0, *flag)).collect::<Result<_, _>>()?),
        (libc::SYS_prlimit64, vec![Case::new(vec![is(0, SeccompCmpOp::Ne, 0)?])?]),
        // All that run as the same user.
        (libc::SYS_kill, vec![Case::new(vec![is(0, SeccompCmpOp::Eq, -1)?])?]),
        (libc::SYS_prctl, vec![Case::new(vec![is(0, SeccompCmpOp::Eq, libc::PR_SET_PDEATHSIG)?])?]),
    ]);
    if !internet {
        calls.extend([(libc::SYS_connect, Vec::new()), (libc::SYS_bind, Vec::new())]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, refused, architecture)?.try_into()
}

/// Says of two kinds of calls that there are none such: of `clone3`, whose flags lie in memory where no filter reads them (libraries
/// then take `clone`), and of those with the numbers of x32, which are the other ones once more.
pub(super) fn unknown() -> Result<BpfProgram, std::num::TryFromIntError> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const X32: u32 = 0x4000_0000;
    Ok(vec![
        // The number of the call comes first in what a filter sees.
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: EQUAL, jt: 1, jf: 0, k: u32::try_from(libc::SYS_clone3)? },
        sock_filter { code: FROM, jt: 0, jf: 1, k: X32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs() },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ])
}

/// Sockets: all of them, or all but TCP's and UDP's where some ports may be connected to. One of another family may lead to a service
/// that does what the plugin may not, and Landlock knows the ports of TCP only.
fn sockets(internet: bool) -> Result<Vec<Case>, Flaw> {
    if !internet {
        return Ok(Vec::new());
    }
    let other = |argument, values: &[i32]| {
        Case::new(values.iter().map(|value| is(argument, SeccompCmpOp::Ne, *value)).collect::<Result<_, _>>()?)
    };
    let mut cases = other_types(&[libc::SOCK_STREAM, libc::SOCK_DGRAM])?;
    cases.push(other(0, &[libc::AF_INET, libc::AF_INET6])?);
    cases.push(other(2, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP])?);
    Ok(cases)
}

/// Pairs of sockets: all but streams. One of datagrams can be sent from to any address.
fn pairs() -> Result<Vec<Case>, Flaw> {
    let mut cases = other_types(&[libc::SOCK_STREAM])?;
    cases.push(Case::new(vec![is(0, SeccompCmpOp::Ne, libc::AF_UNIX)?])?);
    Ok(cases)
}

fn other_types(allowed: &[i32]) -> Result<Vec<Case>, Flaw> {
    let all = 0..=i32::try_from(TYPE).unwrap_or_default();
    let others = all.filter(|kind| !allowed.contains(kind));
    others.map(|kind| Case::new(vec![is(1, SeccompCmpOp::MaskedEq(TYPE), kind)?])).collect()
}

/// Where this bit is set in an argument.
fn has(argument: u8, bit: i32) -> Result<Case, Flaw> {
    Case::new(vec![is(argument, SeccompCmpOp::MaskedEq(u64::from(bit.cast_unsigned())), bit)?])
}

fn both(one: SeccompCondition, other: SeccompCondition) -> Result<Case, Flaw> {
    Case::new(vec![one, other])
}

/// Of an argument that the kernel takes as 32 bits.
fn is(argument: u8, how: SeccompCmpOp, value: i32) -> Result<SeccompCondition, Flaw> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, u64::from(value.cast_unsigned()))
}
