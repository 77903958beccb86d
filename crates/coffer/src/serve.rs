//! `coffer serve`: one role in one process. What needs the outside (listeners, secrets, certificates) is opened first, then
//! the sandbox closes, and only then there is a runtime with threads.

mod acme;
mod activation;
pub(crate) mod api;
mod backups;
pub(crate) mod certificates;
mod disk;
mod edge;
pub(crate) mod keys;
pub(crate) mod origin;
mod pair;
mod process;
pub(crate) mod redis;
mod renewal;
pub(crate) mod schema;
mod simulator;
pub(crate) mod store;
mod tls_watch;
mod vault;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    cli::ServeArguments,
    configuration::{Configuration, Profile, PublicFile},
    directory::{Directory, Role},
    failure::Failure,
    logging, sandbox,
};
use coffer_net::outbound::{AddressPolicy, Outbound, Roots};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use process::Process;

/// This machine itself.
const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Wherever our own faces are: their addresses come from the settings alone, so nobody can lead us elsewhere.
const ANYWHERE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

/// Runs a role until it is told to stop.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let configuration = Configuration::load(&directory.configuration())?;
    logging::start(&configuration.log)?;
    sandbox::refuse_root(configuration.profile, arguments.allow_root)?;
    directory.check_owner(arguments.role)?;
    let lock = directory.lock(arguments.role)?;
    coffer_net::tls::install_provider();
    let process = Process::new(arguments, directory, configuration)?;
    let outcome = match arguments.role {
        Role::Api => api::run(process),
        Role::Vault => vault::run(process),
        Role::Keys => keys::run(process),
        Role::Simulator => simulator::run(process),
    };
    drop(lock);
    outcome
}

/// What a process may connect to: public addresses and these networks; on a developer's machine also the machine itself,
/// whose faces have certificates of the development authority. A private authority may be trusted beside the world's.
pub(crate) fn outbound(
    directory: &Directory,
    configuration: &Configuration,
    allow: &[IpNet],
    authority: Option<&PublicFile>,
) -> Result<Outbound, Failure> {
    let roots = roots(directory, configuration, authority)?;
    Ok(Outbound::new(
        AddressPolicy::new(allowed(configuration, allow)),
        roots,
    ))
}

/// The way on which a process looks at our own faces from outside, as payers do.
fn outside(directory: &Directory, configuration: &Configuration) -> Result<Outbound, Failure> {
    outbound(
        directory,
        configuration,
        &ANYWHERE,
        configuration.acme_authority(),
    )
}

/// The authorities behind the world's certificates, on a developer's machine its own, and this one.
pub(crate) fn roots(
    directory: &Directory,
    configuration: &Configuration,
    authority: Option<&PublicFile>,
) -> Result<Roots, Failure> {
    let roots = match development_authority(directory, configuration)? {
        Some(pem) => Roots::public().with_pem(&pem),
        None => Ok(Roots::public()),
    };
    let roots =
        roots.map_err(|error| Failure::doing("reading the development authority", error))?;
    let Some(authority) = authority else {
        return Ok(roots);
    };
    let path = authority.path(directory);
    roots
        .with_pem(&certificates::read_public(&path)?)
        .map_err(|error| Failure::Operator(format!("{}: {error}", path.display())))
}

/// The networks beside the public ones.
fn allowed(configuration: &Configuration, allow: &[IpNet]) -> Vec<IpNet> {
    let own: &[IpNet] = match configuration.profile {
        Profile::Development => &LOOPBACK,
        Profile::Production => &[],
    };
    allow.iter().chain(own).copied().collect()
}

/// The certificate of the authority behind the faces of a developer's machine.
fn development_authority(
    directory: &Directory,
    configuration: &Configuration,
) -> Result<Option<String>, Failure> {
    match configuration.profile {
        Profile::Development => {
            certificates::read_public(&directory.development_authority()).map(Some)
        }
        Profile::Production => Ok(None),
    }
}
