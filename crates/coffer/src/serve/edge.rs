//! What the faces of a process have in common at their outer edge: the names that they answer to, the proxies before them,
//! and the one listener that may stand before all of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use coffer_net::{
    Tasks,
    face::{self, Face, FaceLimits, FaceSettings, Front, Passage, PlainPolicy, TrustedProxies},
};

use super::{LOOPBACK, process::listener};
use crate::{
    configuration::{Configuration, Profile, host_of},
    failure::Failure,
};

/// What tools call a developer's machine: not all of them know the names below `.localhost`.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// How the face of this origin presents itself. On a developer's machine it answers to its other name there, too.
pub(super) fn settings(
    configuration: &Configuration,
    origin: &str,
    development_name: &str,
    plain: PlainPolicy,
) -> FaceSettings {
    let mut names = vec![host_of(origin).to_owned()];
    if configuration.profile == Profile::Development {
        let others = THIS_MACHINE.into_iter().chain([development_name]);
        names.extend(others.map(str::to_owned));
    }
    FaceSettings {
        limits: limits(configuration),
        proxies: proxies(configuration),
        ..FaceSettings::new(names, plain)
    }
}

fn limits(configuration: &Configuration) -> FaceLimits {
    let default = FaceLimits::default();
    FaceLimits {
        handshakes: configuration
            .limits
            .handshakes()
            .ok()
            .or(default.handshakes),
        ..default
    }
}

/// Whoever the operator trusts to say who the client is.
fn proxies(configuration: &Configuration) -> TrustedProxies {
    let faces = &configuration.faces;
    TrustedProxies::new(faces.trusted_proxies.clone(), faces.proxy_header)
}

/// As [`proxies`], and the process before the vault's face, if there is one: it runs on this machine unless the operator
/// says otherwise.
pub(super) fn proxies_of_vault(configuration: &Configuration) -> TrustedProxies {
    let faces = &configuration.faces;
    let front: &[_] = if faces.listen.is_some() {
        &LOOPBACK
    } else {
        &[]
    };
    let networks = faces.trusted_proxies.iter().chain(front).copied();
    TrustedProxies::new(networks.collect(), faces.proxy_header)
}

/// Serves a face until the process stops.
pub(super) fn serve(bound: TcpListener, face: Face, tasks: &Tasks) -> Result<(), Failure> {
    tasks.spawn("face", face::serve(listener(bound)?, face, tasks.clone()));
    Ok(())
}

/// Serves these faces, and the vault's by passing its connections on, at one address.
pub(super) fn serve_front(
    bound: TcpListener,
    faces: Vec<Face>,
    fields: Passage,
    (configuration, plain): (&Configuration, PlainPolicy),
    tasks: &Tasks,
) -> Result<(), Failure> {
    let front = Front {
        faces,
        passages: vec![fields],
        plain,
        proxies: proxies(configuration),
        limits: limits(configuration),
    };
    tasks.spawn("front", front.serve(listener(bound)?, tasks.clone()));
    Ok(())
}

/// Where the connections for the vault's face are passed on to.
pub(super) fn passage(
    configuration: &Configuration,
    fields_origin: &str,
    linked: Option<SocketAddr>,
) -> Passage {
    let mut listens = linked.unwrap_or(configuration.faces.fields);
    if listens.ip().is_unspecified() {
        listens.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let configured = configuration.links.fields.clone();
    Passage {
        name: host_of(fields_origin).to_owned(),
        to: configured
            .filter(|_| linked.is_none())
            .unwrap_or_else(|| listens.to_string()),
    }
}
