//! Handlers of signing keys.

use coffer_core::{
    id::ApiKeyId, limits::SIGNING_KEY_NAME_MAX, rotation::Overlap, signing_key::SignatureAlgorithm,
};
use coffer_engine::{Done, Fresh, MadeSigningKey, NewSigningKey, Steward, Text};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Optional, PublicKeyField, Required, request},
    problems::Problem,
    views::SigningKeyView,
};

const OBJECT: &str = "signing_key";

request! {
    /// A signing key to be registered, or to be made. One of public_key and generate has to be sent.
    NewSigningKeyRequest {
        /// Its name, for people.
        name: Required<Text<SIGNING_KEY_NAME_MAX>>,
        /// The public key, as PEM or as an object (JWK). Keep the private one.
        public_key: Optional<PublicKeyField>,
        /// Has Coffer make a key of this kind, whose private half is shown once.
        generate: Optional<SignatureAlgorithm>,
        /// The secret API key that it may stand for as a client of OAuth (private_key_jwt): one that may do no more than yours.
        client: Optional<ApiKeyId>,
    }
}

request! {
    /// The key that takes another's place. One of public_key and generate has to be sent.
    SigningKeyRotateRequest {
        /// The new public key, as PEM or as an object (JWK).
        public_key: Optional<PublicKeyField>,
        /// Has Coffer make a key of this kind, whose private half is shown once.
        generate: Optional<SignatureAlgorithm>,
        /// How long the old key works beside the new one: 24 hours unless told, 0 to end it at once.
        overlap_hours: Optional<Overlap>,
    }
}

fn new(
    public_key: Option<PublicKeyField>,
    generate: Option<SignatureAlgorithm>,
) -> Result<NewSigningKey, Problem> {
    match (public_key, generate) {
        (Some(key), None) => Ok(NewSigningKey::Registered(key.0)),
        (None, Some(algorithm)) => Ok(NewSigningKey::Generated(algorithm)),
        (None, None) => Err(Problem::field_missing("public_key")),
        (Some(_), Some(_)) => Err(Problem::field_invalid(
            "generate",
            "nothing beside a public key",
        )),
    }
}

/// A key with its private half, which is shown this once.
fn shown(api: &Api, done: Done<MadeSigningKey>) -> Answer {
    let now = api.settings().clock.now();
    Answer::done(done, |(key, private)| {
        // Exposed because this is the one time that it is shown.
        let private = private.map(|key| String::from_utf8_lossy(key.expose()).into_owned());
        SigningKeyView::of(key, now, private)
    })
}

/// Registers a key, or makes one and shows it.
pub(crate) async fn signing_key_create(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let request = call.body::<NewSigningKeyRequest>()?;
    let new = new(request.public_key, request.generate)?;
    let steward = Steward::Caller(&call.caller);
    let engine = api.engine();
    let named = (request.name, request.client);
    let done = engine.signing_key_create(steward, fresh, named, new);
    Ok(shown(&api, done.await?))
}

/// Shows a key.
pub(crate) async fn signing_key(api: Api, call: Call) -> Outcome {
    let (place, id) = (call.caller.place(), call.id(OBJECT)?);
    let key = api.engine().signing_key(place, id).await?;
    let now = api.settings().clock.now();
    Ok(Answer::json(200, &SigningKeyView::of(key, now, None)))
}

/// Lists keys, the newest first.
pub(crate) async fn signing_key_list(api: Api, call: Call) -> Outcome {
    let (place, page) = (call.caller.place(), call.query.page()?);
    let listed = api.engine().signing_key_list(place, page).await?;
    let now = api.settings().clock.now();
    Ok(Answer::list(listed, |key| {
        SigningKeyView::of(key, now, None)
    }))
}

/// Gives a key a successor.
pub(crate) async fn signing_key_rotate(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let (id, request) = (call.id(OBJECT)?, call.body::<SigningKeyRotateRequest>()?);
    let new = new(request.public_key, request.generate)?;
    let rotation = (new, request.overlap_hours.unwrap_or_default());
    let steward = Steward::Caller(&call.caller);
    let done = api
        .engine()
        .signing_key_rotate(steward, fresh, id, rotation);
    Ok(shown(&api, done.await?))
}

/// Revokes a key, for ever.
pub(crate) async fn signing_key_revoke(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let (steward, id) = (Steward::Caller(&call.caller), call.id(OBJECT)?);
    let done = api.engine().signing_key_revoke(steward, fresh, id).await?;
    let now = api.settings().clock.now();
    Ok(Answer::done(done, |key| SigningKeyView::of(key, now, None)))
}
