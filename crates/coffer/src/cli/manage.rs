//! The commands of whoever manages accounts and their keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use coffer_api::ExportFormat;
use coffer_core::{
    Mode, Timestamp,
    api_key::{KeyKind, SignedRequests},
    id::{ApiKeyId, BlockId, SigningKeyId},
    signing_key::SignatureAlgorithm,
};

use super::Place;
use crate::directory::Role;

#[derive(Subcommand)]
pub(crate) enum AccountsCommand {
    /// Show every account.
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let an account take live payments, when all that this needs is there; show what is missing otherwise.
    Activate {
        /// The account, by name.
        account: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Which keys to show.
#[derive(Args)]
pub(crate) struct KeysListed {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The account, by name.
    #[arg(long)]
    pub(crate) account: String,
    /// Test or live.
    #[arg(long, default_value = "test")]
    pub(crate) mode: Mode,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum BlocksCommand {
    /// Show who is slowed or blocked, and why.
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let somebody go before the time.
    Lift {
        /// The block's id, `blk_…`.
        #[arg(value_name = "BLOCK")]
        block: BlockId,
        #[command(flatten)]
        place: Place,
    },
}

/// A key, by its id.
#[derive(Args)]
pub(crate) struct KeyNamed {
    /// The key's id, `key_…`.
    #[arg(value_name = "KEY")]
    pub(crate) key: ApiKeyId,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Whose a new key is, and what it is called.
#[derive(Args)]
pub(crate) struct KeyOwner {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The account, by name; it is created when there is none.
    #[arg(long)]
    pub(crate) account: String,
    /// Test or live.
    #[arg(long, default_value = "test")]
    pub(crate) mode: Mode,
    /// What the key is called.
    #[arg(long, default_value = "command line")]
    pub(crate) name: String,
}

/// A key to be made.
#[derive(Args)]
pub(crate) struct NewKeyArguments {
    #[command(flatten)]
    pub(crate) owner: KeyOwner,
    /// `sk` (secret) or `pk` (publishable).
    #[arg(long, default_value = "sk")]
    pub(crate) kind: KeyKind,
    /// `full`, `read_only`, `checkout_only`, `reporting`, or rights such as `payments:write`, separated by spaces; a secret key
    /// has all unless told.
    #[arg(long)]
    pub(crate) permissions: Option<String>,
    /// Addresses and networks that it may be used from, separated by commas; from anywhere unless told.
    #[arg(long, value_delimiter = ',', value_name = "NETWORKS")]
    pub(crate) addresses: Vec<String>,
    /// How many days it works; a live key at most 365.
    #[arg(long)]
    pub(crate) days: Option<i64>,
    /// How many requests a minute, and as many at once; as the installation says unless told.
    #[arg(long, value_name = "REQUESTS")]
    pub(crate) per_minute: Option<i64>,
    /// How much money it may move and cards open, such as `captured_per_day:EUR:500000,cards_per_day:200`: `captured_per_day`,
    /// `captured_per_call`, `refunded_per_day`, `refunded_per_call` in minor units of a currency, and `cards_per_day`.
    #[arg(long, value_delimiter = ',', value_name = "CAPS")]
    pub(crate) caps: Vec<String>,
    /// Which requests have to be signed: `none` unless told, `money` (those that move money), or `all`.
    #[arg(long, value_name = "WHICH")]
    pub(crate) signed_requests: Option<SignedRequests>,
    /// A bait: it permits nothing and raises an alert when somebody uses it.
    #[arg(long)]
    pub(crate) canary: bool,
}

#[derive(Subcommand)]
pub(crate) enum ApiKeysCommand {
    /// Make a key and show it, once.
    Create(NewKeyArguments),
    /// Show the keys of an account.
    List(KeysListed),
    /// Show a key.
    Show(KeyNamed),
    /// Show from where both secrets of a key were used, and what observed limits would have refused.
    Uses(KeyNamed),
    /// Change what a key may do. What is not named stays.
    Change {
        #[command(flatten)]
        key: KeyNamed,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        /// Other rights, in place of all the old ones.
        #[arg(long)]
        permissions: Option<String>,
        /// Other addresses, in place of all the old ones; from anywhere when empty.
        #[arg(long, value_delimiter = ',', value_name = "NETWORKS")]
        addresses: Option<Vec<String>>,
        /// Another rate: requests a minute, and as many at once.
        #[arg(long, value_name = "REQUESTS")]
        per_minute: Option<i64>,
        /// Other caps, in place of all the old ones; none when empty.
        #[arg(long, value_delimiter = ',', value_name = "CAPS")]
        caps: Option<Vec<String>>,
        /// Which requests have to be signed: `none`, `money` or `all`.
        #[arg(long, value_name = "WHICH")]
        signed_requests: Option<SignedRequests>,
    },
    /// Give a key a new secret and show it, once; the old one works for a while.
    Rotate {
        #[command(flatten)]
        key: KeyNamed,
        /// How long the old secret works: 24 hours unless told, 0 to end it at once.
        #[arg(long, value_name = "HOURS")]
        overlap_hours: Option<i64>,
    },
    /// End the old secret of a key before its time.
    EndRotation(KeyNamed),
    /// Stop a key until it is unfrozen.
    Freeze(KeyNamed),
    /// Let a frozen key call again.
    Unfreeze(KeyNamed),
    /// Revoke a key, for good.
    Revoke(KeyNamed),
}

/// A signing key, by its id.
#[derive(Args)]
pub(crate) struct SigningKeyNamed {
    /// The key's id, `sigkey_…`.
    #[arg(value_name = "KEY")]
    pub(crate) key: SigningKeyId,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Whose a new signing key is, and for whom it stands.
#[derive(Args)]
pub(crate) struct SigningKeyOwner {
    #[command(flatten)]
    pub(crate) owner: KeyOwner,
    /// The secret API key that it may stand for as a client of OAuth, `key_…`.
    #[arg(long, value_name = "KEY_ID")]
    pub(crate) client: Option<ApiKeyId>,
}

/// Where the next key comes from.
#[derive(Args)]
#[group(required = true)]
pub(crate) struct SigningKeySource {
    /// Make a key, and put its private half into this new file.
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    pub(crate) out: Option<PathBuf>,
    /// How the key that is made signs: `rsa-pss-sha512` or `ed25519`.
    #[arg(long, default_value = "ed25519")]
    pub(crate) algorithm: SignatureAlgorithm,
    /// Register the public key in this file, PEM or JWK.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum SigningKeysCommand {
    /// Make a key here: its private half goes into a file, its public half is registered.
    Generate {
        #[command(flatten)]
        owner: SigningKeyOwner,
        /// `rsa-pss-sha512` (answers can be encrypted to it too) or `ed25519`.
        #[arg(long, default_value = "ed25519")]
        algorithm: SignatureAlgorithm,
        /// The new file for the private key.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Register a public key.
    Register {
        #[command(flatten)]
        owner: SigningKeyOwner,
        /// The file with the public key, PEM or JWK.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
    },
    /// Show the signing keys of an account.
    List(KeysListed),
    /// Give a key a successor, with an id of its own; the old one works for a while.
    Rotate {
        #[command(flatten)]
        key: SigningKeyNamed,
        #[command(flatten)]
        source: SigningKeySource,
        /// How long the old key works: 24 hours unless told, 0 to end it at once.
        #[arg(long, value_name = "HOURS")]
        overlap_hours: Option<i64>,
    },
    /// Revoke a key, for good.
    Revoke(SigningKeyNamed),
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Recompute the log of every role whose store is here, running or not, and name the first record that is wrong.
    Verify {
        #[command(flatten)]
        place: Place,
        /// File with heads that were kept elsewhere: the logs must continue each of them.
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Add the signed head of every log to a file that is kept elsewhere, a line of JSON each.
    Anchor {
        #[command(flatten)]
        place: Place,
        /// The file.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Print what was done, read and refused in the name of an account, or of the installation itself, the newest first.
    Export(ExportArguments),
}

/// What is exported.
#[derive(Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Whose log. Those of `vault` and `keys` are read from their stores, on their machines, and tell what belongs to no account.
    #[arg(long, default_value = "api")]
    pub(crate) role: Role,
    /// The account, by name; without, what belongs to none: the operator's acts, the installation's own.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Test or live.
    #[arg(long, default_value = "test")]
    pub(crate) mode: Mode,
    /// `jsonl` (JSON Lines) or `csv`.
    #[arg(long, default_value = "jsonl")]
    pub(crate) format: ExportFormat,
    /// Only what was done at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Timestamp>,
    /// Only what was done before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Timestamp>,
    /// The RSA signing key whose owner alone shall read it: a JWE (RFC 7516) in each line, of 1,000 records at most.
    #[arg(long, value_name = "SIGNING_KEY")]
    pub(crate) seal_to: Option<SigningKeyId>,
}

/// Whose usage is shown, and from when.
#[derive(Args)]
pub(crate) struct UsageArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The account, by name.
    #[arg(long)]
    pub(crate) account: String,
    /// Test or live.
    #[arg(long, default_value = "test")]
    pub(crate) mode: Mode,
    /// Only hours that end after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Timestamp>,
    /// Only hours that begin before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Timestamp>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The RSA signing key whose owner alone shall read it: a JWE (RFC 7516) in each line, of JSON Lines.
    #[arg(long, value_name = "SIGNING_KEY")]
    pub(crate) seal_to: Option<SigningKeyId>,
}
