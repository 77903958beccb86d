//! An API key, and what it was used for.

mod suggestion;

use coffer_core::{
    Mode, Timestamp,
    api_key::{KeyKind, KeyState, SignedRequests},
    id::ApiKeyId,
    network::Networks,
    permission::{Access, Permissions, Resource},
    rate::Rate,
    rotation::Rotation,
};
use coffer_engine::{
    ApiKey, KeySeen, KeySettings, KeyUses, LastUse, Observed, OldSecret, UseCount,
};
use serde::{Serialize, Serializer};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::AdditionalProperties};

use super::CapView;
use crate::shape::{ObjectType, Shape, Time, object};

pub(crate) use suggestion::SuggestionView;

/// Access by resource, every resource named.
pub(crate) struct Rights(Permissions);

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl Shape for Rights {
    fn schema() -> RefOr<Schema> {
        let object = Resource::ALL
            .iter()
            .fold(ObjectBuilder::new(), |object, resource| {
                object
                    .property(resource.as_str(), Access::schema())
                    .required(resource.as_str())
            });
        object
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

fn written(networks: &Networks) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

object! {
    /// An API key.
    pub(crate) struct ApiKeyView as "ApiKey" {
        /// Its id, also the client id of OAuth.
        id: ApiKeyId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Mode,
        /// Secret or publishable.
        kind: KeyKind,
        /// Its name, for people.
        name: String,
        /// Whether it works, and if not, why.
        state: KeyState,
        /// What it may do.
        permissions: Rights,
        /// From which addresses and networks; from anywhere when empty.
        addresses: Vec<String>,
        /// On pages of which origins, for a publishable key; of all of the account's when empty.
        origins: Vec<String>,
        /// Limits that are tried out: what they would refuse is counted under uses and let through.
        observed: Option<ObservedView>,
        /// A bait that permits nothing and raises an alert when it is used.
        canary: bool,
        /// The last four characters of the key.
        last4: String,
        /// The whole key; shown only when it is made.
        secret: Option<String>,
        /// The secret before the last rotation, as long as it works.
        old_secret: Option<OldSecretView>,
        /// When it was first seen where anybody could read it.
        exposed: Option<Time>,
        /// When it ends.
        expires: Option<Time>,
        /// How many requests it may make; as the installation says when there is none.
        rate: Option<RateView>,
        /// How much money it may move, and how many cards open; nothing is capped when empty.
        caps: Vec<CapView>,
        /// Which requests have to be signed.
        signed_requests: SignedRequests,
        /// The last call with it, up to half a minute late.
        last_use: Option<LastUseView>,
        /// Grows with every change.
        version: i64,
        /// When it was made.
        created: Time,
        /// When it changed last.
        updated: Time,
        /// That the secret was shown before, on a repetition.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'static str>,
    }
}

object! {
    /// How many requests a key may make.
    pub(crate) struct RateView as "Rate" {
        /// In a minute, on the average.
        per_minute: i64,
        /// At once, after a quiet time.
        burst: i64,
    }
}

object! {
    /// Limits that are tried out before they hold.
    pub(crate) struct ObservedView as "ObservedLimits" {
        /// These permissions instead of the key's own.
        permissions: Option<Rights>,
        /// These addresses instead of the key's own.
        addresses: Option<Vec<String>>,
    }
}

object! {
    /// The secret that a key had before.
    pub(crate) struct OldSecretView as "OldSecret" {
        /// Its last four characters.
        last4: String,
        /// Since when the new one works.
        rotated: Time,
        /// When it stops working; before, if nobody uses it for a day.
        closes: Time,
    }
}

object! {
    /// The last call with a key.
    pub(crate) struct LastUseView as "LastUse" {
        /// When.
        time: Time,
        /// Which endpoint.
        endpoint: String,
        /// From which address, for a secret key.
        address: Option<String>,
        /// The version of TLS.
        tls_version: String,
        /// What the client calls itself, for a secret key.
        client: Option<String>,
    }
}

object! {
    /// What a key was used for in the last month.
    pub(crate) struct ApiKeyUsesView as "ApiKeyUses" {
        /// Calls with the present secret, by address, the last first.
        present: Vec<UseView>,
        /// Calls with the secret before, by address, the last first: who has to change before it closes.
        old: Vec<UseView>,
        /// Calls that the observed addresses would have refused, by address.
        would_refuse_addresses: Vec<UseView>,
        /// Calls that the observed permissions would have refused, by the permission that they needed.
        would_refuse_permissions: Vec<UseView>,
    }
}

object! {
    /// Something that was counted.
    pub(crate) struct UseView as "UseCount" {
        /// An address or a permission; empty for a publishable key, whose callers are not written down.
        value: String,
        /// How often.
        calls: i64,
        /// When last.
        last: Time,
    }
}

impl RateView {
    const fn of(rate: Rate) -> Self {
        Self {
            per_minute: rate.per_minute(),
            burst: rate.burst(),
        }
    }
}

impl ApiKeyView {
    /// A key at a time, with what was seen of it if that was looked up, and its text when that is new.
    pub(crate) fn of(
        key: ApiKey,
        now: Timestamp,
        seen: Option<KeySeen>,
        secret: Option<String>,
    ) -> Self {
        let state = key.state(now);
        let (settings, observed) = (key.settings, key.observed);
        let KeySettings {
            permissions,
            addresses,
            origins,
            expires,
            rate,
            caps,
            signed_requests,
        } = settings;
        let caps = caps.iter().map(|cap| CapView::of(cap, seen.as_ref(), now));
        Self {
            id: key.id,
            r#type: ObjectType::ApiKey,
            mode: key.place.mode,
            kind: key.kind,
            name: key.name.to_string(),
            state,
            permissions: Rights(permissions),
            addresses: written(&addresses),
            origins,
            observed: ObservedView::of(observed),
            canary: key.canary,
            last4: key.last4,
            secret,
            old_secret: key
                .old
                .filter(|old| old.times.overlaps(now))
                .map(OldSecretView::of),
            exposed: key.exposed.map(Time),
            expires: expires.map(Time),
            rate: rate.map(RateView::of),
            caps: caps.collect(),
            signed_requests,
            last_use: seen.and_then(|seen| seen.last_use).map(LastUseView::of),
            version: key.version,
            created: Time(key.created),
            updated: Time(key.updated),
            code: None,
        }
    }
}

impl ObservedView {
    fn of(observed: Observed) -> Option<Self> {
        let Observed {
            permissions,
            addresses,
        } = observed;
        (permissions.is_some() || addresses.is_some()).then(|| Self {
            permissions: permissions.map(Rights),
            addresses: addresses.as_ref().map(written),
        })
    }
}

impl OldSecretView {
    fn of(old: OldSecret) -> Self {
        let OldSecret { last4, times } = old;
        let Rotation { rotated, closes } = times;
        Self {
            last4,
            rotated: Time(rotated),
            closes: Time(closes),
        }
    }
}

impl LastUseView {
    fn of(used: LastUse) -> Self {
        let LastUse {
            time,
            route,
            address,
            tls_version,
            client,
        } = used;
        Self {
            time: Time(time),
            endpoint: route.into_owned(),
            address: address.map(|address| address.to_string()),
            tls_version: tls_version.into_owned(),
            client,
        }
    }
}

impl ApiKeyUsesView {
    /// What a key was used for.
    pub(crate) fn of(uses: KeyUses) -> Self {
        let KeyUses {
            present,
            old,
            refused_addresses,
            refused_permissions,
        } = uses;
        let counted = |counts: Vec<UseCount>| counts.into_iter().map(UseView::of).collect();
        Self {
            present: counted(present),
            old: counted(old),
            would_refuse_addresses: counted(refused_addresses),
            would_refuse_permissions: counted(refused_permissions),
        }
    }
}

impl UseView {
    fn of(count: UseCount) -> Self {
        let UseCount { value, calls, last } = count;
        Self {
            value,
            calls,
            last: Time(last),
        }
    }
}
