//! Every limit that more than one crate or the documentation names. Lengths are in bytes unless the name says otherwise.

/// The longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;
/// How long an idempotency key and its answer are kept: 30 days.
pub const IDEMPOTENCY_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long a twin waits for the first request with the same key before it gets 409.
pub const IDEMPOTENCY_WAIT_MS: i64 = 10_000;
/// How long an intake ticket, and the token that it yields, can be used: 15 minutes.
pub const INTAKE_TTL_MS: i64 = 15 * 60 * 1000;
/// How long a token can be used to pay or to keep the card: 15 minutes.
pub const TOKEN_TTL_MS: i64 = 15 * 60 * 1000;
/// How long a payment waits for its payer at the checkout page: 24 hours.
pub const CHECKOUT_TTL_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a manual authorization waits for its capture: 7 days.
pub const AUTHORIZATION_TTL_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Cards that a payer may try on one payment.
pub const CHECKOUT_ATTEMPTS_MAX: usize = 5;
/// The hard deadline of one provider call, after which nothing more is sent.
pub const ATTEMPT_DEADLINE_MS: i64 = 20_000;
/// How long after the deadline a provider's "not found" counts as "never happened".
pub const ATTEMPT_MARGIN_MS: i64 = 10_000;
/// Objects per page, unless the caller asks for another number.
pub const PAGE_DEFAULT: i64 = 20;
/// Objects per page at most.
pub const PAGE_MAX: i64 = 100;
/// The longest `reference` of a payment, and a customer's too, in characters.
pub const REFERENCE_MAX: usize = 128;
/// The longest `description`, in characters.
pub const DESCRIPTION_MAX: usize = 512;
/// Keys in `metadata`.
pub const METADATA_KEYS_MAX: usize = 32;
/// The longest key in `metadata`, in characters.
pub const METADATA_KEY_MAX: usize = 40;
/// The longest value in `metadata`, in characters.
pub const METADATA_VALUE_MAX: usize = 500;
/// The longest URL that a merchant gives.
pub const URL_MAX: usize = 2048;
/// The largest request body of the API.
pub const BODY_MAX: usize = 64 * 1024;
/// The largest message between roles.
pub const LINK_BODY_MAX: usize = 64 * 1024;
/// The largest body of a webhook.
pub const WEBHOOK_BODY_MAX: usize = 1024;
/// Webhook endpoints per account and mode.
pub const WEBHOOK_ENDPOINTS_MAX: i64 = 20;
/// Cards kept per customer.
pub const CARDS_PER_CUSTOMER_MAX: u32 = 20;
/// Origins allowed per account.
pub const ORIGINS_MAX: usize = 20;
/// Data keys that the vault asks for at a time.
pub const DATA_KEY_BATCH_MAX: usize = 256;
/// API keys per account and mode that are not revoked.
pub const API_KEYS_MAX: i64 = 20_000;
/// The longest name of an API key, in characters.
pub const API_KEY_NAME_MAX: usize = 100;
/// Signing keys per account and mode that work.
pub const SIGNING_KEYS_MAX: i64 = 20;
/// The longest name of a signing key, in characters.
pub const SIGNING_KEY_NAME_MAX: usize = 100;
/// The longest public key that is registered, as PEM or JWK: RSA of 4096 bits takes 800.
pub const PUBLIC_KEY_MAX: usize = 2048;
/// How long is what makes a signature count once, in characters: room for 96 random bits at least.
pub const NONCE_LEN: std::ops::RangeInclusive<usize> = 16..=128;
/// The longest client assertion: its signature by RSA of 4096 bits takes 683 characters.
pub const CLIENT_ASSERTION_MAX: usize = 4096;
/// How long a live key lasts at most, and unless told: 365 days.
pub const LIVE_KEY_TTL_MAX_MS: i64 = 365 * crate::time::DAY_MS;
/// Addresses and networks that an API key may list.
pub const ADDRESSES_MAX: usize = 50;
/// Money caps that an API key may have.
pub const CAPS_MAX: usize = 50;
/// The highest rate, in units a minute, and the largest burst.
pub const RATE_MAX: i64 = 10_000_000;
/// How long an access token lasts unless told: 10 minutes.
pub const ACCESS_TOKEN_TTL_S: u16 = 10 * 60;
/// How long an access token lasts at most: 60 minutes.
pub const ACCESS_TOKEN_TTL_MAX_S: u16 = 60 * 60;
