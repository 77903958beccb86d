//! The order to open one card: who pays how much to whom, signed by `api`, checked by `keys`, carried by `vault`.

use coffer_core::{
    Money, Timestamp,
    id::{AttemptId, PaymentId, RecordId},
    provider::Provider,
};
use coffer_crypto::{Context, Key, Mac, mac};
use serde::{Deserialize, Serialize};

use super::Place;

/// Permission to open one record once, to send it to one provider for one attempt of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whose payment.
    pub place: Place,
    /// Which payment.
    pub payment: PaymentId,
    /// Which attempt: the key server opens one record for it, once.
    pub attempt: AttemptId,
    /// Which record.
    pub record: RecordId,
    /// How much.
    pub money: Money,
    /// To whom the card may be sent.
    pub destination: Provider,
    /// Until when.
    pub expires: Timestamp,
}

impl Order {
    /// Signs the order with the key that `keys` derived for this api certificate, whose serial is `key_id`.
    #[must_use]
    pub fn sign(self, key_id: String, key: &Key) -> SignedOrder {
        let mac = *mac(key, &self.context(&key_id)).as_bytes();
        SignedOrder {
            order: self,
            key_id,
            mac,
        }
    }

    fn context(&self, key_id: &str) -> Context {
        Context::new("coffer order v1")
            .text(key_id)
            .bytes(self.place.account.as_bytes())
            .text(self.place.mode.as_str())
            .bytes(self.payment.as_bytes())
            .bytes(self.attempt.as_bytes())
            .bytes(self.record.as_bytes())
            .number(self.money.amount())
            .text(self.money.currency().code())
            .text(self.destination.as_str())
            .number(self.expires.as_millis())
    }
}

/// An order and its MAC, as it travels. What is in it counts for nothing until [`SignedOrder::verify`] returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedOrder {
    order: Order,
    key_id: String,
    mac: [u8; 32],
}

impl SignedOrder {
    /// The serial of the api certificate whose key is said to have signed.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What it says, before anyone has proven it: only to find out which attempt and record it names.
    #[must_use]
    pub const fn unverified(&self) -> &Order {
        &self.order
    }

    /// The order, if `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &Key) -> Option<&Order> {
        let claimed = Mac::from_slice(&self.mac).ok()?;
        mac(key, &self.order.context(&self.key_id))
            .matches(&claimed)
            .then_some(&self.order)
    }
}
