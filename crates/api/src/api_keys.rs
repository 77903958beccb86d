//! Handlers of API keys, and of keys that somebody found.

use coffer_core::{
    api_key::{KeyKind, SignedRequests},
    cap::Caps,
    limits::API_KEY_NAME_MAX,
    permission::{Permission, Permissions},
    rate::Rate,
    rotation::Overlap,
};
use coffer_crypto::SecretBytes;
use coffer_engine::{
    ApiKey, ApiKeyChange, Done, Fresh, KeySeen, KeySettings, NewApiKey, Observed, Steward, Text,
};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::{Call, Incoming},
    fields::{Addresses, Change, Granted, KeyFound, Optional, Origins, Replace, Required, request},
    problems::Problem,
    routes::routes,
    shape::Time,
    views::{ApiKeyUsesView, ApiKeyView, SuggestionView},
};

const OBJECT: &str = "api_key";

request! {
    /// A key to be made.
    NewApiKeyRequest {
        /// sk (secret) unless told, or pk (publishable).
        kind: Optional<KeyKind>,
        /// Its name, for people.
        name: Required<Text<API_KEY_NAME_MAX>>,
        /// What it may do; has to be said of a secret key, and of no other.
        permissions: Optional<Granted>,
        /// From which addresses and networks; those of the key that makes it unless told.
        addresses: Optional<Addresses>,
        /// On pages of which origins, for a publishable key; of all of the account's unless told.
        origins: Optional<Origins>,
        /// When it ends, a live key within 365 days; with the key that makes it unless told.
        expires: Optional<Time>,
        /// How many requests; as the key that makes it unless told, and as the installation says if that has no rate of its own.
        rate: Optional<Rate>,
        /// How much money it may move, and how many cards open. What is capped in one currency is permitted in no other.
        caps: Optional<Caps>,
        /// Which requests have to be signed: none unless told, money (those that move money), or all.
        signed_requests: Optional<SignedRequests>,
        /// A bait that permits nothing and raises an alert when it is used.
        canary: Optional<bool>,
    }
}

request! {
    /// What to change of a key. What is left out stays.
    ApiKeyChangeRequest {
        /// Another name.
        name: Replace<Text<API_KEY_NAME_MAX>>,
        /// Other rights, in place of all the old ones.
        permissions: Replace<Granted>,
        /// Other addresses, in place of all the old ones; from anywhere when empty.
        addresses: Replace<Addresses>,
        /// Other origins, in place of all the old ones.
        origins: Replace<Origins>,
        /// Another end, or null for none.
        expires: Change<Time>,
        /// Another rate, or null for the installation's.
        rate: Change<Rate>,
        /// Other caps, in place of all the old ones; none when empty.
        caps: Replace<Caps>,
        /// Which requests have to be signed: none, money, or all.
        signed_requests: Replace<SignedRequests>,
        /// Limits to try out: what they would refuse is counted and let through. Null ends that.
        observed: Change<Observed>,
    }
}

request! {
    /// How to rotate.
    RotateRequest {
        /// How long the old secret works beside the new one: 24 hours unless told, 0 to end it at once.
        overlap_hours: Optional<Overlap>,
    }
}

request! {
    /// A key that was found where it should not be.
    ExposedKeyRequest {
        /// The whole key.
        key: Required<KeyFound>,
    }
}

impl NewApiKeyRequest {
    fn into_new(self) -> Result<NewApiKey, Problem> {
        let Self {
            kind,
            name,
            permissions,
            addresses,
            origins,
            expires,
            rate,
            caps,
            signed_requests,
            canary,
        } = self;
        let (kind, canary) = (kind.unwrap_or(KeyKind::Secret), canary.unwrap_or(false));
        let permissions = match permissions {
            Some(granted) => granted.0,
            None if kind == KeyKind::Secret && !canary => {
                return Err(Problem::field_missing("permissions"));
            }
            None => Permissions::none(),
        };
        Ok(NewApiKey {
            kind,
            name,
            settings: KeySettings {
                permissions,
                addresses: addresses.map(|addresses| addresses.0).unwrap_or_default(),
                origins: origins.map(|origins| origins.0).unwrap_or_default(),
                expires: expires.map(|time| time.0),
                rate,
                caps: caps.unwrap_or_default(),
                signed_requests: signed_requests.unwrap_or(SignedRequests::None),
            },
            canary,
        })
    }
}

impl From<ApiKeyChangeRequest> for ApiKeyChange {
    fn from(request: ApiKeyChangeRequest) -> Self {
        let ApiKeyChangeRequest {
            name,
            permissions,
            addresses,
            origins,
            expires,
            rate,
            caps,
            signed_requests,
            observed,
        } = request;
        Self {
            name,
            permissions: permissions.map(|granted| granted.0),
            addresses: addresses.map(|addresses| addresses.0),
            origins: origins.map(|origins| origins.0),
            expires: expires.map(|expires| expires.map(|time| time.0)),
            rate,
            caps,
            signed_requests,
            observed: observed.map(Option::unwrap_or_default),
        }
    }
}

/// A key with its text, which is shown this once.
fn shown(api: &Api, done: Done<(ApiKey, SecretBytes)>) -> Answer {
    let now = api.settings().clock.now();
    Answer::done(done, |(key, text)| {
        let text = String::from_utf8_lossy(text.expose()).into_owned();
        ApiKeyView::of(key, now, None, Some(text))
    })
}

fn without_secret(api: &Api, done: Done<ApiKey>) -> Answer {
    let now = api.settings().clock.now();
    Answer::done(done, |key| ApiKeyView::of(key, now, None, None))
}

/// A key with what was seen of it.
async fn shown_as_is(api: &Api, key: ApiKey) -> Outcome {
    let seen = api.engine().api_key_seen(&key).await?;
    let now = api.settings().clock.now();
    Ok(Answer::json(
        200,
        &ApiKeyView::of(key, now, Some(seen), None),
    ))
}

/// Makes a key and shows it.
pub(crate) async fn api_key_create(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let new = call.body::<NewApiKeyRequest>()?.into_new()?;
    let steward = Steward::Caller(&call.caller);
    let done = api.engine().api_key_create(steward, fresh, new).await?;
    Ok(shown(&api, done))
}

/// Shows a key.
pub(crate) async fn api_key(api: Api, call: Call) -> Outcome {
    let (place, id) = (call.caller.place(), call.id(OBJECT)?);
    let key = api.engine().api_key(place, id).await?;
    shown_as_is(&api, key).await
}

/// Lists keys, the newest first.
pub(crate) async fn api_key_list(api: Api, call: Call) -> Outcome {
    let (place, page) = (call.caller.place(), call.query.page()?);
    let listed = api.engine().api_key_list(place, page).await?;
    let now = api.settings().clock.now();
    Ok(Answer::list(listed, |(key, seen): (ApiKey, KeySeen)| {
        ApiKeyView::of(key, now, Some(seen), None)
    }))
}

/// Shows what a key was used for.
pub(crate) async fn api_key_uses(api: Api, call: Call) -> Outcome {
    let (place, id) = (call.caller.place(), call.id(OBJECT)?);
    let uses = api.engine().api_key_uses(place, id).await?;
    Ok(Answer::json(200, &ApiKeyUsesView::of(uses)))
}

/// Which permission an operation needs.
fn needs(operation: &str) -> Option<Permission> {
    let row = routes().iter().find(|row| row.operation() == operation)?;
    row.permission()
}

/// Shows the least that a key needed.
pub(crate) async fn api_key_suggestion(api: Api, call: Call) -> Outcome {
    let (place, id) = (call.caller.place(), call.id(OBJECT)?);
    let seen = api.engine().api_key_suggestion(place, id, needs).await?;
    Ok(Answer::json(200, &SuggestionView::of(seen)))
}

/// Gives a key no more than it needed.
pub(crate) async fn api_key_tighten(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let (steward, id) = (Steward::Caller(&call.caller), call.id(OBJECT)?);
    let object = api
        .engine()
        .api_key_tighten(steward, fresh, id, needs)
        .await?;
    let done = Done {
        status: 200,
        object,
    };
    Ok(without_secret(&api, done))
}

/// Changes a key.
pub(crate) async fn api_key_update(api: Api, mut call: Call) -> Outcome {
    let (id, change) = (call.id(OBJECT)?, call.body::<ApiKeyChangeRequest>()?);
    let steward = Steward::Caller(&call.caller);
    let key = api
        .engine()
        .api_key_update(steward, Fresh::unkeyed(), id, change.into())
        .await?;
    shown_as_is(&api, key).await
}

/// Gives a key a new secret and shows it.
pub(crate) async fn api_key_rotate(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let (id, request) = (call.id(OBJECT)?, call.body::<RotateRequest>()?);
    let overlap = request.overlap_hours.unwrap_or_default();
    let steward = Steward::Caller(&call.caller);
    let engine = api.engine();
    let done = engine.api_key_rotate(steward, fresh, id, overlap).await?;
    Ok(shown(&api, done))
}

/// Ends a key's old secret.
pub(crate) async fn api_key_end_rotation(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let (steward, id) = (Steward::Caller(&call.caller), call.id(OBJECT)?);
    let done = api
        .engine()
        .api_key_end_rotation(steward, fresh, id)
        .await?;
    Ok(without_secret(&api, done))
}

/// Stops a key until it is unfrozen.
pub(crate) async fn api_key_freeze(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let (steward, id) = (Steward::Caller(&call.caller), call.id(OBJECT)?);
    let done = api.engine().api_key_freeze(steward, fresh, id).await?;
    Ok(without_secret(&api, done))
}

/// Lets a frozen key call again.
pub(crate) async fn api_key_unfreeze(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let (steward, id) = (Steward::Caller(&call.caller), call.id(OBJECT)?);
    let done = api.engine().api_key_unfreeze(steward, fresh, id).await?;
    Ok(without_secret(&api, done))
}

/// Revokes a key, for ever.
pub(crate) async fn api_key_revoke(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let (steward, id) = (Steward::Caller(&call.caller), call.id(OBJECT)?);
    let done = api.engine().api_key_revoke(steward, fresh, id).await?;
    Ok(without_secret(&api, done))
}

/// Takes in a key that somebody found. The answer is the same whatever it is: who asks learns nothing.
pub(crate) async fn exposed_key_report(api: Api, mut incoming: Incoming) -> Outcome {
    let found = incoming.body::<ExposedKeyRequest>()?.key;
    api.engine()
        .api_key_reported(&found.0, incoming.from)
        .await?;
    Ok(Answer::empty())
}
