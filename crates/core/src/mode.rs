//! Test and live: part of every caller, row key and ciphertext context. An object of the other mode is not found.

words! {
    /// Which world an object lives in. A mode never loosens a rule of network or hardening.
    pub enum Mode {
        /// Simulated money; works at once.
        Test = "test",
        /// Real money; works after activation.
        Live = "live",
    }
}
