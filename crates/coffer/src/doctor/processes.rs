//! The processes: there, able to work, reachable, and held by their sandbox.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use super::{
    Finding, Findings,
    code::Code,
    sight::{Running, Seen, Sight, not_seen},
};
use crate::{configuration::Configuration, directory::Role};

/// How long somebody on this machine may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The longest answer of `/readyz`.
const ANSWER_BYTES: u64 = 4096;
/// Files and connections that a role must be able to open.
const DESCRIPTORS_MIN: u64 = 4096;
/// The name under which health and metrics are announced.
const METRICS: &str = "metrics";

/// Whether a process has each role's lock.
pub(super) fn running(sight: &Sight) -> Findings {
    let stopped = sight
        .roles
        .iter()
        .filter(|seen| seen.running == Running::No);
    stopped
        .map(|seen| {
            let dir = sight.directory.path().display();
            Finding::of(
                Code::NotRunning,
                format!("the role {} does not run", seen.role),
                format!("systemctl start coffer.target, or: coffer up --dir {dir}; if it ends again, its log says why: journalctl -u coffer-{}", seen.role),
            )
            .at(seen.role)
        })
        .collect()
}

/// What each says of itself.
pub(super) fn ready(sight: &Sight) -> Findings {
    let mut found = Vec::new();
    for seen in sight.running() {
        let role = seen.role;
        let Some(address) = addresses(sight, seen).remove(METRICS) else {
            found.push(not_seen(role, "whether it can do its work"));
            continue;
        };
        match readyz(address) {
            Ok((200, _)) => {}
            Ok((_, reason)) => found.push(unready(sight.directory.path(), role, &reason).at(role)),
            Err(error) => {
                let what = format!("/readyz at {address} does not answer: {error}");
                let mend = format!("look into the log of {role}; restart it");
                found.push(Finding::of(Code::NotReachable, what, mend).at(role));
            }
        }
    }
    found
}

fn unready(dir: &Path, role: Role, reason: &str) -> Finding {
    if role == Role::Keys && reason.contains("sealed") {
        Finding::of(
            Code::KeysSealed,
            "the key server is sealed",
            format!(
                "coffer keys unseal --passphrase-file FILE --dir {}",
                dir.display()
            ),
        )
    } else {
        let mend = format!("look into the log of {role}, and at what it needs");
        Finding::of(Code::NotReady, format!("it is not ready: {reason}"), mend)
    }
}

/// Faces and links.
pub(super) fn reachable(sight: &Sight) -> Findings {
    let mut found = Vec::new();
    for seen in sight.running() {
        for (name, address) in addresses(sight, seen) {
            if name == METRICS {
                continue;
            }
            if let Err(error) = TcpStream::connect_timeout(&address, ANSWER_MAX) {
                let what = format!("{name} is not reached at {address}: {error}");
                let mend = format!("look into the log of {}; restart it", seen.role);
                found.push(Finding::of(Code::NotReachable, what, mend).at(seen.role));
            }
        }
    }
    found
}

/// Where a role listens: as it says itself, or else as the settings say.
fn addresses(sight: &Sight, seen: &Seen) -> BTreeMap<String, SocketAddr> {
    match (&seen.process, sight.settings()) {
        (Some(about), _) => about.addresses.clone(),
        (None, Some(settings)) => configured(settings, seen.role),
        (None, None) => BTreeMap::new(),
    }
}

fn configured(settings: &Configuration, role: Role) -> BTreeMap<String, SocketAddr> {
    let own = settings.listeners(role);
    let all = own
        .into_iter()
        .chain([(METRICS, settings.metrics.of(role))]);
    // Port 0 is any, which only the process knows.
    let known = all.filter(|(_, address)| address.port() != 0);
    known
        .map(|(name, address)| (name.to_owned(), address))
        .collect()
}

fn readyz(address: SocketAddr) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let reason = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.unwrap_or_default(), reason.trim().to_owned()))
}

/// What the kernel says of each process.
pub(super) fn confined(sight: &Sight) -> Findings {
    let mut found = Vec::new();
    for seen in sight.running() {
        let role = seen.role;
        let status = seen.process.as_ref().and_then(|about| {
            Some((
                about.pid,
                fs::read_to_string(format!("/proc/{}/status", about.pid)).ok()?,
            ))
        });
        let Some((pid, status)) = status else {
            found.push(not_seen(role, "whether its sandbox holds"));
            continue;
        };
        let user = field(&status, "Uid");
        for (holds, what) in [
            (
                field(&status, "Seccomp") == Some(2),
                "no system call filter",
            ),
            (
                field(&status, "NoNewPrivs") == Some(1),
                "new privileges are possible",
            ),
            (
                undumpable(pid, user),
                "its memory can be read by others of its user",
            ),
            (
                soft_limit(pid, "Max core file size") == Some(0),
                "a crash leaves a core file",
            ),
        ] {
            if !holds {
                let what = format!("process {pid}: {what}");
                let mend =
                    "start it with this program's coffer serve or coffer up, not under a debugger";
                found.push(Finding::of(Code::NotConfined, what, mend).at(role));
            }
        }
        if sight.is_production() && user == Some(0) {
            let mend = format!(
                "run it as its own user: coffer init --print-systemd; chown -R coffer-{role}: its directory"
            );
            found.push(
                Finding::of(Code::RunsAsRoot, format!("process {pid} is root's"), mend).at(role),
            );
        }
    }
    found
}

/// What the kernel lets each process have.
pub(super) fn limits(sight: &Sight) -> Findings {
    let mut found = Vec::new();
    for seen in sight.running() {
        let files = seen
            .process
            .as_ref()
            .and_then(|about| soft_limit(about.pid, "Max open files"));
        if let Some(files) = files.filter(|files| *files < DESCRIPTORS_MIN) {
            let what = format!("it may open {files} files and connections");
            let mend = "LimitNOFILE=65536 in its unit, or: ulimit -n 65536";
            found.push(Finding::of(Code::DescriptorsLow, what, mend).at(seen.role));
        }
    }
    found
}

/// The first number of a line of `/proc/PID/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The kernel gives the files of a process that is not dumpable to root. Those of root's own do not tell.
fn undumpable(pid: u32, user: Option<u64>) -> bool {
    let owner = fs::metadata(format!("/proc/{pid}/environ")).map(|found| found.uid());
    user == Some(0) || owner.is_ok_and(|owner| owner == 0)
}

/// The limit that holds now; one without end is none.
fn soft_limit(pid: u32, name: &str) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tcoffer\nUid:\t1000\t1000\nSeccomp:\t2\nSeccomp_filters:\t7\n";
        assert_eq!(field(status, "Seccomp"), Some(2));
        assert_eq!(field(status, "Uid"), Some(1000));
        assert_eq!(field(status, "NoNewPrivs"), None);
    }

    #[test]
    fn a_sealed_key_server_has_a_code_of_its_own() {
        assert_eq!(
            unready(Path::new("D"), Role::Keys, "the key server is sealed").code,
            Code::KeysSealed
        );
        assert_eq!(
            unready(Path::new("D"), Role::Vault, "the key server is sealed").code,
            Code::NotReady
        );
    }
}
