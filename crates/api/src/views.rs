//! Public JSON: each object as callers see it. The mapping takes the engine's object apart field by field, so that a new
//! field of it cannot appear here by itself.

mod account;
mod alert;
mod api_key;
mod audit_record;
mod block;
mod cap;
mod card;
mod customer;
mod event;
mod intake;
mod oauth;
mod payment;
mod refund;
mod signing_key;
mod usage;
mod webhook_endpoint;

pub(crate) use account::AccountView;
pub(crate) use alert::AlertView;
pub(crate) use api_key::{ApiKeyUsesView, ApiKeyView, SuggestionView};
pub(crate) use audit_record::AuditRecordView;
pub(crate) use block::BlockView;
pub(crate) use cap::CapView;
pub(crate) use card::CardView;
pub(crate) use customer::CustomerView;
pub(crate) use event::EventView;
pub(crate) use intake::IntakeView;
pub(crate) use oauth::{
    AccessTokenView, AuthorizationServerView, IntrospectionView, OAuthErrorView,
};
pub(crate) use payment::PaymentView;
pub(crate) use refund::RefundView;
pub(crate) use signing_key::SigningKeyView;
pub(crate) use usage::UsageView;
pub use usage::usage_json;
pub(crate) use webhook_endpoint::WebhookEndpointView;

use coffer_core::Timestamp;
use coffer_engine::{ApiKey, KeySeen, KeyUses, Render, SigningKey, Text};
use serde::Serialize;
use utoipa::openapi::Object;

use crate::{
    problems::ProblemView,
    shape::{Component, object},
};

/// Somewhat more than a payment takes.
const OBJECT_BYTES: usize = 1024;

/// How the engine writes the answers that must survive a crash, and the events that it sends.
pub const RENDER: Render = Render {
    payment: |payment| json(&PaymentView::of(payment.clone())),
    refund: |refund| json(&RefundView::of(refund.clone())),
    customer: |customer| json(&CustomerView::of(customer.clone())),
    card: |card| json(&CardView::of(card.clone())),
    api_key: |key, now| json(&ApiKeyView::of(key.clone(), now, None, None)),
    signing_key: |key, now| json(&SigningKeyView::of(key.clone(), now, None)),
    webhook_endpoint: |endpoint| json(&WebhookEndpointView::of(endpoint.clone(), None)),
    event: |event| json(&EventView::of(event.clone())),
};

/// An API key as callers see it, for the operator's command line.
#[must_use]
pub fn api_key_json(key: &ApiKey, now: Timestamp, seen: KeySeen) -> serde_json::Value {
    serde_json::to_value(ApiKeyView::of(key.clone(), now, Some(seen), None)).unwrap_or_default()
}

/// What a key was used for, for the operator's command line.
#[must_use]
pub fn api_key_uses_json(uses: KeyUses) -> serde_json::Value {
    serde_json::to_value(ApiKeyUsesView::of(uses)).unwrap_or_default()
}

/// A signing key as callers see it, for the operator's command line.
#[must_use]
pub fn signing_key_json(key: SigningKey, now: Timestamp) -> serde_json::Value {
    serde_json::to_value(SigningKeyView::of(key, now, None)).unwrap_or_default()
}

/// A view as JSON.
pub(crate) fn json(view: &impl Serialize) -> Vec<u8> {
    // Most objects fit: memory that grows is copied and wiped each time.
    let mut text = Vec::with_capacity(OBJECT_BYTES);
    match serde_json::to_writer(&mut text, view) {
        Ok(()) => text,
        // Writing into memory cannot fail, and no view has a map with keys that are no text.
        Err(_) => Vec::new(),
    }
}

fn owned<const MAX: usize>(text: Option<Text<MAX>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

object! {
    /// That the API answers, and who asked.
    pub(crate) struct PingView as "Ping" {
        /// The account of the key.
        account: coffer_core::id::AccountId,
        /// The mode of the key.
        mode: coffer_core::Mode,
    }
}

/// Every object of the OpenAPI document that is written.
pub(crate) fn components() -> Vec<(&'static str, Object)> {
    fn entry<T: Component>() -> (&'static str, Object) {
        (T::NAME, T::object())
    }
    vec![
        entry::<PaymentView>(),
        entry::<payment::CardSummaryView>(),
        entry::<payment::NextActionView>(),
        entry::<payment::LastAttemptView>(),
        entry::<RefundView>(),
        entry::<CustomerView>(),
        entry::<CardView>(),
        entry::<WebhookEndpointView>(),
        entry::<webhook_endpoint::OldWebhookSecretView>(),
        entry::<EventView>(),
        entry::<event::EventObjectView>(),
        entry::<AlertView>(),
        entry::<BlockView>(),
        entry::<ApiKeyView>(),
        entry::<api_key::RateView>(),
        entry::<CapView>(),
        entry::<api_key::ObservedView>(),
        entry::<api_key::OldSecretView>(),
        entry::<api_key::LastUseView>(),
        entry::<ApiKeyUsesView>(),
        entry::<api_key::UseView>(),
        entry::<SuggestionView>(),
        entry::<SigningKeyView>(),
        entry::<signing_key::SigningKeyRotationView>(),
        entry::<AuditRecordView>(),
        entry::<audit_record::ActorView>(),
        entry::<UsageView>(),
        entry::<usage::MovedView>(),
        entry::<IntakeView>(),
        entry::<AccountView>(),
        entry::<PingView>(),
        entry::<AccessTokenView>(),
        entry::<IntrospectionView>(),
        entry::<AuthorizationServerView>(),
        entry::<OAuthErrorView>(),
        entry::<ProblemView>(),
    ]
}
