//! Keys that sign requests: what kind they are, and in which state.

words! {
    /// How a key signs, by its name in the registry of HTTP signature algorithms (RFC 9421, 6.2.2).
    pub enum SignatureAlgorithm {
        /// RSASSA-PSS with SHA-512, with a key from 3072 to 4096 bits. Answers can be encrypted to such a key too.
        RsaPssSha512 = "rsa-pss-sha512",
        /// Ed25519.
        Ed25519 = "ed25519",
    }
}

words! {
    /// What a signing key is at the moment.
    pub enum SigningKeyState {
        /// It works.
        Active = "active",
        /// It works for a while yet, beside its successor.
        Rotating = "rotating",
        /// It works no more: it has a successor.
        Expired = "expired",
        /// It never works again.
        Revoked = "revoked",
    }
}
