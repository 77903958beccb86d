//! API keys: made, shown, changed, rotated, verified, and what they were used for. Stored are the id, the last four characters
//! and keyed hashes, never a key.

mod change;
mod expiry;
mod exposure;
mod key;
mod rotation;
mod secret;
mod suggestion;
mod uses;
mod verify;

use std::collections::HashMap;

use coffer_core::{
    Mode, Timestamp,
    api_key::{KeyKind, SignedRequests},
    event::EventType,
    id::ApiKeyId,
    limits::{API_KEY_NAME_MAX, API_KEYS_MAX, LIVE_KEY_TTL_MAX_MS, ORIGINS_MAX},
    permission::Permissions,
};
use coffer_crypto::{Mac, SecretBytes};
use coffer_db::params;
use coffer_net::contract::Place;

use crate::{
    CapUse, Done, Engine, Error, Fresh, Listed, Page, Steward, Text, accounts, room::Room,
    rows::key_of, store::api_keys as sql,
};

pub use change::ApiKeyChange;
pub use key::{ApiKey, KeySettings, Observed, OldSecret};
pub use suggestion::Suggestion;
pub(crate) use uses::{KeyUse, Uses};
pub use uses::{KeyUses, LastUse, UseCount};
pub use verify::{AuthenticationError, Presented};
pub(crate) use verify::{KeyCache, Known, check_state};

use key::{StoredKey, StoredState};
use secret::NewSecret;

const OBJECT: &str = "api_key";
static ROOM: Room = Room {
    statement: &sql::ROOM,
    what: "API keys",
    limit: API_KEYS_MAX,
};
/// For what no request asked for.
static UNKEYED: Fresh = Fresh::unkeyed();

/// An API key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Publishable or secret.
    pub kind: KeyKind,
    /// For people.
    pub name: Text<API_KEY_NAME_MAX>,
    /// What it may do, and from where.
    pub settings: KeySettings,
    /// A bait: it permits nothing, and raises an alert when somebody uses it.
    pub canary: bool,
}

/// What was seen of a key: its last call, and what it has used of its caps today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySeen {
    /// The last call, as far as it is written yet.
    pub last_use: Option<LastUse>,
    /// Of each cap of which it has used something.
    pub caps: Vec<CapUse>,
}

impl Engine {
    /// Makes an API key; its text is returned once.
    ///
    /// # Errors
    /// [`Error::Refused`] for a live key in the development profile or before activation, [`Error::Invalid`] for settings
    /// that its kind cannot have, [`Error::BeyondCaller`] for more than the caller's key has, [`Error::LimitReached`] for one
    /// too many.
    pub async fn api_key_create(
        &self,
        steward: Steward<'_>,
        fresh: Fresh,
        new: NewApiKey,
    ) -> Result<Done<(ApiKey, SecretBytes)>, Error> {
        let place = steward.place();
        self.check_mode(place).await?;
        self.check_room(&ROOM, place).await?;
        let mut key = self.unborn(place, new);
        let now = key.created;
        steward.complete(&mut key.settings);
        self.check_settings(&mut key, now)?;
        steward.check_gives(&key)?;
        key.days_told = expiry::days_told(key.settings.expires, now);
        let made = NewSecret::make(self, &key)?;
        key.last4.clone_from(&made.last4);
        let stored = stored(key, made.hash);
        let steps = ROOM.hold(place).one(&sql::INSERT, stored.insert());
        let steps = steps.append(self.answered_key(&fresh, &stored.key, 201)?);
        let created = EventType::ApiKeyCreated;
        match self
            .commit_key(steward.by(), &stored.key, created, steps)
            .await
        {
            Ok(()) => Ok(Done {
                status: 201,
                object: (stored.key, made.text),
            }),
            Err(error) if error.is_conflict_at(ROOM.statement) => Err(ROOM.full()),
            Err(error) => Err(error.into()),
        }
    }

    /// One key.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the account and mode.
    pub async fn api_key(&self, place: Place, id: ApiKeyId) -> Result<ApiKey, Error> {
        let stored = self.stored_key(id).await?;
        let key = stored.map(|stored| stored.key);
        key.filter(|key| key.place == place)
            .ok_or(Error::NotFound { object: OBJECT })
    }

    /// One key of any account, for the operator.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn api_key_anywhere(&self, id: ApiKeyId) -> Result<ApiKey, Error> {
        let stored = self.stored_key(id).await?;
        let stored = stored.ok_or(Error::NotFound { object: OBJECT })?;
        Ok(stored.key)
    }

    /// Keys, the newest first, each with what was seen of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no key's id.
    pub async fn api_key_list(
        &self,
        place: Place,
        page: Page,
    ) -> Result<Listed<(ApiKey, KeySeen)>, Error> {
        let [account, mode] = key_of(place);
        let row = params![account, mode, page.before_id::<ApiKeyId>()?, page.fetch()];
        let rows = self.db().read(&sql::LIST, row).await?;
        let listed = page.read(&rows, |row| Ok(key::read(row)?.key))?;
        let (Some(newest), Some(oldest)) = (listed.items.first(), listed.items.last()) else {
            return Ok(Listed {
                items: Vec::new(),
                has_more: false,
            });
        };
        let mut seen = self.seen(place, [oldest.id, newest.id]).await?;
        let with_seen = |key: ApiKey| {
            let seen = seen.remove(&key.id).unwrap_or_default();
            (key, seen)
        };
        Ok(Listed {
            items: listed.items.into_iter().map(with_seen).collect(),
            has_more: listed.has_more,
        })
    }

    /// What was seen of one key, as far as it is written yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn api_key_seen(&self, key: &ApiKey) -> Result<KeySeen, Error> {
        let mut seen = self.seen(key.place, [key.id, key.id]).await?;
        Ok(seen.remove(&key.id).unwrap_or_default())
    }

    /// What was seen of each of these keys, all of one account and mode, between the first and the last id.
    async fn seen(
        &self,
        place: Place,
        between: [ApiKeyId; 2],
    ) -> Result<HashMap<ApiKeyId, KeySeen>, Error> {
        let mut seen: HashMap<ApiKeyId, KeySeen> = HashMap::new();
        for (key, used) in self.last_uses(place, between).await? {
            seen.entry(key).or_default().last_use = Some(used);
        }
        for (key, used) in self.used_of(place, between).await? {
            seen.entry(key).or_default().caps.push(used);
        }
        Ok(seen)
    }

    /// What keys need from time to time: ended rotations, reminders, counts and usage written.
    pub(crate) async fn keep_keys(&self) -> Result<(), Error> {
        self.write_uses().await?;
        self.write_usage().await?;
        self.watch_rates().await?;
        self.end_rotations().await?;
        self.end_signing_key_rotations().await?;
        self.end_webhook_rotations().await?;
        self.prune_nonces().await?;
        self.tell_expiries().await
    }

    /// Live keys are for production, once the account is activated.
    async fn check_mode(&self, place: Place) -> Result<(), Error> {
        match place.mode {
            Mode::Test => Ok(()),
            Mode::Live if self.0.development => Err(Error::Refused(
                "live keys cannot be made in the development profile",
            )),
            Mode::Live if accounts::activated(self, place.account).await?.is_some() => Ok(()),
            Mode::Live => Err(Error::Refused(
                "the account is not activated for live payments: coffer accounts activate shows what is missing",
            )),
        }
    }

    fn unborn(&self, place: Place, new: NewApiKey) -> ApiKey {
        let (id, now) = (self.0.clock.id(), self.now());
        let NewApiKey {
            kind,
            name,
            settings,
            canary,
        } = new;
        ApiKey {
            id,
            place,
            kind,
            name,
            settings,
            observed: Observed::default(),
            canary,
            last4: String::new(),
            old: None,
            exposed: None,
            version: 1,
            created: now,
            updated: now,
            stored: StoredState::Active,
            secret: 1,
            days_told: None,
            exposed_by: None,
        }
    }

    /// What a key of this kind and mode can have. A live key always ends.
    fn check_settings(&self, key: &mut ApiKey, now: Timestamp) -> Result<(), Error> {
        let settings = &mut key.settings;
        if key.place.mode == Mode::Live {
            let latest = now.plus_millis(LIVE_KEY_TTL_MAX_MS);
            if *settings.expires.get_or_insert(latest) > latest {
                return Err(invalid("expires", "a time within 365 days for a live key"));
            }
        }
        if settings.expires.is_some_and(|expires| expires <= now) {
            return Err(invalid("expires", "a time that is still to come"));
        }
        let publishable = key.kind == KeyKind::Publishable;
        if (publishable || key.canary) && !settings.caps.is_empty() {
            return Err(invalid("caps", "none: it moves no money"));
        }
        let no_rights = settings.permissions == Permissions::none();
        if (publishable || key.canary) && !no_rights {
            return Err(invalid(
                "permissions",
                "none: a publishable key and a canary permit nothing",
            ));
        }
        if publishable && settings.signed_requests != SignedRequests::None {
            return Err(invalid(
                "signed_requests",
                "none: a web page keeps no signing key",
            ));
        }
        if !publishable && !settings.origins.is_empty() {
            return Err(invalid(
                "origins",
                "none: only a publishable key is used on web pages",
            ));
        }
        if settings.origins.len() > ORIGINS_MAX {
            return Err(invalid("origins", "at most 20 origins"));
        }
        accounts::check_origins(&settings.origins, self.0.development)
    }
}

const fn invalid(field: &'static str, expected: &'static str) -> Error {
    Error::Invalid { field, expected }
}

const fn stored(key: ApiKey, hash: Mac) -> StoredKey {
    StoredKey {
        key,
        hash,
        old_hash: None,
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{
        api_key::KeyState,
        permission::{Permission, Resource},
        time::DAY_MS,
    };
    use coffer_db::Transaction;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{
        Caller,
        fixture::{Shop, new_key, origin, presented},
    };

    /// A caller who manages keys and reads payments, from one network, for a year.
    async fn manager(shop: &Shop) -> Caller {
        let rights = Permissions::none()
            .with(Permission::write(Resource::ApiKeys))
            .with(Permission::read(Resource::Payments));
        let mut new = new_key(KeyKind::Secret, rights);
        new.settings.addresses = "127.0.0.0/8".parse().unwrap();
        new.settings.expires = Some(shop.clock.now().plus_millis(365 * DAY_MS));
        let (_, text) = crate::fixture::make_key(&shop.engine, shop.place, new).await;
        let calling = shop
            .engine
            .authenticate(presented(&text), origin("POST /v1/api_keys"));
        calling.await.ok().unwrap()
    }

    fn like(caller: &Caller) -> NewApiKey {
        NewApiKey {
            settings: caller.settings().clone(),
            ..new_key(KeyKind::Secret, Permissions::none())
        }
    }

    async fn create(shop: &Shop, caller: &Caller, new: NewApiKey) -> Result<ApiKey, Error> {
        let steward = Steward::Caller(caller);
        let made = shop.engine.api_key_create(steward, Fresh::unkeyed(), new);
        Ok(made.await?.object.0)
    }

    /// Makes keys until there is room for so many.
    async fn leave_room_for(shop: &Shop, left: i64) {
        let (engine, place) = (&shop.engine, shop.place);
        let [account, mode] = key_of(place);
        let row = params![account, mode, API_KEYS_MAX];
        let found = engine.db().read_optional(&sql::ROOM, row).await.unwrap();
        let found = found.unwrap().integer("found").unwrap();
        let missing: Vec<i64> = (found..API_KEYS_MAX.saturating_sub(left)).collect();
        for some in missing.chunks(1000) {
            let steps = some.iter().fold(Transaction::new(), |steps, _| {
                let key = engine.unborn(place, new_key(KeyKind::Secret, Permissions::none()));
                let hash = NewSecret::make(engine, &key).unwrap().hash;
                steps.one(&sql::INSERT, stored(key, hash).insert())
            });
            engine.db().transact(steps).await.unwrap();
        }
    }

    #[tokio::test]
    async fn of_keys_made_at_the_same_instant_one_is_the_last_for_which_there_is_room() {
        let shop = Shop::open().await;
        leave_room_for(&shop, 20).await;
        let make = |_| {
            let (engine, steward) = (shop.engine.clone(), Steward::Operator(shop.place));
            let new = new_key(KeyKind::Secret, Permissions::none());
            async move { engine.api_key_create(steward, Fresh::unkeyed(), new).await }
        };
        let made = (0..25).map(make).collect::<JoinSet<_>>().join_all().await;
        let refused: Vec<Error> = made.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, vec![ROOM.full(); 5]);
    }

    #[tokio::test]
    async fn a_key_gives_no_more_than_it_has() {
        let shop = Shop::open().await;
        let caller = manager(&shop).await;
        create(&shop, &caller, like(&caller)).await.unwrap();
        let mut writes = like(&caller);
        writes.settings.permissions = caller
            .settings()
            .permissions
            .clone()
            .with(Permission::write(Resource::Payments));
        let mut elsewhere = like(&caller);
        elsewhere.settings.addresses = "192.0.2.0/24".parse().unwrap();
        let mut longer = like(&caller);
        longer.settings.expires = caller.settings().expires.map(|end| end.plus_millis(1));
        for (new, field) in [
            (writes, "permissions"),
            (elsewhere, "addresses"),
            (longer, "expires"),
        ] {
            let refused = create(&shop, &caller, new).await;
            assert_eq!(refused, Err(Error::BeyondCaller { field }));
        }
    }

    #[tokio::test]
    async fn what_nobody_says_of_a_key_is_as_its_makers() {
        let shop = Shop::open().await;
        let caller = manager(&shop).await;
        let mut silent = like(&caller);
        silent.settings.expires = None;
        silent.settings.rate = None;
        silent.settings.addresses = coffer_core::network::Networks::anywhere();
        let made = create(&shop, &caller, silent).await.unwrap().settings;
        let own = caller.settings();
        assert!(own.expires.is_some());
        assert_eq!(
            (made.expires, made.rate, &made.addresses),
            (own.expires, own.rate, &own.addresses)
        );
    }

    #[tokio::test]
    async fn a_key_widens_neither_itself_nor_another_and_revives_none_that_may_do_more() {
        let shop = Shop::open().await;
        let caller = manager(&shop).await;
        let steward = Steward::Caller(&caller);
        let (wide, _) = shop.make_key(KeyKind::Secret, Permissions::full()).await;
        let beyond = Error::BeyondCaller {
            field: "permissions",
        };
        let widened = ApiKeyChange {
            permissions: Some(Permissions::full()),
            ..ApiKeyChange::default()
        };
        let engine = &shop.engine;
        let fresh = Fresh::unkeyed;
        let itself = engine.api_key_update(steward, fresh(), caller.api_key(), widened);
        assert_eq!(itself.await, Err(beyond.clone()));
        let overlap = coffer_core::rotation::Overlap::default();
        let rotated = engine.api_key_rotate(steward, fresh(), wide, overlap).await;
        assert_eq!(rotated.err(), Some(beyond.clone()));
        // Stopping is always possible.
        engine.api_key_freeze(steward, fresh(), wide).await.unwrap();
        let unfrozen = engine.api_key_unfreeze(steward, fresh(), wide).await;
        assert_eq!(unfrozen.err(), Some(beyond));
        engine.api_key_revoke(steward, fresh(), wide).await.unwrap();
    }

    #[tokio::test]
    async fn a_frozen_key_works_again_and_a_revoked_one_never() {
        let shop = Shop::open().await;
        let steward = Steward::Operator(shop.place);
        let id = shop.caller("GET /v1/ping").await.api_key();
        let (engine, fresh) = (&shop.engine, Fresh::unkeyed);
        let frozen = engine.api_key_freeze(steward, fresh(), id).await.unwrap();
        let state = |key: &ApiKey| key.state(shop.clock.now());
        assert_eq!(state(&frozen.object), KeyState::Frozen);
        let refused = engine
            .authenticate(presented(&shop.key), origin("GET /v1/ping"))
            .await;
        assert_eq!(refused.err(), Some(AuthenticationError::Frozen));
        engine.api_key_unfreeze(steward, fresh(), id).await.unwrap();
        shop.caller("GET /v1/ping").await;
        engine.api_key_revoke(steward, fresh(), id).await.unwrap();
        let revived = engine.api_key_unfreeze(steward, fresh(), id).await;
        assert!(matches!(revived, Err(Error::State { .. })));
    }

    #[tokio::test]
    async fn live_keys_are_not_made_in_development() {
        let shop = Shop::open().await;
        let live = Steward::Operator(Place {
            mode: Mode::Live,
            ..shop.place
        });
        let new = new_key(KeyKind::Secret, Permissions::full());
        let made = shop.engine.api_key_create(live, Fresh::unkeyed(), new);
        assert!(matches!(made.await, Err(Error::Refused(_))));
    }

    #[tokio::test]
    async fn another_account_s_key_is_not_found() {
        let shop = Shop::open().await;
        let (elsewhere, _) = crate::fixture::merchant(&shop.engine, "stranger").await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        let missing = Error::NotFound { object: OBJECT };
        let steward = Steward::Operator(elsewhere);
        let (engine, fresh) = (&shop.engine, Fresh::unkeyed);
        assert_eq!(engine.api_key(elsewhere, id).await, Err(missing.clone()));
        let revoked = engine.api_key_revoke(steward, fresh(), id).await;
        assert_eq!(revoked.err(), Some(missing.clone()));
        let uses = engine.api_key_uses(elsewhere, id).await;
        assert_eq!(uses, Err(missing));
    }

    #[tokio::test]
    async fn what_observed_limits_would_refuse_is_counted_and_let_through() {
        let shop = Shop::open().await;
        let id = shop.caller("GET /v1/ping").await.api_key();
        let reads = Permissions::none().with(Permission::read(Resource::Payments));
        let change = ApiKeyChange {
            observed: Some(Observed {
                permissions: Some(reads),
                addresses: Some("203.0.113.0/24".parse().unwrap()),
            }),
            ..ApiKeyChange::default()
        };
        let (engine, steward) = (&shop.engine, Steward::Operator(shop.place));
        let changed = engine.api_key_update(steward, Fresh::unkeyed(), id, change);
        changed.await.unwrap();
        let caller = shop.caller("POST /v1/refunds").await;
        for needed in [
            Permission::read(Resource::Payments),
            Permission::write(Resource::Refunds),
        ] {
            assert!(engine.allows(&caller, needed));
        }
        let uses = engine.api_key_uses(shop.place, id).await.unwrap();
        let values = |counts: &[UseCount]| -> Vec<_> {
            counts.iter().map(|count| count.value.clone()).collect()
        };
        assert_eq!(values(&uses.refused_permissions), ["refunds:write"]);
        assert_eq!(values(&uses.refused_addresses), ["127.0.0.1"]);
    }
}
