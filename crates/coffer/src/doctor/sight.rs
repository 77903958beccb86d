//! What is looked at: one installation, this user's view of it, and the time.

use std::{
    fs::{self, File},
    net::SocketAddr,
};

use coffer_core::Timestamp;
use coffer_net::Clock;
use rustix::fs::FlockOperation;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::{Finding, code::Code};
use crate::{
    admin::Socket,
    cli::DoctorArguments,
    configuration::{Configuration, Profile},
    directory::{Directory, Role},
    failure::Failure,
    runtime,
};

/// An installation as it is seen.
pub(super) struct Sight {
    pub(super) directory: Directory,
    pub(super) configuration: Result<Configuration, Failure>,
    pub(super) profile: Profile,
    pub(super) roles: Vec<Seen>,
    pub(super) now: Timestamp,
}

/// A role, and what is known of its process.
pub(super) struct Seen {
    pub(super) role: Role,
    pub(super) running: Running,
    /// What the process says of itself, to whoever may ask it.
    pub(super) process: Option<About>,
}

/// Whether a process has the role's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    No,
    Unknown,
}

/// What a role's process says of itself (see `serve::process`).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct About {
    pub(super) pid: u32,
    pub(super) now_ms: i64,
    pub(super) addresses: BTreeMap<String, SocketAddr>,
}

impl Sight {
    pub(super) fn of(arguments: &DoctorArguments) -> Result<Self, Failure> {
        let directory = Directory::open(&arguments.place.dir)?;
        let configuration = Configuration::load(&directory.configuration());
        // Strict where it cannot be known.
        let profile = configuration
            .as_ref()
            .map_or(Profile::Production, |found| found.profile);
        let all = Role::ALL.iter().copied();
        let wanted = all.filter(|role| match arguments.role.as_slice() {
            // Nobody needs the simulator in production.
            [] => *role != Role::Simulator || profile == Profile::Development,
            named => named.contains(role),
        });
        let roles = wanted.map(|role| seen(&directory, role)).collect();
        Ok(Self {
            directory,
            configuration,
            profile,
            roles,
            now: Clock::system().now(),
        })
    }

    pub(super) fn is_production(&self) -> bool {
        self.profile == Profile::Production
    }

    /// The settings, if a role would start with them.
    pub(super) fn settings(&self) -> Option<&Configuration> {
        self.configuration.as_ref().ok()
    }

    /// Each role whose directory this user may look into. Whose may not is said by one check.
    pub(super) fn open_roles(&self) -> impl Iterator<Item = &Seen> {
        self.roles
            .iter()
            .filter(|seen| fs::read_dir(self.directory.role(seen.role)).is_ok())
    }

    /// Each role that runs.
    pub(super) fn running(&self) -> impl Iterator<Item = &Seen> {
        let runs = |seen: &&Seen| seen.running == Running::Yes;
        self.roles.iter().filter(runs)
    }
}

/// A check that could not look.
pub(super) fn not_seen(role: Role, what: impl std::fmt::Display) -> Finding {
    Finding::of(
        Code::NotSeen,
        format!("not looked at: {what}"),
        format!("run coffer doctor as the user of {role}, or as root; name the roles of this machine with --role"),
    )
    .at(role)
}

fn seen(directory: &Directory, role: Role) -> Seen {
    let running = running(directory, role);
    let process = (running == Running::Yes)
        .then(|| runtime::command(Socket::of(directory, role).get("/process")).ok())
        .flatten()
        .and_then(|answer| serde_json::from_value(answer).ok());
    Seen {
        role,
        running,
        process,
    }
}

/// Tries the lock without keeping it; the file is neither made nor changed.
fn running(directory: &Directory, role: Role) -> Running {
    match File::open(directory.file(role, "lock")) {
        Ok(file) => match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Running::No,
            Err(rustix::io::Errno::WOULDBLOCK) => Running::Yes,
            Err(_) => Running::Unknown,
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Running::No,
        Err(_) => Running::Unknown,
    }
}
