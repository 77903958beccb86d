//! Services: the units that `coffer init --print-systemd` makes, sockets that are passed, and the word that a role serves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use coffer_testkit::Installation;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const ROLES: [&str; 3] = ["api", "vault", "keys"];
/// What `systemd-analyze security` calls exposure, of 10.
const EXPOSURE_MAX: f64 = 2.0;
/// How long a process may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn units(more: &[&str]) -> (TempDir, bool, String) {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["init", "--dir", "/var/lib/coffer", "--systemd-dir"])
        .arg(place.path())
        .args(more)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (place, output.status.success(), said)
}

fn named(place: &Path, ending: &str) -> Vec<String> {
    let files = fs::read_dir(place)
        .unwrap()
        .map(|file| file.unwrap().path());
    let of_kind = files.filter(|path| path.extension().is_some_and(|found| found == ending));
    of_kind
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

/// Not everywhere there is a systemd to ask.
fn analyze(arguments: &[&str], files: &[String]) -> Option<std::process::Output> {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).args(files).env("SYSTEMD_PAGER", "");
    command.output().ok()
}

#[test]
fn systemd_understands_every_line_of_every_unit() {
    understood(&[]);
    understood(&["--postgres", "10.0.0.9:5432"]);
}

#[track_caller]
fn understood(more: &[&str]) {
    let (place, made, said) = units(more);
    assert!(made, "{said}");
    let kinds = ["service", "socket", "target", "timer"];
    let all: Vec<String> = kinds
        .iter()
        .flat_map(|kind| named(place.path(), kind))
        .collect();
    assert_eq!(all.len(), 6 + 8 + 1 + 1);
    let Some(output) = analyze(&["verify", "--man=no"], &all) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let of_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("coffer"))
        .collect();
    assert!(output.status.success() && of_ours.is_empty(), "{said}");
}

#[test]
fn no_service_is_more_exposed_than_it_must_be() {
    let (place, ..) = units(&[]);
    for file in named(place.path(), "service") {
        let Some(output) = analyze(
            &["security", "--offline=yes", "--no-pager"],
            std::slice::from_ref(&file),
        ) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said
            .lines()
            .find(|line| line.contains("Overall exposure level"));
        let line =
            line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
        let figure = line
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok())
            .unwrap();
        assert!(figure <= EXPOSURE_MAX, "{file}: {line}\n{said}");
    }
}

#[test]
fn each_role_has_its_own_user_and_sees_no_other_roles_directory() {
    let (place, ..) = units(&[]);
    for role in ROLES {
        let path = place.path().join(format!("coffer-{role}.service"));
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("User=coffer-{role}\n")));
        let closed = text
            .lines()
            .find(|line| line.starts_with("InaccessiblePaths="))
            .unwrap();
        for other in ROLES {
            assert_eq!(
                closed.contains(&format!("/{other}")),
                other != role,
                "{closed}"
            );
        }
        for hole in [
            "@ROLE", "@DIR", "@PROGRAM", "@NETWORK", "@SOCKETS", "@OTHERS",
        ] {
            assert!(!text.contains(hole), "{text}");
        }
    }
    let keys = fs::read_to_string(place.path().join("coffer-keys.service")).unwrap();
    for line in [
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "LoadCredential=passphrase:/etc/coffer/passphrase",
    ] {
        assert!(keys.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn a_key_server_on_postgresql_may_reach_its_database_before_there_is_an_installation() {
    let (place, made, said) = units(&["--postgres", "10.0.0.9:5432"]);
    assert!(made, "{said}");
    let keys = fs::read_to_string(place.path().join("coffer-keys.service")).unwrap();
    for line in ["IPAddressDeny=any", "IPAddressAllow=10.0.0.9"] {
        assert!(keys.lines().any(|found| found == line), "{line}: {keys}");
    }
    assert!(!keys.contains("PrivateNetwork=yes"), "{keys}");
}

/// A backup that is made of nothing but a failure before it must not follow: each knows all that the one before refers to.
#[test]
fn a_backup_waits_for_a_database_that_is_away_and_is_not_restarted_which_would_begin_the_next_one()
{
    let backup = |place: &TempDir, role| {
        fs::read_to_string(place.path().join(format!("coffer-backup-{role}.service"))).unwrap()
    };
    let (on_files, ..) = units(&[]);
    let (on_postgres, ..) = units(&["--postgres", "10.0.0.9:5432"]);
    for (role, next) in [
        ("api", Some("vault")),
        ("vault", Some("keys")),
        ("keys", None),
    ] {
        let text = backup(&on_postgres, role);
        let starts: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("ExecStart"))
            .collect();
        assert!(
            matches!(starts[..], [start] if start.ends_with(" --wait 240")),
            "{text}"
        );
        assert!(
            !text.lines().any(|line| line.starts_with("Restart")),
            "{text}"
        );
        let follows = next.map(|next| format!("OnSuccess=coffer-backup-{next}.service"));
        let said = text.lines().find(|line| line.starts_with("OnSuccess="));
        assert_eq!(said, follows.as_deref());
        assert!(!backup(&on_files, role).contains("--wait"));
    }
}

#[test]
fn a_unit_that_was_changed_is_not_replaced() {
    let (place, ..) = units(&[]);
    let path = place.path().join("coffer-api.service");
    fs::write(&path, "[Service]\n").unwrap();
    let again = |to: &Path| {
        let mut command = Command::new(BINARY);
        command
            .args(["init", "--dir", "/var/lib/coffer", "--systemd-dir"])
            .arg(to)
            .env_clear();
        command.output().unwrap()
    };
    let output = again(place.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("drop-in"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "[Service]\n");
    fs::remove_file(&path).unwrap();
    assert!(again(place.path()).status.success());
}

/// The key server, with this socket as its fourth file, as the service manager passes it under this name.
fn activated(installation: &Installation, socket: TcpListener, name: &str, notify: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "exec 3<&0 </dev/null; exec \"$@\"", "sh", BINARY])
        .args([
            "serve",
            "keys",
            "--allow-root",
            "--listen",
            "metrics=127.0.0.1:0",
            "--dir",
        ])
        .arg(installation.directory())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", name)
        .env("NOTIFY_SOCKET", notify)
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_role_serves_at_the_socket_that_it_is_given_and_says_when_it_does_and_when_it_stops() {
    let installation = Installation::make(BINARY, None);
    let place = tempfile::tempdir().unwrap();
    let notify = place.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Whoever comes before the role serves waits, and is not turned away.
    let early = TcpStream::connect(address).unwrap();
    let mut role = activated(&installation, socket, "keys", &notify);
    let heard = || {
        let mut text = [0; 256];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let ready = heard();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    let mut line = String::new();
    BufReader::new(role.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains(&format!("\"keys\":\"{address}\"")), "{line}");
    drop(early);
    let pid = Pid::from_raw(i32::try_from(role.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let stopping = heard();
    assert!(
        stopping.lines().any(|line| line == "STOPPING=1"),
        "{stopping}"
    );
    assert!(role.wait().unwrap().success());
}

#[test]
fn a_socket_that_nobody_would_serve_is_refused() {
    let installation = Installation::make(BINARY, None);
    let place = tempfile::tempdir().unwrap();
    let notify = place.path().join("notify");
    let _manager = UnixDatagram::bind(&notify).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = activated(&installation, socket, "kyes", &notify)
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("kyes") && said.contains("FileDescriptorName="),
        "{said}"
    );
}
