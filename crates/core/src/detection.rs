//! Words for what looks hostile, and for what is done about it.

words! {
    /// What looked hostile.
    pub enum Signal {
        /// Somebody asks for what is not there, or without a key that works, again and again.
        Scanning = "scanning",
        /// Somebody tries many keys.
        CredentialStuffing = "credential_stuffing",
        /// Somebody tries which cards work.
        CardTesting = "card_testing",
        /// A key is used from a network that it was never used from.
        NewNetwork = "new_network",
        /// A key is used far more than usual.
        UnusualRate = "unusual_rate",
    }
}

words! {
    /// What is done about what looks hostile, beside telling of it.
    pub enum Policy {
        /// Nothing.
        Watch = "watch",
        /// For a while it gets little done.
        Slow = "slow",
        /// For a while it gets nothing done.
        Block = "block",
    }
}
