//! Opening one record for one order: verify, count, record durably, and only then unwrap.
//!
//! The types keep that order: [`Verified`] comes only from a valid MAC, [`Recorded`] only from a committed transaction,
//! and only a [`Recorded`] unwraps. The context comes from the order, so what the vault sends cannot choose what opens.

mod pack;

use std::sync::Arc;

use coffer_audit::{Actor, Entry, Outcome};
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
    custody::{Unsealed, actor, entry},
    hierarchy::{Which, data_key_context},
    store::OPENING_PRUNE,
};

use pack::Opening;
pub(crate) use pack::Recording;

/// The longest time for which an order may be signed: its attempt's deadline, with room for clocks that differ.
const ORDER_LIFETIME_MAX_MS: i64 = 5 * 60 * 1000;
/// How long after its end an order's row is kept, so that no difference between clocks lets it be used again.
const OPENING_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const PRUNED_AT_ONCE: i64 = 1_000;

/// The key with which an api signs orders, and when its certificate ends.
pub(crate) struct Signer {
    key: Key,
    not_after: i64,
}

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
                Box::pin(self.record_refused(peer, verified.order)).await?;
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
        let signer = match unsealed.signers.get(serial) {
            Some(signer) => signer,
            None => Box::pin(self.signer(unsealed, signed)).await?,
        };
        let order = signed.verify(&signer.key).ok_or(Refusal::OrderInvalid)?;
        let now = self.clock().now();
        if signer.not_after <= now.as_millis() || self.revoked().load().contains(serial) {
            return Err(Refusal::OrderInvalid.into());
        }
        let left_ms = order.expires.since(now);
        if left_ms <= 0 {
            return Err(Refusal::OrderExpired.into());
        }
        if left_ms > ORDER_LIFETIME_MAX_MS {
            return Err(Refusal::OrderInvalid.into());
        }
        Ok(Verified { order, serial })
    }

    /// The signer that the order names. It is remembered from now on, so a certificate that counts no more is found by the transaction that
    /// records the opening.
    async fn signer(
        &self,
        unsealed: &Unsealed,
        signed: &SignedOrder,
    ) -> Result<Arc<Signer>, Error> {
        let serial = signed.key_id();
        let key = unsealed.order_key(serial);
        // Nothing is looked up, or remembered, for whoever guesses serials.
        signed.verify(&key).ok_or(Refusal::OrderInvalid)?;
        let holder = self.certificate(serial, Role::Api).await?;
        let signer = Arc::new(Signer {
            key,
            not_after: holder.ok_or(Refusal::OrderInvalid)?.not_after,
        });
        unsealed.signers.insert(serial.to_owned(), signer.clone());
        Ok(signer)
    }

    async fn record_opening<'o>(
        &self,
        peer: &Peer,
        verified: &Verified<'o>,
        request: &Open,
    ) -> Result<Recorded<'o>, Error> {
        let opening = Opening {
            actor: actor(peer),
            order: verified.order.clone(),
            serial: verified.serial.to_owned(),
            parent: (request.subject, request.wrapped.parent_version),
        };
        self.record(opening).await?;
        Ok(Recorded(verified.order))
    }

    async fn record_refused(&self, peer: &Peer, order: &Order) -> Result<(), Error> {
        self.commit(
            Transaction::new(),
            opening_entry(actor(peer), order).outcome(Outcome::Refused),
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

fn opening_entry(actor: Actor, order: &Order) -> Entry {
    Entry::new(actor, "record.open")
        .place(order.place.account, order.place.mode)
        .object(order.record)
        .object(order.payment)
        .object(order.attempt)
        .object(order.destination.as_str())
}
