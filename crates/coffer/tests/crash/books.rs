//! The provider's ledger beside what the API says, and whether they agree with each other and with what clients were told.

use std::collections::BTreeMap;

use coffer_testkit::{Coffer, Merchant};
use serde_json::Value;

use crate::load::{Fact, Journal};

/// Both sides, read at one time.
pub(crate) struct Books {
    pub(crate) ledger: Vec<Value>,
    payments: Vec<Value>,
    refunds: Vec<Value>,
}

/// What the provider did for one payment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Moved {
    authorized: Vec<i64>,
    captured: Vec<i64>,
    voided: usize,
    refunded: Vec<i64>,
}

impl Books {
    /// Reads both sides; none while the API cannot say.
    pub(crate) async fn read(coffer: &Coffer, shops: &[Merchant]) -> Option<Self> {
        let (mut payments, mut refunds) = (Vec::new(), Vec::new());
        for shop in shops {
            payments.extend(list(shop, "/v1/payments").await?);
            refunds.extend(list(shop, "/v1/refunds").await?);
        }
        Some(Self {
            ledger: coffer.ledger().await,
            payments,
            refunds,
        })
    }

    /// Whether every payment and refund has its outcome. A payment that takes its money at once is not final while the money
    /// is only reserved.
    pub(crate) fn all_final(&self) -> bool {
        let open = |payment: &Value| match payment["status"].as_str().unwrap() {
            "authorized" => payment["capture"] == "automatic",
            "processing" | "requires_card" | "requires_action" => true,
            _ => false,
        };
        !self.payments.iter().any(open)
            && !self
                .refunds
                .iter()
                .any(|refund| refund["status"] == "processing")
    }

    /// # Panics
    /// When the sides do not agree; with every difference.
    pub(crate) fn compare(&self, journal: &Journal) {
        let mut faults = Vec::new();
        let moved = self.moved(&mut faults);
        for (amount, done) in &moved {
            self.compare_payment(*amount, done, &mut faults);
        }
        for payment in &self.payments {
            let amount = payment["amount"].as_i64().unwrap();
            if !moved.contains_key(&amount) {
                self.compare_payment(amount, &Moved::default(), &mut faults);
            }
        }
        self.compare_facts(&journal.facts(), &moved, &mut faults);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// What moved, by the amount of the order. Each order has its own.
    fn moved(&self, faults: &mut Vec<String>) -> BTreeMap<i64, Moved> {
        let mut orders: BTreeMap<&str, i64> = BTreeMap::new();
        let mut moved: BTreeMap<i64, Moved> = BTreeMap::new();
        let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &self.ledger {
            let text = |member: &str| line[member].as_str().unwrap();
            let amount = line["amount"].as_i64().unwrap();
            *keys.entry(text("idempotency_key")).or_default() += 1;
            if text("operation") == "authorize" {
                orders.insert(text("authorization_id"), amount);
            }
            let order = moved.entry(orders[text("authorization_id")]).or_default();
            match (text("operation"), text("status")) {
                ("authorize", "approved") => order.authorized.push(amount),
                ("capture", "succeeded") => order.captured.push(amount),
                ("void", "succeeded") => order.voided += 1,
                ("refund", "succeeded") => order.refunded.push(amount),
                ("authorize", "declined") => {}
                (_, _) => faults.push(format!("the provider did not do as it was asked: {line}")),
            }
        }
        for (key, times) in keys {
            if times > 1 {
                faults.push(format!("attempt {key} is in the ledger {times} times"));
            }
        }
        moved
    }

    /// The payments of one order, of which at most one may have got anywhere, beside what moved for it.
    fn compare_payment(&self, amount: i64, done: &Moved, faults: &mut Vec<String>) {
        let of_order: Vec<&Value> = self
            .payments
            .iter()
            .filter(|payment| payment["amount"] == amount)
            .collect();
        let expected: Vec<Moved> = of_order
            .iter()
            .map(|payment| self.expected(payment))
            .filter(|expected| *expected != Moved::default())
            .collect();
        let agrees = match expected.as_slice() {
            [] => *done == Moved::default(),
            [one] => one == done,
            [_, _, ..] => false,
        };
        if of_order.is_empty() || !agrees {
            let of_order: Vec<String> =
                of_order.iter().map(|payment| payment.to_string()).collect();
            faults.push(format!(
                "order of {amount}: the provider did {done:?}, the API has [{}]",
                of_order.join(", ")
            ));
        }
    }

    /// What the provider must have done for a payment that stands so.
    fn expected(&self, payment: &Value) -> Moved {
        let number = |member: &str| payment[member].as_i64().unwrap();
        let status = payment["status"].as_str().unwrap();
        // Canceled before anything was sent, or by a void.
        let voided = status == "canceled" && payment["last_attempt"]["operation"] == "void";
        let authorized = voided
            || matches!(
                status,
                "authorized" | "captured" | "partially_refunded" | "refunded"
            );
        let captured = number("amount_captured");
        let mut refunded: Vec<i64> = self
            .refunds
            .iter()
            .filter(|refund| refund["payment"] == payment["id"] && refund["status"] == "succeeded")
            .map(|refund| refund["amount"].as_i64().unwrap())
            .collect();
        refunded.reverse();
        assert_eq!(
            refunded.iter().sum::<i64>(),
            number("amount_refunded"),
            "{payment}"
        );
        Moved {
            authorized: authorized.then(|| number("amount")).into_iter().collect(),
            captured: (captured > 0).then_some(captured).into_iter().collect(),
            voided: usize::from(voided),
            refunded,
        }
    }

    /// What clients were told is still so, and the provider did it once.
    fn compare_facts(
        &self,
        facts: &[Fact],
        moved: &BTreeMap<i64, Moved>,
        faults: &mut Vec<String>,
    ) {
        let by_id: BTreeMap<&str, &Value> = self
            .payments
            .iter()
            .map(|payment| (payment["id"].as_str().unwrap(), payment))
            .collect();
        let nothing = Moved::default();
        for fact in facts {
            let (Fact::Authorized { payment }
            | Fact::Declined { payment }
            | Fact::Captured { payment, .. }
            | Fact::Canceled { payment }
            | Fact::Refunded { payment, .. }) = fact;
            let done = by_id
                .get(payment.as_str())
                .and_then(|payment| moved.get(&payment["amount"].as_i64().unwrap()))
                .unwrap_or(&nothing);
            let kept = match fact {
                Fact::Authorized { .. } => done.authorized.len() == 1,
                Fact::Declined { .. } => done.authorized.is_empty(),
                Fact::Captured { amount, .. } => done.captured == [*amount],
                Fact::Canceled { .. } => done.voided == 1 && done.captured.is_empty(),
                Fact::Refunded { amount, .. } => {
                    done.refunded.iter().filter(|one| *one == amount).count() == 1
                }
            };
            if !kept || !by_id.contains_key(payment.as_str()) {
                faults.push(format!(
                    "{fact:?} was acknowledged; the provider did {done:?}"
                ));
            }
        }
    }
}

/// All pages of a list, the newest first.
async fn list(shop: &Merchant, path: &str) -> Option<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |last| {
            format!("&after={}", last["id"].as_str().unwrap())
        });
        let page = shop
            .try_call("GET", &format!("{path}?limit=100{after}"), &[], None)
            .await
            .ok()?;
        assert_eq!(page.status, 200, "{}", page.text);
        all.extend(page.json["data"].as_array().unwrap().iter().cloned());
        if page.json["has_more"] == false {
            return Some(all);
        }
    }
}
