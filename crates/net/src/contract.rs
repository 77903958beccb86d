//! What the roles ask of each other: the messages, and one table per role of its methods and who may call them.
//!
//! The `contract!` macro turns each table into the trait that callers use, the trait that the role implements, the list
//! that the link's door checks, and the client over mTLS. There is no other way in. Messages are encoded with postcard.

use std::{future::Future, pin::Pin};

use coffer_core::{Mode, id::AccountId, words};
use coffer_crypto::Key;
use serde::{Deserialize, Serialize};

pub mod keys;
pub mod order;
pub mod vault;

words! {
    /// A kind of process, as its certificate names it (`spiffe://coffer/<role>/<instance>`).
    pub enum Role {
        /// The public faces.
        Api = "api",
        /// Card numbers.
        Vault = "vault",
        /// Custody of keys.
        Keys = "keys",
        /// The operator's command line, from another machine.
        Operator = "operator",
    }
}

/// Who is at the other end of a link, proven by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its role.
    pub role: Role,
    /// Which of the processes of that role.
    pub instance: String,
    /// The serial number of its certificate, lowercase hex.
    pub serial: String,
}

/// One method of a role: its name on the wire and the only roles that may call it.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// The last part of `POST /{role}/v1/{method}`.
    pub name: &'static str,
    /// Everyone else is refused and logged.
    pub callers: &'static [Role],
    /// Whether calls that wait at the same time may travel together: all answers come when the last is there.
    pub packed: bool,
}

/// The account and mode that an object belongs to: part of every row's key and of every ciphertext's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The merchant's account.
    pub account: AccountId,
    /// Test or live.
    pub mode: Mode,
}

/// Asks how the disk under a role's store has been.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetDisk {}

/// How the disk under a role's store has been.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DiskHistory {
    /// How often it was full since the role started.
    pub full_times: u64,
}

words! {
    /// Why a role did not do what it was asked, though it could have: the asker must change something.
    pub enum Refusal {
        /// The order's MAC, key, record or content is not right.
        OrderInvalid = "order_invalid",
        /// The order's time is over.
        OrderExpired = "order_expired",
        /// The attempt of this order has already opened its record.
        OrderUsed = "order_used",
        /// The account has used up what it may open or look up in this hour.
        BudgetExhausted = "budget_exhausted",
        /// A wrapped key does not belong where it is said to.
        WrappedKeyInvalid = "wrapped_key_invalid",
        /// The key above it was destroyed on purpose.
        KeyDestroyed = "key_destroyed",
        /// No such token here.
        TokenUnknown = "token_unknown",
        /// The token has paid or was kept already.
        TokenUsed = "token_used",
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// No such card here.
        RecordUnknown = "record_unknown",
        /// The security code is not in memory any more; the payer must enter it again.
        CvcLost = "cvc_lost",
        /// The ticket is not one of ours, was changed, or its time is over.
        TicketInvalid = "ticket_invalid",
        /// No provider of this name is configured for this mode.
        ProviderMissing = "provider_missing",
        /// The attempt exists with other content, or belongs to another account.
        AttemptConflict = "attempt_conflict",
        /// The checkpoint does not continue the one that was signed before.
        CheckpointInconsistent = "checkpoint_inconsistent",
        /// The certificate request is malformed or not for the caller's own role.
        CertificateRefused = "certificate_refused",
        /// The passphrase does not open the root key.
        PassphraseWrong = "passphrase_wrong",
        /// A message was malformed or over its limits.
        Malformed = "malformed",
    }
}

/// What can go wrong between roles, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Error {
    /// The role, or one that it needs, cannot be reached or is overloaded: try again later; nothing is known of what happened.
    Away,
    /// The role cannot serve now (its disk, its database): nothing was done; try again later.
    Unavailable,
    /// The key server is sealed, or the vault cannot reach it: nothing was done, and what needs a card waits.
    Sealed,
    /// The caller's role may not use this method.
    NotAllowed,
    /// Not done, and why.
    Refused(Refusal),
    /// A bug or a corrupt store on the other side; its log tells more.
    Defect,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away => f.write_str("the role cannot be reached"),
            Self::Unavailable => f.write_str("the role cannot serve now"),
            Self::Sealed => f.write_str("the key server is sealed"),
            Self::NotAllowed => f.write_str("the caller's role may not use this method"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Defect => f.write_str("the role failed"),
        }
    }
}

impl std::error::Error for Error {}

/// The answer of a role's method.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A key on its way between two roles: the one place where a key is serialised, and only ever inside mutual TLS.
pub struct KeyOnLink(Key);

impl KeyOnLink {
    /// Prepares a key for the link.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self(key)
    }

    /// The key, at its destination.
    #[must_use]
    pub fn into_key(self) -> Key {
        self.0
    }
}

impl Serialize for KeyOnLink {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.expose().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyOnLink {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = zeroize::Zeroizing::new(<[u8; 32]>::deserialize(deserializer)?);
        Ok(Self(Key::from_array(*bytes)))
    }
}

/// Whether the row of a method ends with a word, which is `packed`.
pub(crate) const fn is_packed(words: &[&str]) -> bool {
    !words.is_empty()
}

/// Declares the contract of one role from the table of its methods.
macro_rules! contract {
    (
        $(#[$caller_meta:meta])* trait $Caller:ident;
        $(#[$service_meta:meta])* service $Service:ident;
        $(#[$client_meta:meta])* client $Client:ident of $role:expr;
        $( $(#[$meta:meta])* $method:ident($Request:ty) -> $Response:ty, callers [$($who:ident),+], within $deadline_ms:literal ms $(, $packed:ident)?; )+
    ) => {
        $(#[$caller_meta])*
        pub trait $Caller: Send + Sync + 'static {
            $( $(#[$meta])* fn $method(&self, request: $Request) -> $crate::contract::Answer<'_, $Response>; )+
        }

        $(#[$service_meta])*
        pub trait $Service: Send + Sync + 'static {
            $( $(#[$meta])* fn $method<'a>(&'a self, peer: &'a $crate::contract::Peer, request: $Request) -> $crate::contract::Answer<'a, $Response>; )+
        }

        /// The door's table: every method and who may call it.
        pub const METHODS: &[$crate::contract::Method] = &[
            $( $crate::contract::Method { name: stringify!($method), callers: &[$($crate::contract::Role::$who),+], packed: $crate::contract::is_packed(&[$(stringify!($packed))?]) }, )+
        ];

        /// Decodes a request, calls the method, encodes its answer. The door has checked the caller before.
        ///
        /// # Errors
        /// What the method answers; `Refused(Malformed)` for a body that is none of its messages.
        pub async fn dispatch(service: &dyn $Service, peer: &$crate::contract::Peer, method: &str, body: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, $crate::contract::Error> {
            match method {
                $( stringify!($method) => {
                    let request: $Request = $crate::link::decode(body)?;
                    $crate::link::encode(&service.$method(peer, request).await?)
                } )+
                _ => Err($crate::contract::Error::Refused($crate::contract::Refusal::Malformed)),
            }
        }

        /// A request, or an answer, read and written again: for the fuzz targets.
        ///
        /// # Errors
        /// `Refused(Malformed)` for what is none of this method's.
        #[doc(hidden)]
        pub fn rewrite(method: &str, answer: bool, body: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, $crate::contract::Error> {
            match (method, answer) {
                $( (stringify!($method), false) => $crate::link::encode(&$crate::link::decode::<$Request>(body)?),
                (stringify!($method), true) => $crate::link::encode(&$crate::link::decode::<$Response>(body)?), )+
                _ => Err($crate::contract::Error::Refused($crate::contract::Refusal::Malformed)),
            }
        }

        $(#[$client_meta])*
        #[derive(Clone)]
        pub struct $Client($crate::link::Link);

        impl $Client {
            /// A client over this link.
            #[must_use]
            pub const fn new(link: $crate::link::Link) -> Self {
                Self(link)
            }
        }

        impl $Caller for $Client {
            $( fn $method(&self, request: $Request) -> $crate::contract::Answer<'_, $Response> {
                const PACKED: bool = $crate::contract::is_packed(&[$(stringify!($packed))?]);
                let within = std::time::Duration::from_millis($deadline_ms);
                if PACKED {
                    Box::pin(self.0.call_packed($role, stringify!($method), &request, within))
                } else {
                    Box::pin(self.0.call($role, stringify!($method), &request, within))
                }
            } )+
        }
    };
}
pub(crate) use contract;
