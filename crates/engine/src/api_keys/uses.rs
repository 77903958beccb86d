//! What keys are used for: counted in memory while they call, written now and then. A node that dies loses the counts of the
//! last half minute, never a record: records are the log's.
//!
//! Addresses are kept of secret keys alone. A publishable key is used by payers, whose addresses nobody needs.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use coffer_core::{
    Timestamp, api_key::KeyKind, brand::holds_card_number, id::ApiKeyId, permission::Permission,
    time::DAY_MS,
};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::Place;

use super::key::ApiKey;
use crate::{
    CallOrigin, Caller, Engine, Error, detection::Networks, rows, rows::key_of,
    store::api_keys as sql, usage::Tally,
};

/// Different things counted of one key between two writings; what else comes is counted among the last.
const SEEN_MAX: usize = 64;
/// Keys whose counts are written by one transaction.
const KEYS_PER_WRITE: usize = 100;
/// The longest name of a client that is kept.
const CLIENT_MAX: usize = 100;
/// How long uses are kept after the last one.
const KEPT_MS: i64 = 35 * DAY_MS;

const ADDRESS: &str = "address";
const REFUSED_ADDRESS: &str = "refused_address";
const REFUSED_PERMISSION: &str = "refused_permission";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A call, from this address unless that is nobody's business.
    Call(Option<IpAddr>),
    /// A call that the observed addresses would have refused.
    RefusedAddress(IpAddr),
    /// A call that the observed permissions would have refused.
    RefusedPermission(Permission),
}

impl Seen {
    fn what(self) -> (&'static str, String) {
        match self {
            Self::Call(address) => (
                ADDRESS,
                address.map_or_else(String::new, |address| address.to_string()),
            ),
            Self::RefusedAddress(address) => (REFUSED_ADDRESS, address.to_string()),
            Self::RefusedPermission(needed) => (REFUSED_PERMISSION, needed.to_string()),
        }
    }
}

struct Count {
    secret: i64,
    seen: Seen,
    calls: i64,
    last: Timestamp,
}

/// The last call with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub time: Timestamp,
    /// Which endpoint: method and route.
    pub route: Cow<'static, str>,
    /// From where, for a secret key.
    pub address: Option<IpAddr>,
    /// The version of TLS.
    pub tls_version: Cow<'static, str>,
    /// What the client calls itself, for a secret key.
    pub client: Option<String>,
}

#[derive(Default)]
struct Pending {
    counts: Vec<Count>,
    last: Option<LastUse>,
}

impl Pending {
    /// From where it was used.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.counts.iter().filter_map(|count| match count.seen {
            Seen::Call(address) => address,
            Seen::RefusedAddress(_) | Seen::RefusedPermission(_) => None,
        })
    }
}

/// What a key was used for since it was written last.
pub(crate) struct KeyUse {
    pub(crate) id: ApiKeyId,
    pub(crate) place: Place,
    kind: KeyKind,
    pending: Mutex<Pending>,
    pub(crate) tally: Tally,
    /// From where it was used as far as this node has looked.
    networks: Networks,
}

impl KeyUse {
    pub(crate) fn of(key: &ApiKey) -> Arc<Self> {
        Arc::new(Self {
            id: key.id,
            place: key.place,
            kind: key.kind,
            pending: Mutex::default(),
            tally: Tally::default(),
            networks: Networks::default(),
        })
    }
}

/// The keys of this node that were used since the last writing.
#[derive(Default)]
pub(crate) struct Uses(Mutex<Vec<Arc<KeyUse>>>);

impl Uses {
    /// Counts a call.
    pub(crate) fn call(
        &self,
        key: &Arc<KeyUse>,
        secret: i64,
        origin: &CallOrigin,
        client: Option<&str>,
        now: Timestamp,
    ) {
        let own = key.kind == KeyKind::Secret;
        let address = own.then(|| origin.address.to_canonical());
        let client = client.filter(|_| own).map(shortened);
        let mut pending = self.count(key, secret, Seen::Call(address), now);
        let before = pending.last.take().and_then(|last| last.client);
        pending.last = Some(LastUse {
            time: now,
            route: origin.route.into(),
            address,
            tls_version: origin.tls_version.into(),
            // Seldom another than before, so seldom a copy.
            client: before
                .filter(|before| client == Some(before))
                .or_else(|| client.map(without_number)),
        });
    }

    /// Counts something else.
    pub(crate) fn note(&self, key: &Arc<KeyUse>, secret: i64, seen: Seen, now: Timestamp) {
        drop(self.count(key, secret, seen, now));
    }

    fn count<'k>(
        &self,
        key: &'k Arc<KeyUse>,
        secret: i64,
        seen: Seen,
        now: Timestamp,
    ) -> MutexGuard<'k, Pending> {
        let mut pending = coffer_net::lock(&key.pending);
        let is_new = pending.counts.is_empty();
        let full = pending.counts.len() >= SEEN_MAX;
        let known = pending
            .counts
            .iter_mut()
            .find(|count| count.secret == secret && count.seen == seen);
        match known {
            Some(count) => count.add(now),
            None if full => {
                if let Some(count) = pending.counts.last_mut() {
                    count.add(now);
                }
            }
            None => pending.counts.push(Count {
                secret,
                seen,
                calls: 1,
                last: now,
            }),
        }
        if is_new {
            coffer_net::lock(&self.0).push(Arc::clone(key));
        }
        pending
    }
}

impl Count {
    const fn add(&mut self, now: Timestamp) {
        self.calls = self.calls.saturating_add(1);
        self.last = now;
    }
}

/// What a client calls itself, as far as that is looked at.
fn shortened(client: &str) -> &str {
    client.get(..CLIENT_MAX).unwrap_or(client)
}

/// What is kept of it: where it could hold a card number, only the words before the digits.
fn without_number(client: &str) -> String {
    let first_digit = client.find(|symbol: char| symbol.is_ascii_digit());
    let kept = match first_digit {
        Some(at) if holds_card_number(client) => client.get(..at).unwrap_or_default(),
        Some(_) | None => client,
    };
    kept.to_owned()
}

/// Something of a key that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseCount {
    /// An address, or a permission; empty for what is counted without one.
    pub value: String,
    /// How often.
    pub calls: i64,
    /// When last.
    pub last: Timestamp,
}

/// What a key was used for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyUses {
    /// Calls with the present secret, by address.
    pub present: Vec<UseCount>,
    /// Calls with the secret before, by address.
    pub old: Vec<UseCount>,
    /// Calls that the observed addresses would have refused, by address.
    pub refused_addresses: Vec<UseCount>,
    /// Calls that the observed permissions would have refused, by the permission that they needed.
    pub refused_permissions: Vec<UseCount>,
}

impl Engine {
    /// Whether the caller may do what a route needs. What its observed permissions would refuse is counted.
    #[must_use]
    pub fn allows(&self, caller: &Caller, needed: Permission) -> bool {
        let allowed = caller.allows(needed);
        let observed = caller.known.key().observed.permissions.as_ref();
        if allowed && observed.is_some_and(|rights| !rights.allow(needed)) {
            let refused = Seen::RefusedPermission(needed);
            self.0
                .uses
                .note(&caller.known.uses, caller.secret, refused, self.now());
        }
        allowed
    }

    /// What a key was used for in the last month, what was used last first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such key in the account and mode.
    pub async fn api_key_uses(&self, place: Place, id: ApiKeyId) -> Result<KeyUses, Error> {
        self.write_uses().await?;
        let key = self.api_key(place, id).await?;
        let [account, mode] = key_of(place);
        let row = params![account, mode, id.to_string()];
        let mut uses = KeyUses::default();
        for row in self.db().read(&sql::USES, row).await? {
            let count = UseCount {
                value: row.text("value")?.to_owned(),
                calls: row.integer("calls")?,
                last: rows::time(&row, "last")?,
            };
            let of = key.secret.saturating_sub(row.integer("secret")?);
            match (row.text("what")?, of) {
                (ADDRESS, 0) => uses.present.push(count),
                (ADDRESS, 1) => uses.old.push(count),
                (REFUSED_ADDRESS, _) => uses.refused_addresses.push(count),
                (REFUSED_PERMISSION, _) => uses.refused_permissions.push(count),
                (_, _) => {}
            }
        }
        Ok(uses)
    }

    /// The last use of each of these keys, all of one account and mode, between the first and the last id.
    pub(super) async fn last_uses(
        &self,
        place: Place,
        [first, last]: [ApiKeyId; 2],
    ) -> Result<Vec<(ApiKeyId, LastUse)>, Error> {
        let [account, mode] = key_of(place);
        let row = params![account, mode, first.to_string(), last.to_string()];
        let rows = self.db().read(&sql::LAST_USES, row).await?;
        rows.iter().map(read_last).collect()
    }

    /// When a secret was used last, as far as is known.
    pub(super) async fn secret_last_use(
        &self,
        key: &ApiKey,
        secret: i64,
    ) -> Result<Option<Timestamp>, Error> {
        let [account, mode] = key_of(key.place);
        let row = params![account, mode, key.id.to_string(), secret];
        let found = self.db().read_optional(&sql::SECRET_LAST_USE, row).await?;
        let last = found.map(|row| row.optional_integer("last")).transpose()?;
        Ok(last.flatten().map(Timestamp::from_millis))
    }

    /// Writes what was counted since the last time.
    pub(crate) async fn write_uses(&self) -> Result<(), Error> {
        let used = std::mem::take(&mut *coffer_net::lock(&self.0.uses.0));
        for some in used.chunks(KEYS_PER_WRITE) {
            let mut steps = Transaction::new();
            for key in some {
                let pending = std::mem::take(&mut *coffer_net::lock(&key.pending));
                // Before it is written from where it was used, and so known to all nodes.
                self.watch_networks((key.place, key.id), &key.networks, pending.addresses())
                    .await;
                steps = steps.append(written(key, &pending));
            }
            self.db().transact(steps).await?;
        }
        Ok(())
    }

    /// Forgets what was used long ago.
    pub(crate) async fn prune_uses(&self) -> Result<(), Error> {
        let before = self.now().plus_millis(-KEPT_MS).as_millis();
        let prune = Transaction::new().any(&sql::USES_PRUNE, params![before]);
        self.db().transact(prune).await?;
        Ok(())
    }
}

/// The steps that write what was counted of a key.
fn written(key: &KeyUse, pending: &Pending) -> Transaction {
    let [account, mode] = key_of(key.place);
    let of_key = || params![account.clone(), mode.clone(), key.id.to_string()];
    let steps = pending
        .counts
        .iter()
        .fold(Transaction::new(), |steps, count| {
            let (what, value) = count.seen.what();
            let mut row = of_key();
            row.extend(params![
                count.secret,
                what,
                value,
                count.calls,
                count.last.as_millis()
            ]);
            steps.one(&sql::USE_COUNT, row)
        });
    let Some(last) = &pending.last else {
        return steps;
    };
    let mut row = of_key();
    row.extend(params![
        last.time.as_millis(),
        &*last.route,
        last.address.map(|address| address.to_string()),
        &*last.tls_version,
        last.client.as_deref(),
    ]);
    steps.any(&sql::USE_LAST, row)
}

fn read_last(row: &Row) -> Result<(ApiKeyId, LastUse), Error> {
    let address = row.optional_text("address")?.map(str::parse).transpose();
    let used = LastUse {
        time: rows::time(row, "last")?,
        route: row.text("route")?.to_owned().into(),
        address: address.map_err(|_| Error::Defect)?,
        tls_version: row.text("tls")?.to_owned().into(),
        client: row.optional_text("client")?.map(str::to_owned),
    };
    Ok((rows::word(row, "api_key")?, used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_client_calls_itself_no_card_number_is_kept() {
        let kept = |client| without_number(shortened(client));
        let python = "python-requests/2.31.0";
        assert_eq!(kept(python), python);
        assert_eq!(kept("shop/4242 4242 4242 4242 (test)"), "shop/");
        assert_eq!(kept("4242424242424242"), "");
        let long = format!("{}4242424242424242", "a".repeat(CLIENT_MAX - 16));
        assert_eq!(kept(&format!("{long}0")), "a".repeat(CLIENT_MAX - 16));
    }
}
