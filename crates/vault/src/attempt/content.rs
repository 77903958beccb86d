//! What an attempt is asked to do, with everything checked that needs no store.

use std::sync::Arc;

use coffer_audit::Actor;
use coffer_core::{
    Mode, Money, Timestamp,
    id::{AttemptId, PaymentId, TokenId},
    limits::{ATTEMPT_DEADLINE_MS, URL_MAX},
    payment::Operation,
};
use coffer_crypto::{Context, digest};
use coffer_net::contract::{
    Peer, Place, Refusal,
    order::Order,
    vault::{Act, CardSource, Perform},
};

use crate::{Vault, journal, provider::Line};

/// A provider call that may be made.
pub(crate) struct Attempt {
    pub(crate) place: Place,
    pub(crate) payment: PaymentId,
    pub(crate) id: AttemptId,
    pub(crate) line: Arc<Line>,
    /// Nothing is sent after it.
    pub(crate) deadline: Timestamp,
    pub(crate) act: Act,
    /// Who asked.
    pub(crate) actor: Actor,
    /// What makes it the same attempt again. Deadline and order are left out: a repeat may carry newer ones.
    pub(crate) content: [u8; 32],
}

impl Attempt {
    /// Checks a request. The deadline is never later than the contract allows, whatever the caller's clock says.
    pub(crate) fn parse(vault: &Vault, peer: &Peer, request: Perform) -> Result<Self, Refusal> {
        let line = vault
            .parts
            .providers
            .find(request.place.mode, &request.provider)
            .ok_or(Refusal::ProviderMissing)?;
        check(&request)?;
        let latest = vault.parts.clock.now().plus_millis(ATTEMPT_DEADLINE_MS);
        Ok(Self {
            content: content(&request),
            place: request.place,
            payment: request.payment,
            id: request.attempt,
            line,
            deadline: request.deadline.min(latest),
            actor: journal::role(peer),
            act: request.act,
        })
    }

    /// Refuses what comes too late to be sent.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), Refusal> {
        let expired =
            self.deadline <= now || self.order().is_some_and(|order| order.expires <= now);
        if expired {
            Err(Refusal::OrderExpired)
        } else {
            Ok(())
        }
    }

    pub(super) fn operation(&self) -> Operation {
        operation(&self.act)
    }

    pub(super) fn money(&self) -> Option<Money> {
        money(&self.act)
    }

    /// The token that it uses up.
    pub(super) fn token(&self) -> Option<TokenId> {
        match &self.act {
            Act::Authorize {
                source: CardSource::Token { token, .. },
                ..
            } => Some(*token),
            Act::Authorize { .. } | Act::Capture { .. } | Act::Void { .. } | Act::Refund { .. } => {
                None
            }
        }
    }

    /// The attempt that reserved the money.
    pub(super) fn authorize(&self) -> Option<AttemptId> {
        authorize(&self.act)
    }

    fn order(&self) -> Option<&Order> {
        order(&self.act)
    }
}

fn check(request: &Perform) -> Result<(), Refusal> {
    if let Act::Authorize {
        source: CardSource::Test(_),
        ..
    } = &request.act
        && request.place.mode == Mode::Live
    {
        // In live mode there are no such tokens.
        return Err(Refusal::TokenUnknown);
    }
    if let Act::Authorize {
        return_url: Some(url),
        ..
    } = &request.act
        && url.len() > URL_MAX
    {
        return Err(Refusal::Malformed);
    }
    match order(&request.act) {
        Some(order) if !matches(order, request) => Err(Refusal::OrderInvalid),
        Some(_) | None => Ok(()),
    }
}

/// Whether the order is for exactly this. Its MAC is proven by `keys`; this keeps a true order from being used elsewhere.
fn matches(order: &Order, request: &Perform) -> bool {
    order.place == request.place
        && order.payment == request.payment
        && order.attempt == request.attempt
        && order.destination == request.provider
        && Some(order.money) == money(&request.act)
}

fn order(act: &Act) -> Option<&Order> {
    match act {
        Act::Authorize {
            source: CardSource::Token { order, .. } | CardSource::Kept { order },
            ..
        } => Some(order.unverified()),
        Act::Authorize {
            source: CardSource::Test(_),
            ..
        }
        | Act::Capture { .. }
        | Act::Void { .. }
        | Act::Refund { .. } => None,
    }
}

const fn operation(act: &Act) -> Operation {
    match act {
        Act::Authorize { .. } => Operation::Authorize,
        Act::Capture { .. } => Operation::Capture,
        Act::Void { .. } => Operation::Void,
        Act::Refund { .. } => Operation::Refund,
    }
}

const fn money(act: &Act) -> Option<Money> {
    match act {
        Act::Authorize { money, .. } | Act::Capture { money, .. } | Act::Refund { money, .. } => {
            Some(*money)
        }
        Act::Void { .. } => None,
    }
}

const fn authorize(act: &Act) -> Option<AttemptId> {
    match act {
        Act::Capture { authorize, .. }
        | Act::Void { authorize }
        | Act::Refund { authorize, .. } => Some(*authorize),
        Act::Authorize { .. } => None,
    }
}

fn content(request: &Perform) -> [u8; 32] {
    let mut context = Context::new("vault/attempt/v1")
        .bytes(request.place.account.as_bytes())
        .text(request.place.mode.as_str())
        .bytes(request.payment.as_bytes())
        .bytes(request.attempt.as_bytes())
        .text(request.provider.as_str())
        .text(operation(&request.act).as_str());
    if let Some(money) = money(&request.act) {
        context = context.number(money.amount()).text(money.currency().code());
    }
    if let Some(authorize) = authorize(&request.act) {
        context = context.bytes(authorize.as_bytes());
    }
    if let Act::Authorize {
        source, return_url, ..
    } = &request.act
    {
        context = match source {
            CardSource::Token { token, order } => context
                .text("token")
                .bytes(token.as_bytes())
                .bytes(order.unverified().record.as_bytes()),
            CardSource::Kept { order } => context
                .text("kept")
                .bytes(order.unverified().record.as_bytes()),
            CardSource::Test(test) => context.text("test").text(test.as_str()),
        };
        context = match return_url {
            Some(url) => context.number(1).text(url),
            None => context.number(0),
        };
    }
    digest(&[context.as_bytes()])
}
