//! The command line. What it accepts is parsed here; what it means is in the module of each command.

mod manage;
mod operate;

pub(crate) use manage::{
    AccountsCommand, ApiKeysCommand, AuditCommand, BlocksCommand, ExportArguments, KeyNamed,
    KeysListed, NewKeyArguments, SigningKeyOwner, SigningKeySource, SigningKeysCommand,
    UsageArguments,
};
pub(crate) use operate::{BackupCommand, DoctorArguments};

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use coffer_core::Malformed;
use coffer_net::tls_check::Target;

use crate::{
    configuration::{Names, Profile, Server},
    directory::Role,
};

/// A payment API that a company runs itself.
#[derive(Parser)]
#[command(name = "coffer", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create the data directory: configuration, certificates, keys.
    Init(InitArguments),
    /// Run all roles on this machine and keep them running.
    Up(UpArguments),
    /// Run one role.
    Serve(ServeArguments),
    /// Make a test key that lasts a day and print it as shell exports.
    Env(EnvArguments),
    /// Print each event of a running development installation with its verification and its object, until Ctrl-C.
    Listen(ListenArguments),
    /// Open, close or look at the key server.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Look at TLS from outside.
    Tls {
        #[command(subcommand)]
        command: TlsCommand,
    },
    /// Make and revoke API keys.
    ApiKeys {
        #[command(subcommand)]
        command: ApiKeysCommand,
    },
    /// Make, register and revoke keys that sign requests.
    SigningKeys {
        #[command(subcommand)]
        command: SigningKeysCommand,
    },
    /// Show accounts, and activate one for live payments.
    Accounts {
        #[command(subcommand)]
        command: AccountsCommand,
    },
    /// Show what needs a person's attention, what was seen last first.
    Alerts(AlertsArguments),
    /// Who is slowed or blocked, because what came from there looked hostile.
    Blocks {
        #[command(subcommand)]
        command: BlocksCommand,
    },
    /// Compare the payment pages that payers get with those that were made.
    Pages {
        #[command(subcommand)]
        command: PagesCommand,
    },
    /// Show how much each key of an account asked for, by endpoint and hour, and what it moved.
    Usage(UsageArguments),
    /// Prove that nobody changed the record of what was done, and keep its head elsewhere.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Copy a role's store into an encrypted file, prove such a file, or restore it.
    Backup {
        #[command(subcommand)]
        command: BackupCommand,
    },
    /// Look at an installation, running or not: what is wrong with it, and what mends it.
    Doctor(DoctorArguments),
    /// Take a card payment through everything, in a temporary directory, and show how.
    Demo(DemoArguments),
    /// Print the API's description (OpenAPI 3.1).
    Openapi,
}

/// Where everything is.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// The data directory.
    #[arg(
        long,
        env = "COFFER_DIR",
        default_value = "coffer-data",
        value_name = "DIR"
    )]
    pub(crate) dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// What this installation is for; only `development` allows what is handy and unsafe [default: production].
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileArgument>,
    /// File with the passphrase of the root key; needed in production, outside the data directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Keep the roles' data in PostgreSQL at this address instead of SQLite files; settled at the beginning, for good.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) postgres: Option<Server>,
    /// What databases and users are called there, before `_api`, `_vault` and `_keys` [default: coffer].
    #[arg(long, value_name = "NAMES", requires = "postgres")]
    pub(crate) postgres_names: Option<Names>,
    /// Print units for systemd and make nothing: services, sockets, users, directories, daily backups.
    #[arg(long)]
    pub(crate) print_systemd: bool,
    /// Write the units into this directory instead, each as a file.
    #[arg(long, value_name = "DIR")]
    pub(crate) systemd_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Report events as JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
    /// Let the roles run as root; development only.
    #[arg(long)]
    pub(crate) allow_root: bool,
}

#[derive(Args)]
pub(crate) struct ServeArguments {
    /// Which role.
    #[arg(value_enum)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where another process listens, instead of the configured address: `keys=127.0.0.1:8452`. Repeatable.
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub(crate) link: Vec<NamedAddress>,
    /// Where a face of this role listens, instead of the configured address: `api=127.0.0.1:8443`. Repeatable.
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub(crate) listen: Vec<NamedAddress>,
    /// Run as root; development only.
    #[arg(long)]
    pub(crate) allow_root: bool,
    /// Stop when stdin ends: how `coffer up` holds its children.
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

#[derive(Args)]
pub(crate) struct EnvArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The account that the key is for, by name.
    #[arg(long, default_value = crate::env::DEMO_ACCOUNT)]
    pub(crate) account: String,
}

#[derive(Args)]
pub(crate) struct ListenArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The account whose test events are told, by name.
    #[arg(long, default_value = crate::env::DEMO_ACCOUNT)]
    pub(crate) account: String,
    /// Send each message on to this address, with its headers and body as they came.
    #[arg(long, value_name = "URL")]
    pub(crate) forward: Option<String>,
}

#[derive(Args)]
pub(crate) struct AlertsArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum PagesCommand {
    /// Look at them now, as a payer's browser would; it is done every minute, too.
    Check(Place),
}

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// Leave it running at the end, and print addresses and keys.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Play what a thief gets of this instead.
    #[arg(long, value_enum)]
    pub(crate) thief: Option<crate::demo::Loot>,
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Close it: the root key leaves its memory; cards can be neither stored nor charged.
    Seal(Place),
    /// Open it with the passphrase of the root key.
    Unseal {
        #[command(flatten)]
        place: Place,
        /// File with the passphrase.
        #[arg(long, value_name = "FILE")]
        passphrase_file: PathBuf,
    },
    /// Say whether it is open.
    Status(Place),
    /// Make a certificate for one more process of a role: cert.pem and key.pem, in a directory that is to become that role's on
    /// another machine. The key server must run, and be open; this goes on record.
    Issue {
        /// `api` or `vault`.
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        place: Place,
        /// What the process is called, as in its settings.
        #[arg(long, value_name = "NAME")]
        instance: String,
        /// The directory to write them into.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Let a role's log go on from where a backup had it, instead of from where it was; this goes on record.
    AcceptRestore {
        /// `api` or `vault`.
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        place: Place,
        /// The entries of the restored log, as `coffer backup restore` says.
        #[arg(long)]
        size: u64,
        /// Its root, as `coffer backup restore` says.
        #[arg(long, value_name = "HEX")]
        root: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum TlsCommand {
    /// Try what a server must refuse, look at its certificate, grade it, and say what to do. Ends with 0 when all is well,
    /// 1 when something is to be mended, 2 when somebody cannot be reached.
    Check(TlsCheckArguments),
}

#[derive(Args)]
pub(crate) struct TlsCheckArguments {
    /// The server; every public face of the installation when there is none.
    #[arg(value_name = "HOST:PORT")]
    pub(crate) target: Option<Target>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// File with the certificate of an authority that is to be trusted beside the public ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// The profile, as an argument.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ProfileArgument {
    /// For one developer's machine.
    Development,
    /// For everything else.
    Production,
}

impl From<ProfileArgument> for Profile {
    fn from(argument: ProfileArgument) -> Self {
        match argument {
            ProfileArgument::Development => Self::Development,
            ProfileArgument::Production => Self::Production,
        }
    }
}

/// An address and whose it is: `keys=127.0.0.1:8452`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedAddress {
    /// A role or a face.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) address: SocketAddr,
}

impl FromStr for NamedAddress {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "a name and an address, such as keys=127.0.0.1:8452",
        };
        let (name, address) = text.split_once('=').ok_or(malformed)?;
        Ok(Self {
            name: name.to_owned(),
            address: address.parse().map_err(|_| malformed)?,
        })
    }
}

impl std::fmt::Display for NamedAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_named_address_reads_back() {
        let named: NamedAddress = "keys=127.0.0.1:8452".parse().unwrap();
        assert_eq!(named.to_string(), "keys=127.0.0.1:8452");
        assert!("127.0.0.1:8452".parse::<NamedAddress>().is_err());
        assert!("keys=localhost".parse::<NamedAddress>().is_err());
    }
}
