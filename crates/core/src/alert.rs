//! What needs a person's attention.

words! {
    /// What happened that somebody must look at.
    pub enum AlertKind {
        /// A payment page that payers get is not as it was made.
        PageDiffers = "page_differs",
        /// A browser reported that something in a payment page tried what the page forbids.
        PageViolated = "page_violated",
        /// An API key that works was sent in a way in which anybody could read it.
        ApiKeyExposed = "api_key_exposed",
        /// A payer could not pay, because the key that made the payment may take no more today.
        CapReached = "cap_reached",
        /// A canary key was used: somebody has seen what nobody should see.
        CanaryUsed = "canary_used",
        /// Somebody asks for what is not there, or without a key that works, again and again.
        Scanning = "scanning",
        /// Somebody tries many keys.
        CredentialStuffing = "credential_stuffing",
        /// Somebody tries which cards work.
        CardTesting = "card_testing",
        /// An API key was used from a network that it was never used from.
        NewNetwork = "new_network",
        /// An API key is used far more than usual.
        UnusualRate = "unusual_rate",
        /// What the world sees of a face's TLS or certificate is weak, or will soon be over.
        TlsWeak = "tls_weak",
        /// The disk under a store was full: its reserve was given back, or requests were refused.
        DiskFull = "disk_full",
        /// The signed heads of the logs could not be sent to where they are kept elsewhere.
        AnchorFailed = "anchor_failed",
        /// The key server does not sign the api's log, which is not the one that it signed before: the store was set back, or changed.
        LogRefused = "log_refused",
    }
}
