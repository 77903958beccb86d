//! Why a card was declined, in words that every provider's codes are translated to.

words! {
    /// The reason for a failed authorization, safe to show to a merchant.
    pub enum DeclineReason {
        /// The issuer gave no reason; ask the payer to call it or to use another card.
        DoNotHonor = "do_not_honor",
        /// Not enough money.
        InsufficientFunds = "insufficient_funds",
        /// The card is past its expiry.
        CardExpired = "card_expired",
        /// The security code did not match.
        IncorrectCvc = "incorrect_cvc",
        /// The number does not exist at the issuer.
        IncorrectNumber = "incorrect_number",
        /// Reported lost.
        LostCard = "lost_card",
        /// Reported stolen.
        StolenCard = "stolen_card",
        /// The issuer suspects fraud.
        FraudSuspected = "fraud_suspected",
        /// Over the card's amount or frequency limit.
        LimitExceeded = "limit_exceeded",
        /// The card cannot be used for this kind of purchase or currency.
        NotSupported = "not_supported",
        /// The payer did not pass the challenge.
        AuthenticationFailed = "authentication_failed",
        /// The provider or issuer failed; nothing was charged and a later try may pass.
        ProcessingError = "processing_error",
    }
}
