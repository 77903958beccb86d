//! The contract of `keys`: issuing data keys, fingerprints, opening one record for one order, custody.

use coffer_core::{
    Timestamp,
    id::{CustomerId, RecordId},
    words,
};
use serde::{Deserialize, Serialize};

pub use super::{DiskHistory, GetDisk};
use super::{KeyOnLink, Place, contract, order::SignedOrder};

words! {
    /// What a data key protects: part of its context, so that it opens only as what it was made for.
    pub enum Class {
        /// A card number.
        Card = "card",
    }
}

/// Whose data a key protects; destroying the subject's key erases it everywhere (B7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// The account itself: a card that was not kept with a customer.
    Account,
    /// A customer of the merchant's.
    Customer(CustomerId),
}

/// The stored form of a subject: `account`, or the customer's id.
impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Customer(customer) => customer.fmt(f),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = coffer_core::Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "account" {
            Ok(Self::Account)
        } else {
            text.parse().map(Self::Customer)
        }
    }
}

/// A data key wrapped under its subject's key: useless without the key server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The version of the subject's key.
    pub parent_version: i64,
    /// AES-256-GCM-SIV; the context is account, mode, class, record, parent version.
    pub bytes: Vec<u8>,
}

/// Asks for data keys for records that do not exist yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issue {
    /// Of which account and mode.
    pub place: Place,
    /// Under whose key.
    pub subject: Subject,
    /// For what.
    pub class: Class,
    /// One key for each; at most `DATA_KEY_BATCH_MAX`.
    pub records: Vec<RecordId>,
}

/// The data keys, in the order of the records.
#[derive(Serialize, Deserialize)]
pub struct Issued {
    /// One per record.
    pub keys: Vec<IssuedKey>,
}

/// A new data key: plain to seal with now, wrapped to store.
#[derive(Serialize, Deserialize)]
pub struct IssuedKey {
    /// The record that it is for.
    pub record: RecordId,
    /// To seal with; never stored.
    pub key: KeyOnLink,
    /// To store beside the ciphertext.
    pub wrapped: WrappedKey,
}

/// Asks for the outer half of a card's fingerprint; counted in the budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of which account and mode.
    pub place: Place,
    /// HMAC of the number under the vault's own key; says nothing without it.
    pub inner: [u8; 32],
}

/// The fingerprint under each version in use, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fingerprinted {
    /// Version and value.
    pub versions: Vec<(i64, [u8; 32])>,
}

/// Asks to open one record, for the order that is attached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Open {
    /// Whose subject's key wrapped it.
    pub subject: Subject,
    /// What it protects.
    pub class: Class,
    /// The stored key of the record that the order names.
    pub wrapped: WrappedKey,
    /// The proof that a payment needs it.
    pub order: SignedOrder,
}

/// The data key of the record.
#[derive(Serialize, Deserialize)]
pub struct Opened {
    /// To open the one record.
    pub key: KeyOnLink,
}

/// Asks to move a record's key under another subject, without opening it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rewrap {
    /// Of which account and mode.
    pub place: Place,
    /// What it protects.
    pub class: Class,
    /// Which record.
    pub record: RecordId,
    /// Under whose key it is.
    pub from: Subject,
    /// Under whose key it shall be.
    pub to: Subject,
    /// Its stored key.
    pub wrapped: WrappedKey,
}

/// Asks for the key with which this api process signs orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetOrderKey {}

/// The order key of the caller's certificate.
#[derive(Serialize, Deserialize)]
pub struct OrderKey {
    /// The certificate's serial.
    pub key_id: String,
    /// To sign with; never stored.
    pub key: KeyOnLink,
}

/// Asks to sign the head of the caller's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignCheckpoint {
    /// Entries in the log.
    pub size: u64,
    /// Its Merkle root (RFC 6962).
    pub root: [u8; 32],
    /// The size of the checkpoint that the proof continues; 0 at first.
    pub from_size: u64,
    /// Consistency proof (RFC 6962 section 2.1.2) from `from_size` to `size`.
    pub consistency: Vec<[u8; 32]>,
}

/// A signed head.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// When it was signed.
    pub time: Timestamp,
    /// Ed25519 public key.
    pub public_key: [u8; 32],
    /// Ed25519 over the checkpoint's text (C2SP tlog-checkpoint), which names the caller's role.
    pub signature: Vec<u8>,
}

/// Asks for the last checkpoint that was signed for the caller's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetCheckpoint {}

/// The head that `keys` remembers of the caller's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RememberedCheckpoint {
    /// Entries, 0 when there is none yet.
    pub size: u64,
    /// Root.
    pub root: [u8; 32],
}

/// Asks for the heads of all logs, to be kept where none of the roles is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetHeads {}

/// The heads that `keys` remembers, signed anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedHeads {
    /// One for each log that has one.
    pub heads: Vec<SignedHead>,
}

/// The head of a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignedHead {
    /// Whose log it is.
    pub log: super::Role,
    /// What was signed.
    pub head: RememberedCheckpoint,
    /// The signature.
    pub signed: SignedCheckpoint,
}

/// Asks for a new certificate for the caller's own role and instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renew {
    /// PKCS#10 request in DER, signed by the new key.
    pub request: Vec<u8>,
}

/// A renewed certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// PEM, the leaf first.
    pub chain_pem: String,
}

/// Asks for serials that no role may trust any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetRevoked {}

/// Revoked certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revoked {
    /// Serials in lowercase hex.
    pub serials: Vec<String>,
}

/// Closes the key server: the root key leaves its memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seal {}

/// Opens the key server.
#[derive(Serialize, Deserialize)]
pub struct Unseal {
    /// The passphrase of the root key.
    pub passphrase: PassphraseOnLink,
}

/// A passphrase on its way to the key server; no Debug, wiped when dropped.
#[derive(Serialize, Deserialize)]
pub struct PassphraseOnLink(zeroize::Zeroizing<Vec<u8>>);

impl PassphraseOnLink {
    /// Prepares a passphrase for the link.
    #[must_use]
    pub fn new(passphrase: &coffer_crypto::SecretBytes) -> Self {
        Self(zeroize::Zeroizing::new(passphrase.expose().to_vec()))
    }

    /// The passphrase, at its destination.
    #[must_use]
    pub fn into_secret(mut self) -> coffer_crypto::SecretBytes {
        coffer_crypto::SecretBytes::from_vec(std::mem::take(&mut *self.0))
    }
}

/// Asks how the key server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetCustody {}

/// How the key server is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Custody {
    /// Without its root key it can do nothing.
    pub sealed: bool,
}

contract! {
    /// What other roles ask of `keys`.
    trait Keys;
    /// What `keys` implements.
    service KeysService;
    /// `keys` over mutual TLS.
    client KeysClient of super::Role::Keys;
    /// New data keys for pre-assigned record ids.
    issue(Issue) -> Issued, callers [Vault], within 900 ms;
    /// The outer half of a fingerprint.
    fingerprint(Fingerprint) -> Fingerprinted, callers [Vault], within 900 ms, packed;
    /// Opens one record for one order, within the budget, on record.
    open(Open) -> Opened, callers [Vault], within 900 ms, packed;
    /// Moves a record's key under another subject.
    rewrap(Rewrap) -> WrappedKey, callers [Vault], within 900 ms;
    /// The caller's order key.
    order_key(GetOrderKey) -> OrderKey, callers [Api], within 900 ms;
    /// Signs the head of the caller's log.
    sign_checkpoint(SignCheckpoint) -> SignedCheckpoint, callers [Api, Vault], within 5000 ms;
    /// The head that was signed last.
    checkpoint(GetCheckpoint) -> RememberedCheckpoint, callers [Api, Vault], within 5000 ms;
    /// The heads of all logs, signed.
    heads(GetHeads) -> SignedHeads, callers [Api], within 5000 ms;
    /// A new certificate for the caller.
    renew(Renew) -> Renewed, callers [Api, Vault], within 5000 ms;
    /// Serials that count for nothing any more.
    revoked(GetRevoked) -> Revoked, callers [Api, Vault], within 5000 ms;
    /// How custody is.
    custody(GetCustody) -> Custody, callers [Api, Vault, Operator], within 900 ms;
    /// How the disk under the key server's store has been.
    disk(GetDisk) -> DiskHistory, callers [Api], within 900 ms;
    /// Closes the key server.
    seal(Seal) -> Custody, callers [Operator], within 5000 ms;
    /// Opens the key server.
    unseal(Unseal) -> Custody, callers [Operator], within 30000 ms;
}
