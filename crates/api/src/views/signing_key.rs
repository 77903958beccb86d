//! A signing key.

use coffer_core::{
    Mode, Timestamp,
    id::{ApiKeyId, SigningKeyId},
    rotation::Rotation,
    signing_key::{SignatureAlgorithm, SigningKeyState},
};
use coffer_engine::{SigningKey, SigningKeyRotation};

use crate::shape::{ObjectType, Time, object};

object! {
    /// A key that signs requests.
    pub(crate) struct SigningKeyView as "SigningKey" {
        /// Its id, the keyid of signatures.
        id: SigningKeyId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// Its name, for people.
        name: String,
        /// Whether it works, and if not, why.
        state: SigningKeyState,
        /// How it signs. Answers can be encrypted to an RSA key.
        algorithm: SignatureAlgorithm,
        /// The public key, as PEM.
        public_key: String,
        /// The SHA-256 of the public key's DER, in hexadecimal.
        fingerprint: String,
        /// Whether Coffer made it. Then somebody else than its owner had the private key once.
        generated: bool,
        /// The API key that it may stand for as a client of OAuth (private_key_jwt), as long as the secret works that the API key had
        /// when this key was registered.
        client: Option<ApiKeyId>,
        /// The private key, as PEM (PKCS #8); shown only when Coffer has just made it, and kept nowhere.
        private_key: Option<String>,
        /// The key that takes its place, and until when it works itself.
        rotation: Option<SigningKeyRotationView>,
        /// When it signed last, up to a minute late.
        last_use: Option<Time>,
        /// Grows with every change.
        version: i64,
        /// When it was registered.
        created: Time,
        /// When it changed last.
        updated: Time,
        /// That the private key was shown before, on a repetition.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'static str>,
    }
}

object! {
    /// How a signing key gives way to another.
    pub(crate) struct SigningKeyRotationView as "SigningKeyRotation" {
        /// The key that takes its place.
        successor: SigningKeyId,
        /// Since when there is one.
        rotated: Time,
        /// When this one stops working; before, if nobody uses it for a day.
        closes: Time,
    }
}

impl SigningKeyView {
    /// A key at a time, with its private half when that is new.
    pub(crate) fn of(key: SigningKey, now: Timestamp, private_key: Option<String>) -> Self {
        Self {
            id: key.id,
            r#type: ObjectType::SigningKey,
            mode: key.place.mode,
            state: key.state(now),
            name: key.name.to_string(),
            algorithm: key.algorithm,
            public_key: key.public_key,
            fingerprint: key.fingerprint,
            generated: key.generated,
            client: key.client.map(|client| client.api_key),
            private_key,
            rotation: key.rotation.map(SigningKeyRotationView::of),
            last_use: key.last_use.map(Time),
            version: key.version,
            created: Time(key.created),
            updated: Time(key.updated),
            code: None,
        }
    }
}

impl SigningKeyRotationView {
    fn of(rotation: SigningKeyRotation) -> Self {
        let SigningKeyRotation { successor, times } = rotation;
        let Rotation { rotated, closes } = times;
        Self {
            successor,
            rotated: Time(rotated),
            closes: Time(closes),
        }
    }
}
