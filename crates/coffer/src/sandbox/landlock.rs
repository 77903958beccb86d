//! Landlock: of all files a role sees its own directory, what is public, and what name resolution needs.
//!
//! Listeners are bound before; afterwards no TCP port can be bound, and a role that connects nowhere cannot connect.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

use super::Needs;
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

fn build(needs: &Needs) -> Result<RulesetStatus, landlock::RulesetError> {
    let execute: BitFlags<AccessFs> = AccessFs::Execute.into();
    let all = AccessFs::from_all(WANTED) & !execute;
    let read = AccessFs::from_read(WANTED) & !execute;
    let resolver = if needs.connects { RESOLVER } else { &[] };
    let net = if needs.connects {
        AccessNet::BindTcp.into()
    } else {
        AccessNet::from_all(WANTED)
    };
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(net)?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules([&needs.own], all))?
        .add_rules(path_beneath_rules(&needs.read, read))?
        .add_rules(path_beneath_rules(resolver, read))?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, path::PathBuf};

    use super::*;

    /// Runs on a thread of its own, since a sandbox cannot be left again; `None` where the kernel has no Landlock.
    fn within(needs: Needs, act: impl FnOnce() -> bool + Send + 'static) -> Option<bool> {
        let sandboxed = move || restrict(&needs).unwrap().starts_with("on").then(act);
        std::thread::spawn(sandboxed).join().unwrap()
    }

    fn needs(own: PathBuf, connects: bool) -> Needs {
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
        let seen = within(needs(own, true), move || {
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
        let bound = within(needs(place.path().to_path_buf(), true), || {
            TcpListener::bind("127.0.0.1:0").is_ok()
        });
        assert_ne!(bound, Some(true));
    }
}
