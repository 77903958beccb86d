//! The commands of whoever keeps an installation running.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Place;
use crate::directory::Role;

#[derive(Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup of one role, while it runs or not. In the order api, vault, keys: each then knows all that the one before
    /// refers to.
    Create {
        /// `api`, `vault` or `keys`.
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        place: Place,
        /// The directory to put it into; those of `keys` are kept apart from the others.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// File with the passphrase of the backups [default: that of the settings].
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// While PostgreSQL is away, wait for it, and try again: for so many minutes in all.
        #[arg(long, value_name = "MINUTES", default_value_t = 0)]
        wait: u16,
    },
    /// Prove that a backup can be read and is whole, without restoring it.
    Verify {
        /// The backup.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        /// File with the passphrase of the backups [default: that of the settings].
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Restore a backup into an empty place.
    Restore {
        /// `api`, `vault` or `keys`; a backup of another role is refused.
        #[arg(value_enum)]
        role: Role,
        /// The backup.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        /// File with the passphrase of the backups [default: that of the settings].
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Restore into a scratch directory, check everything there, and delete it.
        #[arg(long)]
        drill: bool,
    },
}

#[derive(Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Look at this role only, where the others are on other machines. Repeatable.
    #[arg(long, value_enum)]
    pub(crate) role: Vec<Role>,
}
