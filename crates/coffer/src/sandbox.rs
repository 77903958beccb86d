//! What a role gives up before it has a thread: core dumps, being read by others, files that are not its own, system calls
//! that it never needs. Installed in order; afterwards the system is asked what holds, and the answer is logged.

#[cfg(target_os = "linux")]
mod landlock;
mod process;
#[cfg(target_os = "linux")]
mod seccomp;

pub(crate) use process::refuse_root;

use std::path::PathBuf;

use crate::failure::Failure;

/// What one role still needs.
#[derive(Debug)]
pub(crate) struct Needs {
    /// Files to read and write.
    pub(crate) own: PathBuf,
    /// Files to read.
    pub(crate) read: Vec<PathBuf>,
    /// Where it connects to.
    pub(crate) connects: Connects,
}

/// Where a role makes connections of its own to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connects {
    /// It cannot send anything anywhere.
    Nowhere,
    /// TCP to this port, and no names are resolved. Landlock knows ports, not addresses: that it is only one machine's port
    /// is for a firewall to say. Sockets of this machine that its user may open are not closed either.
    Port(u16),
    /// Anywhere; which addresses, the role's own guard decides.
    Anywhere,
}

/// Installs the sandbox. Must run before any thread exists: a sandbox holds for the calling thread and those that it starts.
#[cfg(target_os = "linux")]
pub(crate) fn install(needs: &Needs) -> Result<Hardening, Failure> {
    process::harden()?;
    let landlock = landlock::restrict(needs)?;
    seccomp::restrict(needs)?;
    Ok(Hardening { landlock })
}

/// As much as there is on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn install(_needs: &Needs) -> Result<Hardening, Failure> {
    process::harden()?;
    Ok(Hardening { landlock: "none" })
}

/// How far this kernel would hold a role, tried on a thread that does nothing else.
#[cfg(target_os = "linux")]
pub(crate) fn landlock_here() -> &'static str {
    let needs = Needs {
        own: PathBuf::from("/"),
        read: Vec::new(),
        connects: Connects::Nowhere,
    };
    let tried = std::thread::spawn(move || landlock::restrict(&needs)).join();
    tried.ok().and_then(Result::ok).unwrap_or("OFF")
}

/// How far this kernel would hold a role.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn landlock_here() -> &'static str {
    "not there: process hardening is for Linux only"
}

/// Proof that the sandbox was installed; without it no role starts.
#[derive(Debug)]
pub(crate) struct Hardening {
    landlock: &'static str,
}

impl Hardening {
    /// What holds now, as the system says.
    #[cfg(target_os = "linux")]
    pub(crate) fn report(&self) -> String {
        let on = |holds: bool| if holds { "on" } else { "OFF" };
        format!(
            "landlock {}, seccomp {}, no-new-privileges {}, not dumpable {}, no core {}",
            self.landlock,
            on(seccomp::holds()),
            on(rustix::thread::no_new_privs().unwrap_or(false)),
            on(process::is_undumpable()),
            on(process::has_no_core()),
        )
    }

    /// What holds now.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn report(&self) -> String {
        let on = |holds: bool| if holds { "on" } else { "OFF" };
        format!(
            "no core {}; process hardening: Linux only (landlock {})",
            on(process::has_no_core()),
            self.landlock
        )
    }
}
