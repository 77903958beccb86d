//! Opening one record for one order: verify, count, record durably, and only then unwrap.
//!
//! The types keep that order: [`Verified`] comes only from a valid MAC, [`Recorded`] only from a committed transaction,
//! and only a [`Recorded`] unwraps. The context comes from the order, so what the vault sends cannot choose what opens.

use coffer_audit::Outcome;
use coffer_core::Timestamp;
use coffer_crypto::{Context, Key, unwrap};
use coffer_db::{Transaction, params};
use coffer_net::contract::{
    KeyOnLink, Peer, Refusal, Role,
    keys::{Class, Open, Opened, OrderKey, WrappedKey},
    order::{Order, SignedOrder},
};

use crate::{
    Error, Keys,
    budget::Purpose,
    custody::{Unsealed, entry},
    hierarchy::{Which, data_key_context, live, place_params, used},
    store::{OPENING_INSERT, OPENING_PRUNE},
};

/// The longest time for which an order may be signed: its attempt's deadline, with room for clocks that differ.
const ORDER_LIFETIME_MAX_MS: i64 = 5 * 60 * 1000;
/// How long after its end an order's row is kept, so that no difference between clocks lets it be used again.
const OPENING_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const PRUNED_AT_ONCE: i64 = 1_000;

/// An order that a known api certificate signed and whose time is not over.
struct Verified<'o> {
    order: &'o Order,
    serial: &'o str,
}

/// An opening that is durably on record: permission to unwrap one key, once.
struct Recorded<'o>(&'o Order);

impl Recorded<'_> {
    fn unwrap(self, parent: &Key, class: Class, wrapped: &WrappedKey) -> Result<Key, Error> {
        let context = data_key_context(self.0.place, class, self.0.record, wrapped.parent_version);
        unwrap(parent, &context, &wrapped.bytes).map_err(|_| Refusal::WrappedKeyInvalid.into())
    }
}

impl Keys {
    /// Opens the record that the order names.
    pub(crate) async fn open_record(&self, peer: &Peer, request: &Open) -> Result<Opened, Error> {
        let unsealed = self.unsealed()?;
        let verified = self.verified(&unsealed, &request.order).await?;
        let (place, version) = (verified.order.place, request.wrapped.parent_version);
        let now = self.clock().now();
        let parent = unsealed
            .hierarchy
            .subject(place, request.subject, Which::Version(version), now)
            .await?;
        self.spend(peer, place, Purpose::Open).await?;
        let recorded = self.record_opening(peer, &verified, request).await?;
        match recorded.unwrap(&parent.key, request.class, &request.wrapped) {
            Ok(key) => Ok(Opened {
                key: KeyOnLink::new(key),
            }),
            Err(error) => {
                self.record_refused(peer, verified.order).await?;
                Err(error)
            }
        }
    }

    /// The key with which the caller signs orders.
    pub(crate) async fn order_key_of(&self, peer: &Peer) -> Result<OrderKey, Error> {
        let unsealed = self.unsealed()?;
        self.certificate(&peer.serial, Role::Api)
            .await?
            .ok_or(Refusal::CertificateRefused)?;
        self.commit(
            Transaction::new(),
            entry(peer, "order_key.derive").object(&peer.serial),
        )
        .await?;
        let key = KeyOnLink::new(unsealed.order_key(&peer.serial));
        Ok(OrderKey {
            key_id: peer.serial.clone(),
            key,
        })
    }

    async fn verified<'o>(
        &self,
        unsealed: &Unsealed,
        signed: &'o SignedOrder,
    ) -> Result<Verified<'o>, Error> {
        let serial = signed.key_id();
        let order = signed
            .verify(&unsealed.order_key(serial))
            .ok_or(Refusal::OrderInvalid)?;
        self.certificate(serial, Role::Api)
            .await?
            .ok_or(Refusal::OrderInvalid)?;
        let left_ms = order.expires.since(self.clock().now());
        if left_ms <= 0 {
            return Err(Refusal::OrderExpired.into());
        }
        if left_ms > ORDER_LIFETIME_MAX_MS {
            return Err(Refusal::OrderInvalid.into());
        }
        Ok(Verified { order, serial })
    }

    async fn record_opening<'o>(
        &self,
        peer: &Peer,
        verified: &Verified<'o>,
        request: &Open,
    ) -> Result<Recorded<'o>, Error> {
        let order = verified.order;
        let version = request.wrapped.parent_version;
        let steps = opening(verified, self.clock().now()).append(live(
            order.place,
            request.subject,
            version,
        ));
        match self.commit(steps, opening_entry(peer, order)).await {
            Ok(_) => Ok(Recorded(order)),
            Err(error) => {
                if matches!(error, coffer_db::Error::Conflict(_)) {
                    self.budget()
                        .give_back(order.place, Purpose::Open, self.clock().now())
                        .await;
                }
                let repeated = error.is_conflict_at(&OPENING_INSERT);
                Err(if repeated {
                    Refusal::OrderUsed.into()
                } else {
                    used(error)
                })
            }
        }
    }

    async fn record_refused(&self, peer: &Peer, order: &Order) -> Result<(), Error> {
        self.commit(
            Transaction::new(),
            opening_entry(peer, order).outcome(Outcome::Refused),
        )
        .await?;
        Ok(())
    }

    /// Deletes the rows of orders whose time is long over.
    pub(crate) async fn prune_openings(&self, now: Timestamp) -> Result<(), Error> {
        let before = now.plus_millis(-OPENING_KEPT_MS).as_millis();
        loop {
            let steps = Transaction::new().any(&OPENING_PRUNE, params![before, PRUNED_AT_ONCE]);
            let pruned = self.db().transact(steps).await?.touched(&OPENING_PRUNE);
            if i64::try_from(pruned).unwrap_or(i64::MAX) < PRUNED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

impl Unsealed {
    fn order_key(&self, serial: &str) -> Key {
        self.orders
            .derive(&Context::new("coffer order key v1").text(serial))
    }
}

fn opening(verified: &Verified<'_>, now: Timestamp) -> Transaction {
    let order = verified.order;
    let mut values = place_params(order.place);
    values.extend(params![
        order.attempt.to_string(),
        order.record.to_string(),
        order.payment.to_string(),
        order.destination.as_str(),
        verified.serial,
        now.as_millis(),
        order.expires.as_millis()
    ]);
    Transaction::new().one(&OPENING_INSERT, values)
}

fn opening_entry(peer: &Peer, order: &Order) -> coffer_audit::Entry {
    entry(peer, "record.open")
        .place(order.place.account, order.place.mode)
        .object(order.record)
        .object(order.payment)
        .object(order.attempt)
        .object(order.destination.as_str())
}
