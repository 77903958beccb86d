//! `docs/operations.md` word for word, on a machine that systemd has booted: this one's files, with everything that is changed
//! kept apart, in a container of `systemd-nspawn`.
//!
//! It needs root, and a machine that lets root mount and boot; elsewhere nothing is tested.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use coffer_testkit::{certified, eventually};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
const ROLES: [&str; 3] = ["api", "vault", "keys"];
/// How long a machine may take to boot.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Mounts are seen by nobody else, and gone with the last process of the machine.
const BOOT: &str = r#"
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" overlay "$PLACE/root"
rm -rf "$PLACE/root/etc/systemd/system/multi-user.target.wants"
install "$BINARY" "$PLACE/root/usr/local/bin/coffer"
exec systemd-nspawn --quiet --register=no --keep-unit --boot --private-network --console=pipe \
  --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
  --machine="coffer-$$" --directory="$PLACE/root" systemd.unit=multi-user.target
"#;

/// A booted machine; off when dropped.
struct Machine {
    nspawn: Child,
    _place: TempDir,
}

impl Machine {
    /// None where that is not possible.
    async fn boot() -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let nspawn = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-euc", BOOT])
            .env("PLACE", place.path())
            .env("BINARY", BINARY)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let mut machine = Self {
            nspawn,
            _place: place,
        };
        let since = Instant::now();
        loop {
            match machine.command("systemctl is-system-running --wait || true") {
                Ok(said) if said.contains("running") || said.contains("degraded") => {
                    return Some(machine);
                }
                Ok(_) | Err(_) if machine.nspawn.try_wait().unwrap().is_some() => return None,
                Ok(_) | Err(_) => assert!(since.elapsed() < PATIENCE, "no booted machine"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The first process in it.
    fn init(&self) -> Option<String> {
        let id = self.nspawn.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// What a shell there says, or what it complains of.
    fn command(&self, text: &str) -> Result<String, String> {
        let init = self.init().ok_or("nothing runs")?;
        let output = Command::new("nsenter")
            .args(["--target", &init, "--all", "--", "bash", "-euo", "pipefail"])
            .args(["-c", text])
            .env_clear()
            .env("HOME", "/root")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => Err(said + &String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn run(&self, text: &str) -> String {
        self.command(text)
            .unwrap_or_else(|said| panic!("{text}\n{said}"))
    }

    fn write(&self, path: &str, text: &str) {
        let quoted = text.replace('\'', r"'\''");
        self.run(&format!("printf %s '{quoted}' > {path}"));
    }

    /// The codes of what a doctor finds there.
    fn findings(&self) -> Vec<String> {
        let said = self.run("coffer doctor --json --dir /var/lib/coffer || true");
        let report: Value = serde_json::from_str(&said).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(init) = self
            .init()
            .and_then(|init| Pid::from_raw(init.parse().ok()?))
        {
            let _ = kill_process(init, Signal::KILL);
        }
        let _ = self.nspawn.wait();
    }
}

/// The commands between two lines of the document.
fn commands(heading: &str) -> Vec<&'static str> {
    let (_, section) = OPERATIONS.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// Names that a shop would have, and a certificate for them.
fn settle(machine: &Machine, certified: &Path) {
    for (role, name) in [
        ("api", "api"),
        ("checkout", "pay"),
        ("dashboard", "dashboard"),
        ("fields", "fields"),
    ] {
        machine.run(&format!(
            "sed -i 's|^# {role}_origin = .*|{role}_origin = \"https://{name}.shop.test\"|' /var/lib/coffer/coffer.toml"
        ));
    }
    for role in ["api", "vault"] {
        for (from, to) in [("cert.pem", "face-cert.pem"), ("key.pem", "face-key.pem")] {
            let text = fs::read_to_string(certified.join(from)).unwrap();
            let path = format!("/var/lib/coffer/{role}/{to}");
            machine.write(&path, &text);
            machine.run(&format!("chmod 600 {path}"));
        }
    }
    machine.write(
        "/etc/coffer/ca.pem",
        &fs::read_to_string(certified.join("ca.pem")).unwrap(),
    );
}

#[tokio::test]
async fn what_the_document_says_installs_a_coffer_that_serves_backs_up_and_comes_back() {
    let Some(machine) = Machine::boot().await else {
        return;
    };
    let [first, second] = commands("## Install, with systemd")[..] else {
        panic!("the section has other commands than before");
    };
    machine.run(first);
    let certified = certified("api.shop.test", -60..3600);
    settle(&machine, certified.path());
    // What root does while nothing runs leaves nothing that the roles could not open.
    let (init, start) = second.split_once('\n').unwrap();
    assert!(
        machine
            .run(&format!("{init} 2>&1"))
            .contains("https://dashboard.shop.test/invitations/")
    );
    let made = machine.run("coffer api-keys create --account shop --dir /var/lib/coffer");
    let key = made
        .lines()
        .find(|line| line.starts_with("sk_test_"))
        .unwrap();
    machine.run(start.split("coffer doctor").next().unwrap());

    for role in ROLES {
        let state = format!("systemctl show -p ActiveState,User,Result coffer-{role}.service");
        let state = machine.run(&state);
        assert!(
            state.contains("ActiveState=active") && state.contains(&format!("User=coffer-{role}")),
            "{state}"
        );
        // Not even root sees anything from where the role is.
        for other in ROLES.iter().filter(|other| **other != role) {
            let pid = format!("$(systemctl show -p MainPID --value coffer-{role}.service)");
            let there = format!("nsenter --target {pid} --mount ls -A /var/lib/coffer/{other}");
            assert_eq!(machine.run(&there), "", "{role} sees files of {other}");
        }
    }
    let pay = format!(
        "curl --silent --show-error --fail --cacert /etc/coffer/ca.pem --resolve api.shop.test:8443:127.0.0.1 --oauth2-bearer {key} \
         --json '{{\"amount\": 1999, \"currency\": \"EUR\"}}' https://api.shop.test:8443/v1/payments"
    );
    assert!(machine.run(&pay).contains("\"amount\":1999"));

    // The night's backups, in their order, each by its role.
    machine.run("systemctl start coffer-backup-api.service");
    eventually(PATIENCE, "the backup of keys", async || {
        machine.command("ls /var/backups/coffer-keys/*.backup").ok()
    })
    .await;
    let kept = machine
        .run("stat -c '%U %a' /var/backups/coffer/*/*.backup /var/backups/coffer-keys/*.backup");
    assert_eq!(kept, "coffer-api 600\ncoffer-vault 600\ncoffer-keys 600\n");
    let drill = "coffer backup restore vault /var/backups/coffer/vault/*.backup --drill --dir /var/lib/coffer \
                 --passphrase-file /etc/coffer/backup-passphrase";
    machine.run(drill);
    let findings = machine.findings();
    let files_or_processes = ["D2", "D5", "D6", "D801", "D802"];
    assert!(
        !findings
            .iter()
            .any(|code| files_or_processes.iter().any(|of| code.starts_with(of))),
        "{findings:?}"
    );

    // A role that dies comes back by itself, and whoever connects meanwhile waits for it.
    machine.run("kill -KILL \"$(systemctl show -p MainPID --value coffer-api.service)\"");
    assert!(machine.run(&pay).contains("\"amount\":1999"));
    let restarts = machine.run("systemctl show -p NRestarts --value coffer-api.service");
    assert_eq!(restarts.trim(), "1");

    stop(&machine);
    come_back(&machine).await;
    assert!(machine.run(&pay).contains("\"amount\":1999"));
    stop(&machine);
}

fn stop(machine: &Machine) {
    machine.run("systemctl stop coffer.target 'coffer-*.service'");
    for role in ROLES {
        let state = machine.run(&format!(
            "systemctl show -p ActiveState,Result coffer-{role}.service"
        ));
        assert!(
            state.contains("ActiveState=inactive") && state.contains("Result=success"),
            "{state}"
        );
    }
}

/// The disk of the api is lost: what was kept elsewhere is put back by root.
async fn come_back(machine: &Machine) {
    machine.run(
        "mv /var/lib/coffer/api /root/lost
         systemd-tmpfiles --create
         cp /root/lost/service.key /root/lost/face-*.pem /var/lib/coffer/api/",
    );
    let said = machine.run(
        "coffer backup restore api /var/backups/coffer/api/*.backup --dir /var/lib/coffer \
         --passphrase-file /etc/coffer/backup-passphrase 2>&1",
    );
    machine.run("coffer init --dir /var/lib/coffer");
    machine.run("systemctl start coffer.target coffer-api.service");
    // Work went on after the backup: the key server knows a longer log, and does not sign this one.
    eventually(PATIENCE, "an alert", async || {
        let alerts = machine.run("coffer alerts --dir /var/lib/coffer");
        alerts.contains("log_refused").then_some(())
    })
    .await;
    let accept = said.lines().find(|line| line.contains("accept-restore"));
    machine.run(accept.expect(&said));
    eventually(PATIENCE, "a log that verifies", async || {
        machine
            .command("coffer audit verify --dir /var/lib/coffer")
            .ok()
    })
    .await;
}
