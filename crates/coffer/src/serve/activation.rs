//! What systemd gives to a service and wants to know of it: sockets that it bound, by name (`LISTEN_FDS`, `LISTEN_FDNAMES`:
//! sd_listen_fds(3)), and when the service serves (`NOTIFY_SOCKET`: sd_notify(3)). So a role needs no right to bind port 443,
//! and nobody is turned away while it restarts.

use std::{
    ffi::OsStr,
    net::TcpListener,
    os::unix::{ffi::OsStrExt as _, net::UnixDatagram},
};

use listenfd::ListenFd;

use crate::failure::Failure;

/// The sockets that were bound for this process, each until it is taken.
pub(super) struct Passed {
    sockets: ListenFd,
    names: Vec<Option<String>>,
}

impl Passed {
    /// Those of the environment; usually none.
    pub(super) fn from_environment() -> Self {
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.to_string_lossy();
        let sockets = ListenFd::from_env();
        let names = names.split(':').map(|name| Some(name.to_owned()));
        Self {
            names: names.take(sockets.len()).collect(),
            sockets,
        }
    }

    /// The socket of this name, if it was passed.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<TcpListener>, Failure> {
        let is_it = |passed: &Option<String>| passed.as_deref() == Some(name);
        let Some(place) = self.names.iter().position(is_it) else {
            return Ok(None);
        };
        if let Some(taken) = self.names.get_mut(place) {
            *taken = None;
        }
        self.sockets.take_tcp_listener(place).map_err(|error| {
            Failure::Operator(format!(
                "the socket that was passed as {name} is not one to listen at: {error}"
            ))
        })
    }

    /// A socket that nobody takes would let people wait for ever.
    pub(super) fn check_all_taken(&self) -> Result<(), Failure> {
        let left = self.names.iter().flatten().next();
        let unnamed = self.names.len() < self.sockets.len();
        match (left, unnamed) {
            (None, false) => Ok(()),
            (left, _) => Err(Failure::Operator(format!(
                "a socket was passed that this role does not have: {}; set FileDescriptorName= to a face or link of it",
                left.map_or("(without a name)", String::as_str)
            ))),
        }
    }
}

/// Whoever wants to know how the process is. Connected before the sandbox closes: afterwards a role may not be able to.
pub(super) struct Manager(Option<UnixDatagram>);

impl Manager {
    /// That of the environment; usually nobody.
    pub(super) fn from_environment() -> Result<Self, Failure> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self(None));
        };
        let doing = |error| Failure::doing("reaching the service manager", error);
        let socket = UnixDatagram::unbound().map_err(doing)?;
        let connected = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => connect_abstract(&socket, name),
            None => socket.connect(&name),
        };
        connected.map_err(doing)?;
        Ok(Self(Some(socket)))
    }

    /// The role serves.
    pub(super) fn ready(&self) {
        self.say("READY=1\nSTATUS=serving");
    }

    /// The role was told to stop.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=letting what is in flight end");
    }

    fn say(&self, state: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::warn!(%error, "the service manager does not hear");
        }
    }
}

/// A name that is no file's, which only Linux has.
#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> std::io::Result<()> {
    use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
    SocketAddr::from_abstract_name(name).and_then(|address| socket.connect_addr(&address))
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_socket: &UnixDatagram, _name: &[u8]) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "not a setting: what the service manager says to the processes that it starts"
)]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(OsStr::new(name))
}
