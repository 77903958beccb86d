//! seccomp: system calls that no role ever makes answer `EPERM`. A list of what is refused, not of what is allowed: the C
//! library and the kernel add calls over time, and a payment must not fail for a new spelling of `futex`.

use std::collections::BTreeMap;

use rustix::thread::SecureComputingMode;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::{Connects, Needs};
use crate::failure::Failure;

/// Other processes, other programs, the kernel itself, and ways around a filter.
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_personality,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_mknodat,
];

/// Calls that only exist on x86-64.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS_mknod,
];
/// None to add.
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// The x32 spelling of every call has this bit; without it a denied call would have a second name.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// Calls that have a number of their own in x32.
#[cfg(target_arch = "x86_64")]
const X32_OWN: std::ops::RangeInclusive<i64> = 512..=547;

/// The x32 names of the calls that are refused with some arguments only.
#[cfg(target_arch = "x86_64")]
const X32_IN_PART: &[i64] = &[libc::SYS_socket, libc::SYS_clone, libc::SYS_sendto];

/// New namespaces, which a process may make without being anybody: in one of its own it would be root, and more of the
/// kernel in its reach.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];
/// The calls that can connect without `connect` (TCP Fast Open), and where their flags are.
const SENDS: &[(i64, u8)] = &[
    (libc::SYS_sendto, 3),
    (libc::SYS_sendmsg, 2),
    (libc::SYS_sendmmsg, 3),
];

/// The kinds of socket that a role may make.
const SOCKETS: &[i32] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// The kinds that a role may make which connects to one port: it asks for no names.
const SOCKETS_PORT: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
/// The kinds that a role may make which connects nowhere: for its admin socket.
const SOCKETS_LOCAL: &[i32] = &[libc::AF_UNIX];
/// The bits of a socket's type beside its flags.
const SOCKET_TYPE: u64 = 0xf;
/// TCP, by default or by name.
const TCP: &[i32] = &[0, libc::IPPROTO_TCP];

/// Restricts this thread and all that it will start.
pub(super) fn restrict(needs: &Needs) -> Result<(), Failure> {
    let failure =
        |error: &dyn std::fmt::Display| Failure::doing("installing the system call filter", error);
    for program in [program(needs), no_clone3()] {
        let program = program.map_err(|error| failure(&error))?;
        seccompiler::apply_filter(&program).map_err(|error| failure(&error))?;
    }
    Ok(())
}

/// Whether a filter is in force, as the kernel says.
pub(super) fn holds() -> bool {
    rustix::thread::secure_computing_mode().is_ok_and(|mode| mode == SecureComputingMode::Filter)
}

fn program(needs: &Needs) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for &call in REFUSED.iter().chain(REFUSED_HERE) {
        rules.insert(call, Vec::new());
    }
    rules.extend(connecting(needs.connects)?);
    #[cfg(target_arch = "x86_64")]
    {
        let second_names: Vec<i64> = rules
            .keys()
            .chain(X32_IN_PART)
            .map(|call| call | X32)
            .chain(X32_OWN.map(|call| call | X32))
            .collect();
        rules.extend(second_names.into_iter().map(|call| (call, Vec::new())));
    }
    let namespaces = NAMESPACES.iter().map(|&flag| with_flag(0, flag));
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_socket, sockets(needs.connects)?);
    filter(rules, libc::EPERM)
}

/// The ways to connect that are refused. Fast open also to a role that connects to one port: Landlock does not see it.
fn connecting(
    connects: Connects,
) -> Result<Vec<(i64, Vec<SeccompRule>)>, seccompiler::BackendError> {
    let fast_open = SENDS
        .iter()
        .map(|&(call, flags)| Ok((call, vec![with_flag(flags, libc::MSG_FASTOPEN)?])));
    let connect = (libc::SYS_connect, Vec::new());
    match connects {
        Connects::Nowhere => fast_open.chain([Ok(connect)]).collect(),
        Connects::Port(_) => fast_open.collect(),
        Connects::Anywhere => Ok(Vec::new()),
    }
}

/// The sockets that are refused.
fn sockets(connects: Connects) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    match connects {
        Connects::Nowhere => Ok(vec![any_but(0, SOCKETS_LOCAL)?]),
        Connects::Port(_) => port_sockets(),
        Connects::Anywhere => Ok(vec![any_but(0, SOCKETS)?]),
    }
}

/// Landlock watches over TCP alone: whatever else could send (UDP, multipath TCP) is refused.
fn port_sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let stream = u64::try_from(libc::SOCK_STREAM).unwrap_or(1);
    let kinds = (0..=SOCKET_TYPE).filter(|kind| *kind != stream);
    let other_kinds = kinds.map(|kind| {
        let is = SeccompCmpOp::MaskedEq(SOCKET_TYPE);
        SeccompRule::new(vec![SeccompCondition::new(
            1,
            SeccompCmpArgLen::Dword,
            is,
            kind,
        )?])
    });
    [any_but(0, SOCKETS_PORT), any_but(2, TCP)]
        .into_iter()
        .chain(other_kinds)
        .collect()
}

/// A filter cannot look at the flags of `clone3`. As if the kernel had none, so that the C library uses `clone` for threads.
fn no_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    filter(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        libc::ENOSYS,
    )
}

/// Answers the calls that these rules meet with an error.
fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: i32,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(u32::try_from(error).unwrap_or(1));
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// Met by a call with this flag in this argument.
fn with_flag(argument: u8, flag: i32) -> Result<SeccompRule, seccompiler::BackendError> {
    let flag = u64::try_from(flag).unwrap_or(u64::MAX);
    let set = SeccompCmpOp::MaskedEq(flag);
    SeccompRule::new(vec![SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Dword,
        set,
        flag,
    )?])
}

/// Met by a call with none of these values in this argument.
fn any_but(argument: u8, allowed: &[i32]) -> Result<SeccompRule, seccompiler::BackendError> {
    let differs = |&value: &i32| {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
    };
    SeccompRule::new(allowed.iter().map(differs).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on a thread of its own: a filter holds for one thread and its children, and cannot be taken off again.
    fn within(needs: Needs, act: impl FnOnce() -> bool + Send + 'static) -> bool {
        std::thread::spawn(move || {
            restrict(&needs).unwrap();
            assert!(holds());
            act()
        })
        .join()
        .unwrap()
    }

    fn needs(connects: Connects) -> Needs {
        Needs {
            own: "/".into(),
            read: Vec::new(),
            connects,
        }
    }

    fn starts_a_program() -> bool {
        // Without a filter this program exists and succeeds.
        std::process::Command::new("/bin/true").status().is_ok()
    }

    fn connects() -> bool {
        let listener = std::net::TcpListener::bind("127.0.0.1:0");
        listener
            .and_then(|listener| std::net::TcpStream::connect(listener.local_addr()?))
            .is_ok()
    }

    #[test]
    fn no_role_can_start_a_program() {
        assert!(starts_a_program());
        assert!(!within(needs(Connects::Anywhere), starts_a_program));
    }

    #[test]
    fn a_role_that_connects_nowhere_has_no_socket_to_do_it_with() {
        assert!(within(needs(Connects::Anywhere), connects));
        assert!(!within(needs(Connects::Nowhere), connects));
        assert!(within(needs(Connects::Nowhere), || {
            std::os::unix::net::UnixDatagram::unbound().is_ok()
        }));
        assert!(!within(needs(Connects::Nowhere), || {
            std::net::UdpSocket::bind("127.0.0.1:0").is_ok()
        }));
    }

    #[test]
    fn listening_sockets_outlive_the_sandbox() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = std::thread::spawn(move || {
            within(needs(Connects::Nowhere), move || listener.accept().is_ok())
        });
        std::net::TcpStream::connect(address).unwrap();
        assert!(accepted.join().unwrap());
    }

    /// An own listener, closed, is a socket like a new one; TCP Fast Open connects it by sending.
    fn connects_by_sending(to: &std::net::TcpListener, connects: Connects) -> bool {
        use rustix::net::{SendFlags, Shutdown, sendto, shutdown};
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = to.local_addr().unwrap();
        let fast_open = SendFlags::from_bits_retain(u32::try_from(libc::MSG_FASTOPEN).unwrap());
        within(needs(connects), move || {
            shutdown(&own, Shutdown::Both).is_ok() && sendto(&own, b"out", fast_open, &to).is_ok()
        })
    }

    #[test]
    fn a_role_that_connects_nowhere_or_to_one_port_cannot_connect_by_sending_either() {
        let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!connects_by_sending(&outside, Connects::Nowhere));
        assert!(!connects_by_sending(&outside, Connects::Port(5432)));
    }

    #[test]
    fn a_role_that_connects_to_one_port_has_tcp_and_nothing_else() {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket, socket_with};
        let port = || needs(Connects::Port(5432));
        assert!(within(port(), connects));
        assert!(within(port(), || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let tcp =
                |family, protocol| socket_with(family, SocketType::STREAM, flags, protocol).is_ok();
            tcp(AddressFamily::UNIX, None)
                && tcp(AddressFamily::INET, None)
                && tcp(AddressFamily::INET6, Some(ipproto::TCP))
        }));
        assert!(!within(port(), || {
            let any = |family, kind, protocol| socket(family, kind, protocol).is_ok();
            any(AddressFamily::INET, SocketType::DGRAM, None)
                || any(AddressFamily::INET6, SocketType::DGRAM, None)
                || any(
                    AddressFamily::INET,
                    SocketType::STREAM,
                    Some(ipproto::MPTCP),
                )
                || any(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP))
                || any(AddressFamily::NETLINK, SocketType::RAW, None)
                || any(AddressFamily::VSOCK, SocketType::STREAM, None)
        }));
    }

    #[test]
    fn threads_start_in_the_sandbox() {
        assert!(within(needs(Connects::Nowhere), || {
            std::thread::spawn(|| true).join().unwrap_or(false)
        }));
    }
}
