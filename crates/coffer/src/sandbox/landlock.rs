//! Landlock: of all files a role sees its own directory, what is public, and what name resolution needs.
//!
//! Listeners are bound before; afterwards no TCP port can be bound, and a role that connects to one port, or nowhere, cannot
//! connect to others.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{Connects, Needs};
use crate::failure::Failure;

/// The newest rules that are asked for; an older kernel applies those that it knows, and the log says so.
const WANTED: ABI = ABI::V6;

/// What the C library reads to resolve a host's name. Paths that are missing are left out.
const RESOLVER: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

/// Restricts this thread and all that it will start; answers how far.
pub(super) fn restrict(needs: &Needs) -> Result<&'static str, Failure> {
    let status = build(needs).map_err(|error| Failure::doing("installing Landlock", error))?;
    Ok(match status {
        RulesetStatus::FullyEnforced => "on",
        RulesetStatus::PartiallyEnforced => "partly on (an older kernel)",
        RulesetStatus::NotEnforced => "OFF (the kernel has none)",
    })
}

fn build(needs: &Needs) -> Result<RulesetStatus, RulesetError> {
    let execute: BitFlags<AccessFs> = AccessFs::Execute.into();
    let all = AccessFs::from_all(WANTED) & !execute;
    let read = AccessFs::from_read(WANTED) & !execute;
    let bind: BitFlags<AccessNet> = AccessNet::BindTcp.into();
    let (resolver, net, port) = match needs.connects {
        Connects::Nowhere => (&[][..], AccessNet::from_all(WANTED), None),
        Connects::Port(port) => (&[][..], AccessNet::from_all(WANTED), Some(port)),
        Connects::Anywhere => (RESOLVER, bind, None),
    };
    let allowed = port.map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp)));
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(net)?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules([&needs.own], all))?
        .add_rules(path_beneath_rules(&needs.read, read))?
        .add_rules(path_beneath_rules(resolver, read))?
        .add_rules(allowed)?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        net::{TcpListener, TcpStream},
        path::PathBuf,
    };

    use super::*;

    /// Runs on a thread of its own, since a sandbox cannot be left again; `None` where the kernel has no Landlock.
    fn within(needs: Needs, act: impl FnOnce() -> bool + Send + 'static) -> Option<bool> {
        let sandboxed = move || restrict(&needs).unwrap().starts_with("on").then(act);
        std::thread::spawn(sandboxed).join().unwrap()
    }

    fn needs(own: PathBuf, connects: Connects) -> Needs {
        Needs {
            own,
            read: Vec::new(),
            connects,
        }
    }

    #[test]
    fn a_role_sees_its_own_directory_and_no_other_roles() {
        let place = tempfile::tempdir().unwrap();
        let (own, other) = (place.path().join("vault"), place.path().join("keys"));
        for directory in [&own, &other] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("secret"), "a").unwrap();
        }
        let (mine, theirs) = (own.clone(), other);
        let seen = within(needs(own, Connects::Anywhere), move || {
            assert!(
                fs::read(mine.join("secret")).is_ok() && fs::write(mine.join("new"), "b").is_ok()
            );
            let outside = [theirs.join("secret"), PathBuf::from("/etc/passwd")];
            outside.iter().any(|file| fs::read(file).is_ok())
                || fs::write(theirs.join("new"), "b").is_ok()
        });
        assert_ne!(seen, Some(true));
    }

    #[test]
    fn no_port_can_be_bound_once_the_sandbox_has_closed() {
        let place = tempfile::tempdir().unwrap();
        let bound = within(
            needs(place.path().to_path_buf(), Connects::Anywhere),
            || TcpListener::bind("127.0.0.1:0").is_ok(),
        );
        assert_ne!(bound, Some(true));
    }

    /// Which of two listeners a role reaches that may connect to the first one's port.
    fn reached(connects: impl FnOnce(u16) -> Connects) -> Option<(bool, bool)> {
        let place = tempfile::tempdir().unwrap();
        let [first, second] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [to_first, to_second] = [&first, &second].map(|one| one.local_addr().unwrap());
        let needs = needs(place.path().to_path_buf(), connects(to_first.port()));
        let sandboxed = move || {
            restrict(&needs).unwrap().starts_with("on").then(|| {
                let connects = |to| TcpStream::connect(to).is_ok();
                (connects(to_first), connects(to_second))
            })
        };
        std::thread::spawn(sandboxed).join().unwrap()
    }

    #[test]
    fn a_role_that_connects_to_one_port_reaches_no_other() {
        let Some(found) = reached(Connects::Port) else {
            return;
        };
        assert_eq!(found, (true, false));
        assert_eq!(reached(|_| Connects::Nowhere), Some((false, false)));
        assert_eq!(reached(|_| Connects::Anywhere), Some((true, true)));
    }
}
