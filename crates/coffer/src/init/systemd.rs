//! `coffer init --print-systemd`: one hardened service per role, each as its own user, with its sockets; users, directories,
//! and daily backups. Nothing is made but these texts.

use std::{
    env, fs,
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf, absolute},
};

use crate::{
    cli::InitArguments, configuration::Configuration, console, directory::Role, failure::Failure,
};

const SERVICE: &str = include_str!("systemd/service.txt");
const SOCKET: &str = include_str!("systemd/socket.txt");
const HARDENING: &str = include_str!("systemd/hardening.txt");
const BACKUP: &str = include_str!("systemd/backup.txt");

/// Where backups go, those of keys apart from the others; the operator carries them on from there.
const BACKUPS: &str = "/var/backups/coffer";
const BACKUPS_OF_KEYS: &str = "/var/backups/coffer-keys";
/// How long each backup waits for a database that is away: all three are over before the next night.
const BACKUP_WAIT: &str = " --wait 240";

/// In the order in which they start; each backup comes before the one of what it refers to.
const ROLES: [Role; 3] = [Role::Keys, Role::Vault, Role::Api];

/// A file, as systemd wants it.
struct Unit {
    name: String,
    text: String,
}

/// Prints the units, or writes them.
pub(super) fn run(arguments: &InitArguments) -> Result<(), Failure> {
    let site = Site::of(arguments)?;
    let units = site.units();
    match &arguments.systemd_dir {
        None => {
            for Unit { name, text } in units {
                console::print(&format!("# {name}\n{text}\n"));
            }
            Ok(())
        }
        Some(to) => write(&units, to),
    }
}

/// A unit that an operator has changed is not replaced: that is what drop-ins are for.
fn write(units: &[Unit], to: &Path) -> Result<(), Failure> {
    for Unit { name, text } in units {
        let path = to.join(name);
        match fs::read_to_string(&path) {
            Ok(there) if there == *text => continue,
            Ok(_) => {
                return Err(Failure::Operator(format!(
                    "{0} is there and is another one; keep changes in a drop-in (systemctl edit), delete {0}, and run this again",
                    path.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Failure::doing(
                    format_args!("reading {}", path.display()),
                    error,
                ));
            }
        }
        fs::write(&path, text)
            .map_err(|error| Failure::doing(format_args!("writing {}", path.display()), error))?;
        console::say(&path.display().to_string());
    }
    console::say(
        "next, as root: move coffer-users.conf to /etc/sysusers.d/ (make it if it is not there) and coffer-directories.conf to /etc/tmpfiles.d/, the rest to \
         /etc/systemd/system/; systemd-sysusers; systemd-tmpfiles --create; coffer init; systemctl enable --now coffer.target",
    );
    Ok(())
}

/// What the units are for.
struct Site {
    program: String,
    dir: String,
    settings: Configuration,
}

impl Site {
    fn of(arguments: &InitArguments) -> Result<Self, Failure> {
        let dir = absolute(&arguments.place.dir)
            .map_err(|error| Failure::doing("finding the data directory", error))?;
        if ["/home", "/root", "/run/user", "/tmp"]
            .iter()
            .any(|place| dir.starts_with(place))
        {
            return Err(Failure::Operator(format!(
                "{} cannot be seen by services, which have no part in homes and temporary files; use: --dir /var/lib/coffer",
                dir.display()
            )));
        }
        let written = dir.join("coffer.toml");
        let settings = if written.exists() {
            Configuration::load(&written)?
        } else {
            let mut settings = Configuration::before_any()?;
            settings.postgres = super::postgres_asked(&dir, arguments)?;
            settings
        };
        let program =
            env::current_exe().map_err(|error| Failure::doing("finding this program", error))?;
        Ok(Self {
            program: word(&program)?,
            dir: word(&dir)?,
            settings,
        })
    }

    fn units(&self) -> Vec<Unit> {
        let services = ROLES.iter().map(|role| self.service(*role));
        let sockets = ROLES.iter().flat_map(|role| self.sockets(*role));
        let backups = ROLES.iter().map(|role| self.backup(*role));
        let others = [self.target(), self.users(), self.directories(), timer()];
        services
            .chain(sockets)
            .chain(backups)
            .chain(others)
            .collect()
    }

    fn service(&self, role: Role) -> Unit {
        let names = self.listeners(role);
        let sockets: Vec<String> = names
            .iter()
            .map(|(name, _)| socket_name(role, name))
            .collect();
        let after = match role {
            Role::Keys | Role::Simulator => "",
            Role::Vault => "coffer-keys.service",
            Role::Api => "coffer-keys.service coffer-vault.service",
        };
        let (why, network) = self.network(role);
        let text = SERVICE
            .replace("@AFTER@", after)
            .replace("@SOCKETS@", &sockets.join(" "))
            .replace("@CREDENTIALS@\n", credentials(role))
            .replace("@NETWORK_WHY@", why)
            .replace("@NETWORK@", &network);
        let name = format!("coffer-{role}.service");
        self.unit(name, role, &text)
    }

    /// Its faces and links, health and metrics: everything that it listens at, so that it need not bind anything.
    fn sockets(&self, role: Role) -> Vec<Unit> {
        let unit = |(name, address): (&str, SocketAddr)| {
            // The rules of a socket are those of the unit that made it.
            let network = if address.ip().is_loopback() {
                "IPAddressDeny=any\nIPAddressAllow=localhost"
            } else {
                "# IPAddressDeny=any and IPAddressAllow= narrow down who may connect."
            };
            let text = SOCKET
                .replace("@NAME@", name)
                .replace("@ADDRESS@", &address.to_string())
                .replace("@NETWORK@", network);
            self.unit(socket_name(role, name), role, &text)
        };
        self.listeners(role).into_iter().map(unit).collect()
    }

    fn listeners(&self, role: Role) -> Vec<(&'static str, SocketAddr)> {
        let mut all = self.settings.listeners(role);
        all.push(("metrics", self.settings.metrics.of(role)));
        all
    }

    /// What a role may reach, beside the sockets that it is given.
    fn network(&self, role: Role) -> (&'static str, String) {
        let postgres = self.settings.postgres.as_ref();
        match (role, postgres.map(|postgres| postgres.address.ip())) {
            (Role::Keys, None) => (
                "none at all but the sockets that it is given.",
                "PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\nIPAddressDeny=any".to_owned(),
            ),
            (Role::Keys, Some(Some(ip))) => (
                "its database and nothing else.",
                format!(
                    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nSocketBindDeny=any\nIPAddressDeny=any\nIPAddressAllow={ip}"
                ),
            ),
            (Role::Keys, Some(None)) => (
                "its database; add IPAddressDeny=any and IPAddressAllow= with its addresses.",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\nSocketBindDeny=any".to_owned(),
            ),
            (Role::Api | Role::Vault | Role::Simulator, _) => (
                "it connects out, to where its own guard lets it; it binds nothing.",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\nSocketBindDeny=any"
                    .to_owned(),
            ),
        }
    }

    /// One after the other, as each must know all that the one before refers to.
    fn backup(&self, role: Role) -> Unit {
        let next = match role {
            Role::Api => "OnSuccess=coffer-backup-vault.service",
            Role::Vault => "OnSuccess=coffer-backup-keys.service",
            Role::Keys | Role::Simulator => "# The last of the three.",
        };
        let (wait, network) = match &self.settings.postgres {
            None => (
                "",
                "PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\nIPAddressDeny=any",
            ),
            Some(_) => (
                BACKUP_WAIT,
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\nSocketBindDeny=any",
            ),
        };
        let text = BACKUP
            .replace("@NEXT@", next)
            .replace("@WAIT@", wait)
            .replace("@TO@", &backups(role))
            .replace("@NETWORK@", network);
        self.unit(format!("coffer-backup-{role}.service"), role, &text)
    }

    fn target(&self) -> Unit {
        let text = "[Unit]\nDescription=Coffer: a payment API\nWants=coffer-keys.service coffer-vault.service coffer-api.service\n\n\
                    [Install]\nWantedBy=multi-user.target\n";
        Unit {
            name: "coffer.target".to_owned(),
            text: text.to_owned(),
        }
    }

    /// sysusers.d(5). What a user is called may hold no colon: it is a field of `/etc/passwd`.
    fn users(&self) -> Unit {
        let user =
            |role: &Role| format!("u coffer-{role} - \"Coffer {role}\" {}/{role}\n", self.dir);
        Unit {
            name: "coffer-users.conf".to_owned(),
            text: ROLES.iter().map(user).collect(),
        }
    }

    /// tmpfiles.d(5).
    fn directories(&self) -> Unit {
        let dir = &self.dir;
        let mut text = format!(
            "d {dir} 0755 root root\nd {dir}/public 0755 root root\nd {BACKUPS} 0755 root root\n"
        );
        for role in ROLES {
            text.push_str(&format!(
                "d {dir}/{role} 0700 coffer-{role} coffer-{role}\n"
            ));
            text.push_str(&format!(
                "d {} 0700 coffer-{role} coffer-{role}\n",
                backups(role)
            ));
        }
        Unit {
            name: "coffer-directories.conf".to_owned(),
            text,
        }
    }

    fn unit(&self, name: String, role: Role, text: &str) -> Unit {
        let others = Role::ALL.iter().filter(|other| **other != role);
        let others: Vec<String> = others
            .map(|other| format!("-{}/{other}", self.dir))
            .collect();
        let text = text
            .replace("@HARDENING@", HARDENING.trim_end())
            .replace("@ROLE@", role.as_str())
            .replace("@PROGRAM@", &self.program)
            .replace("@DIR@", &self.dir)
            .replace("@OTHERS@", &others.join(" "));
        Unit { name, text }
    }
}

/// The root key's passphrase is read by the service manager and shown to the key server alone.
const fn credentials(role: Role) -> &'static str {
    match role {
        Role::Keys => {
            "LoadCredential=passphrase:/etc/coffer/passphrase\nEnvironment=COFFER_KEYS_PASSPHRASE_FILE=%d/passphrase\n"
        }
        Role::Api | Role::Vault | Role::Simulator => "",
    }
}

fn backups(role: Role) -> String {
    match role {
        Role::Keys => BACKUPS_OF_KEYS.to_owned(),
        Role::Api | Role::Vault | Role::Simulator => format!("{BACKUPS}/{role}"),
    }
}

fn socket_name(role: Role, name: &str) -> String {
    format!("coffer-{role}-{name}.socket")
}

fn timer() -> Unit {
    Unit {
        name: "coffer-backup.timer".to_owned(),
        text: "[Unit]\nDescription=Coffer: daily backups\n\n\
               [Timer]\nOnCalendar=*-*-* 02:00:00\nRandomizedDelaySec=15min\nPersistent=yes\nUnit=coffer-backup-api.service\n\n\
               [Install]\nWantedBy=timers.target\n"
            .to_owned(),
    }
}

/// A path that means itself in a unit: what needs quoting there is refused.
fn word(path: &Path) -> Result<String, Failure> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    let text = PathBuf::from(path).to_string_lossy().into_owned();
    if text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(Failure::Operator(format!(
            "{text} cannot be named in a unit; use a path of letters, digits and . - _ /"
        )))
    }
}
