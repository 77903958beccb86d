//! Every code that an answer can carry, with its status, its title, what to do next, and its page's explanation.
//!
//! A code is never renamed: callers branch on it. None of the texts says anything about how the server is built.

/// One code, as its page tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRow {
    /// The word in `code` and at the end of `type`.
    pub name: &'static str,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// What happened, the same for every occurrence.
    pub title: &'static str,
    /// What to do next, when the occurrence knows nothing better.
    pub advice: &'static str,
    /// The paragraph of the page.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($code:ident $name:literal $status:literal $title:literal, $advice:literal, $explanation:literal;)+) => {
        /// What went wrong, in one word that programs can rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $code,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// Its row of the table.
            #[must_use]
            pub const fn row(self) -> &'static CodeRow {
                match self {
                    $(Self::$code => &CodeRow { name: $name, status: $status, title: $title, advice: $advice, explanation: $explanation },)+
                }
            }
        }
    };
}

codes! {
    // Who asks.
    KeyMissing "key_missing" 401 "No API key was sent",
        "Send the header Authorization: Bearer with one of your API keys.",
        "Every endpoint below /v1 needs an API key, except intakes that carry a checkout secret. Send it as Authorization: Bearer, or as the user name of HTTP Basic with an empty password.";
    KeyMalformed "key_malformed" 401 "The API key is not written correctly",
        "Copy the whole key again: its checksum does not match what was sent.",
        "An API key ends in a checksum, so a key that was cut, mistyped or padded is told from one that does not exist. It is also given when the Authorization header has another form than Bearer, or Basic with an empty password.";
    KeyUnknown "key_unknown" 401 "There is no such API key",
        "Check that the key belongs to this installation, and make a new one if it is lost.",
        "The key is written correctly, but this installation has never issued it, or its secret part is wrong. Keys of one installation do not work at another.";
    KeyRevoked "key_revoked" 401 "The API key was revoked",
        "Use another key. A revoked key never works again.",
        "Somebody with the right to manage keys has revoked this one. Revocation takes effect within a second and cannot be undone.";
    KeyFrozen "key_frozen" 401 "The API key is frozen",
        "Use another key, or have this one unfrozen.",
        "Somebody with the right to manage keys, or who found this key where it should not be, has stopped it. Unlike a revoked key it can be made to work again.";
    KeyExpired "key_expired" 401 "The API key has expired",
        "Make a new key; this one was given an end when it was made.",
        "The key was made with an expiry, and that time has passed.";
    AccessTokenUnknown "access_token_unknown" 401 "There is no such access token",
        "Ask POST /oauth/token for a new one; if that is refused, look at the key.",
        "The token is not written correctly, this installation has never issued it, or it was issued for a secret that its key no longer has: a rotation ends the tokens of the old secret with it.";
    AccessTokenExpired "access_token_expired" 401 "The access token has expired",
        "Ask POST /oauth/token for a new one.",
        "An access token lasts ten minutes unless asked otherwise, and at most an hour. The member expires_in of the answer that brought it says how long.";
    AccessTokenRevoked "access_token_revoked" 401 "The access token was revoked",
        "Ask POST /oauth/token for a new one, if its key still may.",
        "The token was ended before its time: by its holder, or because it came over plain HTTP, in an address, from a browser, or was reported as found.";
    OneObjectOnly "one_object_only" 403 "The access token is for one object only",
        "Name that object, or use an access token without an object in its scope.",
        "The scope of the access token names one object, such as payments:read:pay_…, and the endpoint is not about it: it lists, makes, or concerns the whole account. Refunds are reached by the payment that they are of.";
    KeyKindWrong "key_kind_wrong" 403 "This kind of key cannot be used here",
        "Use a secret key (sk_…) from your server; use a publishable key (pk_…) only for intakes from a browser.",
        "Publishable keys may be seen by anybody and can only ask for intakes. Secret keys act for the account and must never reach a browser. The endpoint asked for does not accept the kind of key that was sent.";
    KeyInBrowser "key_in_browser" 403 "A browser sent a secret key",
        "Call this from your server, and replace the key: whoever opens the page can read it.",
        "The request has headers that only browsers send (Origin or Sec-Fetch-Site), so the secret key, the access token, or the signing key is in a web page, where anybody can read it. The key was marked as exposed, the token was revoked; a signing key is yours to revoke. Pages use a publishable key (pk_…).";
    AddressNotAllowed "address_not_allowed" 403 "The key may not be used from this address",
        "Call from an address that the key lists, or add this one to the key.",
        "The key lists the addresses and networks from which it may be used, and the request came from another one. Behind a load balancer the operator has to configure it, or every request seems to come from there.";
    Blocked "blocked" 403 "What came from here looked hostile",
        "Wait until the block is over, or have it lifted: DELETE /v1/blocks/{id} with another key, or coffer blocks lift.",
        "Somebody scanned, tried many keys or many cards from this address or with this key, and the account or the installation chose to block that for a while. GET /v1/blocks says why and until when.";
    BeyondOwnKey "beyond_own_key" 403 "A key cannot give more than it has",
        "Use a key that may do as much itself, or ask for less. The member field names the setting.",
        "A key that manages other keys can give them, and itself, no rights, addresses or time beyond its own. Otherwise whoever stole it could help himself.";
    CapExceeded "cap_exceeded" 403 "The key may not move that much",
        "Wait until the cap begins anew, use another key, or have the cap raised. The member cap says what is left, and until when.",
        "A key can be capped: money captured and refunded by day and by call, and cards opened by day. Days are those of UTC. What has failed or was declined does not count. A kind of cap that lists some currencies permits no others. Nothing was recorded or sent.";
    SignatureRequired "signature_required" 401 "The request has to be signed",
        "Sign it with a signing key of the account (RFC 9421), as the header Accept-Signature says.",
        "The API key asks for signed requests, of what moves money or of all, so that nobody can use it who has the key alone. Or it is about signing keys: the first of an account is registered without a signature; every other one by a request that is signed by one that works, or by the operator (coffer signing-keys register). How to sign is told in docs/authentication.md.";
    SignatureInvalid "signature_invalid" 401 "The signature does not count",
        "Sign the request anew, as the header Accept-Signature says.",
        "A signature (HTTP Message Signatures, RFC 9421, rsa-pss-sha512 or ed25519) that is there has to be right, whether the API key asks for it or not. It covers @method, @target-uri (or @authority, @path and @query), authorization, content-digest when there is a body (RFC 9530, sha-256 or sha-512), and idempotency-key when there is one. It has the parameters created (at most 300 seconds ago), nonce (new each time, 16 to 128 characters) and keyid (a signing key of the same account and mode). The detail says what is wrong.";
    ClientAssertionInvalid "client_assertion_invalid" 401 "The client assertion does not count",
        "Sign an assertion for each request, with a signing key that was registered for the API key.",
        "An OAuth client can send, in place of its key, an assertion (RFC 7523): a JWT that is signed by a signing key with the API key as its client. Header: alg (PS512 or EdDSA), kid (the signing key). Claims: iss and sub (the API key's id), aud (the issuer), exp (at most 300 seconds away), jti (new each time, 16 to 128 characters). The description says what is wrong. How to sign is told in docs/authentication.md.";
    EncryptionKeyMissing "encryption_key_missing" 406 "There is no key to encrypt the answer to",
        "Register an RSA signing key, name one that works, or accept application/json.",
        "With Accept: application/jose the answer is encrypted to an RSA signing key of the account and mode: the one that the parameter kid names, or the newest that works. There is no such key, it works no more, or it only signs (Ed25519). Nothing was done.";
    KeyInUrl "key_in_url" 400 "An API key was sent in the address",
        "Send the key in the Authorization header, and replace this one: addresses are kept in logs and histories.",
        "Addresses end up in access logs, browser histories and Referer headers. A key is never accepted there, and a key that was sent there should be treated as known to others.";
    PermissionMissing "permission_missing" 403 "This key may not do that",
        "Give the key the permission named in required_permission, or use another key.",
        "Each key has permissions per resource, to read or to write. The endpoint needs one that this key was not given. The member required_permission names it.";
    OriginMissing "origin_missing" 400 "The request has no Origin header",
        "Call this endpoint from a web page, or send the Origin of the page that will show the card fields.",
        "An intake is bound to the web page that will show the card fields. Browsers send the Origin header by themselves; other clients must send it.";
    HttpsRequired "https_required" 403 "The API answers over HTTPS only",
        "Use https:// in the address, and replace a key that was sent without it.",
        "Over plain HTTP anybody on the way can read the key. Nothing sent that way is acted on.";
    Refused "refused" 403 "This is not permitted",
        "Change what the detail names and try again.",
        "The request is well-formed, and the account's settings do not permit it. The detail says what to change.";
    TooManyReports "too_many_reports" 429 "Too many reports came in this minute",
        "Nothing needs to be done: browsers drop a report that is not taken.",
        "Browsers report what a page's policy has stopped. A few reports say as much as many, so only so many are read in a minute.";

    // What was sent.
    JsonInvalid "json_invalid" 400 "The body is not a JSON object",
        "Send one JSON object in UTF-8, such as {\"amount\":1999,\"currency\":\"EUR\"}.",
        "Bodies are single JSON objects (RFC 8259). Arrays, bare values, trailing text and other encodings are refused.";
    FieldMissing "field_missing" 400 "A required field is missing",
        "Add the field named in field.",
        "The member field names the first required field that was not sent. The OpenAPI document lists the fields of every endpoint.";
    FieldUnknown "field_unknown" 400 "There is no such field",
        "Remove the field, or correct its spelling.",
        "Fields and query parameters that an endpoint does not know are refused rather than ignored, so that a misspelled field cannot silently change what happens. Fields that only the server sets, such as status, cannot be sent either.";
    FieldInvalid "field_invalid" 400 "A field is not what it should be",
        "Correct the field named in field.",
        "The member field names a field or query parameter whose type, form or length is not accepted. Amounts are integers of minor units, times are RFC 3339, currencies ISO 4217 in capitals.";
    CardNumberNotAllowed "card_number_not_allowed" 400 "The request holds what looks like a card number",
        "Remove the number. Cards are entered in the card fields only, which yield a token to send here.",
        "A card number must never pass through your servers or through this API. Every text of a request is checked, and one that holds a number which could be a card's is refused whole: it is neither stored, nor logged, nor repeated. To pay with a card, deposit it through the card fields and send the token.";
    IdempotencyKeyInvalid "idempotency_key_invalid" 400 "The Idempotency-Key header is not acceptable",
        "Send one Idempotency-Key of 1 to 255 visible ASCII characters, such as a random UUID.",
        "An idempotency key is a text of your choice that is new for every intended action and the same for every repetition of it.";
    BodyTooLarge "body_too_large" 413 "The body is too large",
        "Send at most 64 KiB.",
        "No request of this API needs more than 64 KiB.";
    ContentTypeWrong "content_type_wrong" 415 "The body's type is not accepted",
        "Send the header Content-Type: application/json.",
        "Bodies are JSON and must say so. Compressed bodies are not accepted.";
    RequestTimeout "request_timeout" 408 "The request did not arrive in time",
        "Send the request again on a new connection.",
        "The head and the body of a request must each arrive within ten seconds. Nothing was done.";
    HeadMalformed "head_malformed" 400 "The request is not written as HTTP demands",
        "Use an ordinary HTTP client; if one is used, look at what stands between it and this server.",
        "The request line or a header has a form that HTTP does not have (RFC 9112), such as a line that ends in a line feed alone, or the length of the body is given twice or in two ways. What two servers could read in two ways is refused, and the connection is closed.";
    HostWrong "host_wrong" 400 "The request names no host of this server, or more than one",
        "Send one Host header, with the host of the address that this API is reached at.",
        "Every request names exactly one host, and it has to be one that this server answers for. A load balancer must pass on the host that the client named.";
    Misdirected "misdirected" 421 "The request is for a host that is not answered here",
        "Send the request on a connection of its own.",
        "Over HTTP/2, clients may try one connection for several hosts. This one answers for another host (RFC 9110, 15.5.20).";
    AddressTooLong "address_too_long" 414 "The address is too long",
        "Send at most 8 KiB of path and query.",
        "No address of this API comes near 8 KiB.";
    HeadTooLarge "head_too_large" 431 "The headers are too large",
        "Send at most 64 headers and 16 KiB of them, request line included.",
        "No request of this API needs more. Often a client or proxy adds cookies or tracing headers without end.";
    MethodOverrideNotAllowed "method_override_not_allowed" 400 "A header asks for another method",
        "Send the method itself, without X-HTTP-Method-Override and its kin.",
        "Some frameworks let a header change a POST into another method. This API does not, so a client that sends such a header would not get what it asks for.";

    // What was asked for.
    NotFound "not_found" 404 "There is no such object",
        "Check the id, and that it was made with a key of the same account and mode.",
        "No object with this id exists in the account and mode of the key. An object of another account or of the other mode is answered in the same way as one that never existed.";
    RouteUnknown "route_unknown" 404 "There is no such endpoint",
        "Check the address against the OpenAPI document at /openapi.json.",
        "No endpoint has this address. Addresses are in lower case and have no slash at their end.";
    MethodNotAllowed "method_not_allowed" 405 "The endpoint does not know this method",
        "Use one of the methods in the Allow header.",
        "The address exists, but not for this HTTP method.";
    StateConflict "state_conflict" 409 "The object's state does not permit this",
        "Fetch the object and look at its status.",
        "What was asked for is possible in another state of the object only, for instance a capture after an authorization. The detail says in which.";
    AmountTooLarge "amount_too_large" 422 "The amount is more than what is left",
        "Send a smaller amount, or none to use all that is left.",
        "A payment can be captured up to its authorized amount, and refunded up to what was captured, refunds still running included. The member amount_left says how many minor units are left.";
    LimitReached "limit_reached" 409 "There are as many as there may be",
        "Delete one that is not needed any more.",
        "Some lists are limited per account or per customer. The detail says which limit was reached.";

    // Cards and providers.
    TokenUnknown "token_unknown" 400 "There is no such token",
        "Deposit the card again and use the new token, in the mode in which it was made.",
        "No token with this id exists in the account and mode of the key.";
    TokenUsed "token_used" 409 "The token was used already",
        "Deposit the card again. To charge a card several times, keep it with a customer.",
        "A token can pay or be kept once. To repeat a request whose answer was lost, use the same Idempotency-Key.";
    TokenExpired "token_expired" 409 "The token has expired",
        "Deposit the card again.",
        "A token lives for fifteen minutes.";
    CvcLost "cvc_lost" 409 "The card's security code is gone",
        "Ask the payer to enter the card again.",
        "Security codes are held in memory only and never written anywhere, so a restart loses them. The charge was not sent to the provider.";
    ProviderMissing "provider_missing" 409 "No payment provider is configured for live payments",
        "Ask the operator to configure one, or use a test key.",
        "Test mode always works, with a simulated provider. Live payments need a provider, which the operator of this installation configures.";

    // Again, and later.
    IdempotencyMismatch "idempotency_mismatch" 422 "The idempotency key was used for another request",
        "Use a new key for a new request, or repeat the first request unchanged.",
        "The same Idempotency-Key with the same address and body is a repetition and gets the first answer. With anything else it is a mistake, and nothing was done.";
    IdempotencyRunning "idempotency_running" 409 "The first request with this idempotency key still runs",
        "Repeat the request after the time in the Retry-After header.",
        "Two requests with the same Idempotency-Key arrived together. The first is still being worked on; its answer will be given to every repetition.";
    RateExceeded "rate_exceeded" 429 "Too many requests",
        "Repeat the request after the time in the Retry-After header.",
        "The member limit names what was exceeded: the rate of the key, of the account with all its keys, the requests that a key has at the same time, the keys from one address that did not work, or what is left to somebody who looks hostile. Whoever comes back when told is let in; whoever comes back sooner waits longer each time, up to a minute. RateLimit and RateLimit-Policy tell beforehand how much is left.";
    Overloaded "overloaded" 503 "There is no room for the request",
        "Repeat the request, with the same Idempotency-Key, after the time in the Retry-After header.",
        "Too many requests are worked on at the same time. Lists are refused first, and what moves money last.";
    BudgetExhausted "budget_exhausted" 429 "Too many cards were used in this hour",
        "Wait for the time in the Retry-After header, and ask the operator to raise the budget if this is regular traffic.",
        "How many stored cards may be opened or looked up in an hour is limited for each account, so that nobody who gets hold of a part of the system can export cards. The limit is enforced by the key server.";
    KeysSealed "keys_sealed" 503 "Cards cannot be used at the moment",
        "Repeat the request after the time in the Retry-After header. All that needs no card works.",
        "The key server is sealed, or is starting. Nothing was charged. An operator has to open it.";
    Unavailable "unavailable" 503 "The service cannot do this at the moment",
        "Repeat the request, with the same Idempotency-Key, after the time in the Retry-After header.",
        "A part of the service cannot be reached or cannot record what it does. What is not on record was not done. Repeating with the same Idempotency-Key never charges twice.";
    Internal "internal" 500 "Something went wrong on our side",
        "Repeat the request with the same Idempotency-Key. If it persists, tell the operator the request_id.",
        "This is a fault of the service. It is on record under the request's id.";

    // Not a failure.
    SecretAlreadyShown "secret_already_shown" 200 "The secret was shown before",
        "Use the secret from the first answer, or rotate it.",
        "A secret is shown once, in the first answer. It is not stored in a form that could be shown again, so a repetition with the same Idempotency-Key carries the object with secret set to null and this code.";
}
