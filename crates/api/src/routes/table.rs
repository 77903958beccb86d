//! The table of all routes of the API face.

use coffer_core::{
    api_key::KeyKind,
    id::{AlertId, ApiKeyId, BlockId, CardId, CustomerId, SigningKeyId, WebhookEndpointId},
    permission::{Permission, Resource},
};

use super::{AuditRule, Content, Door, Name, RouteRow, Verb};
use crate::{
    account::{AccountChangeRequest, account, account_update},
    alerts::{alert, alert_list},
    api_keys::{
        ApiKeyChangeRequest, ExposedKeyRequest, NewApiKeyRequest, RotateRequest, api_key,
        api_key_create, api_key_end_rotation, api_key_freeze, api_key_list, api_key_revoke,
        api_key_rotate, api_key_suggestion, api_key_tighten, api_key_unfreeze, api_key_update,
        api_key_uses, exposed_key_report,
    },
    audit_records::{audit_record_export, audit_record_list},
    auth::Rights,
    blocks::{block, block_lift, block_list},
    cards::{NewCardRequest, card_delete, card_keep, card_list},
    customers::{
        CustomerChangeRequest, NewCustomerRequest, customer, customer_create, customer_delete,
        customer_list, customer_update,
    },
    documents::{error_list, error_page, index, openapi_document},
    events::{event, event_list},
    intakes::{NewIntakeRequest, intake_create, intake_options},
    oauth::{
        IntrospectionRequest, RevocationRequest, TokenRequest, access_token_introspect,
        access_token_issue, access_token_revoke, authorization_server,
    },
    payments::{
        CaptureRequest, NewPaymentRequest, payment, payment_cancel, payment_capture,
        payment_create, payment_list,
    },
    ping::ping,
    query,
    refunds::{NewRefundRequest, refund, refund_create, refund_list},
    signing_keys::{
        NewSigningKeyRequest, SigningKeyRotateRequest, signing_key, signing_key_create,
        signing_key_list, signing_key_revoke, signing_key_rotate,
    },
    usage::usage_list,
    views::{
        AccessTokenView, AccountView, AlertView, ApiKeyUsesView, ApiKeyView, AuditRecordView,
        AuthorizationServerView, BlockView, CardView, CustomerView, EventView, IntakeView,
        IntrospectionView, PaymentView, PingView, RefundView, SigningKeyView, SuggestionView,
        UsageView, WebhookEndpointView,
    },
    webhooks::{
        NewWebhookEndpointRequest, WebhookEndpointChangeRequest, WebhookSecretRotateRequest,
        webhook_endpoint, webhook_endpoint_create, webhook_endpoint_delete,
        webhook_endpoint_end_rotation, webhook_endpoint_list, webhook_endpoint_rotate_secret,
        webhook_endpoint_update,
    },
};

const fn read(resource: Resource) -> Rights {
    Rights {
        kinds: &[KeyKind::Secret],
        permission: Some(Permission::read(resource)),
    }
}

const fn write(resource: Resource) -> Rights {
    Rights {
        kinds: &[KeyKind::Secret],
        permission: Some(Permission::write(resource)),
    }
}

/// Any key at all.
const ANY: Rights = Rights {
    kinds: KeyKind::ALL,
    permission: None,
};

macro_rules! name {
    ($verb:ident $method:literal $path:literal $handler:ident $summary:literal) => {
        Name {
            verb: Verb::$verb,
            path: $path,
            route: concat!($method, " ", $path),
            operation: stringify!($handler),
            summary: $summary,
        }
    };
}

macro_rules! get {
    ($path:literal, $handler:ident, $rights:expr, $summary:literal) => {
        RouteRow::new(name!(Get "GET" $path $handler $summary), AuditRule::Grouped, Door::Key($rights, |api, call| Box::pin($handler(api, call))))
    };
}

macro_rules! post {
    ($path:literal, $handler:ident, $rights:expr, $summary:literal) => {
        RouteRow::new(
            name!(Post "POST" $path $handler $summary),
            AuditRule::InTransaction,
            Door::Post($rights, |api, call, fresh| Box::pin($handler(api, call, fresh))),
        )
    };
}

macro_rules! patch {
    ($path:literal, $handler:ident, $rights:expr, $summary:literal) => {
        RouteRow::new(name!(Patch "PATCH" $path $handler $summary), AuditRule::InTransaction, Door::Key($rights, |api, call| Box::pin($handler(api, call))))
    };
}

macro_rules! delete {
    ($path:literal, $handler:ident, $rights:expr, $summary:literal) => {
        RouteRow::new(name!(Delete "DELETE" $path $handler $summary), AuditRule::InTransaction, Door::Key($rights, |api, call| Box::pin($handler(api, call))))
    };
}

macro_rules! oauth {
    ($path:literal, $handler:ident, $audit:ident, $summary:literal) => {
        RouteRow::new(name!(Post "POST" $path $handler $summary), AuditRule::$audit, Door::Client(|api, call| Box::pin($handler(api, call))))
    };
}

macro_rules! public {
    ($path:literal, $handler:ident, $summary:literal) => {
        RouteRow::new(name!(Get "GET" $path $handler $summary), AuditRule::UsageOnly, Door::Public(|api, incoming| Box::pin($handler(api, incoming))))
    };
}

static ROUTES: &[RouteRow] = &[
    post!("/v1/payments", payment_create, write(Resource::Payments), "Make a payment.")
        .takes::<NewPaymentRequest>()
        .yields::<PaymentView>(&[201, 202])
        .located("/v1/payments")
        .moving_money(),
    get!("/v1/payments", payment_list, read(Resource::Payments), "List payments, the newest first.")
        .lists::<PaymentView>(query::PAYMENTS),
    get!("/v1/payments/{id}", payment, read(Resource::Payments), "Show a payment.").yields::<PaymentView>(&[200]),
    post!("/v1/payments/{id}/capture", payment_capture, write(Resource::Payments), "Take the money of an authorized payment, or a part of it.")
        .takes::<CaptureRequest>()
        .yields::<PaymentView>(&[200, 202])
        .moving_money(),
    post!("/v1/payments/{id}/cancel", payment_cancel, write(Resource::Payments), "Give up a payment, or void its authorization.")
        .yields::<PaymentView>(&[200, 202])
        .moving_money(),
    post!("/v1/refunds", refund_create, write(Resource::Refunds), "Give captured money back.")
        .takes::<NewRefundRequest>()
        .yields::<RefundView>(&[201, 202])
        .located("/v1/refunds")
        .of("payment")
        .moving_money(),
    get!("/v1/refunds", refund_list, read(Resource::Refunds), "List refunds, the newest first.")
        .lists::<RefundView>(query::REFUNDS)
        .of("payment"),
    get!("/v1/refunds/{id}", refund, read(Resource::Refunds), "Show a refund.").yields::<RefundView>(&[200]),
    RouteRow::new(
        name!(Post "POST" "/v1/intakes" intake_create "Permit the deposit of one card, with a publishable key or a checkout secret."),
        AuditRule::UsageOnly,
        Door::Intake(|api, caller, incoming| Box::pin(intake_create(api, caller, incoming))),
    )
    .takes::<NewIntakeRequest>()
    .yields::<IntakeView>(&[201]),
    RouteRow::new(
        name!(Options "OPTIONS" "/v1/intakes" intake_options "Answer a browser's preflight request."),
        AuditRule::UsageOnly,
        Door::Public(|api, incoming| Box::pin(intake_options(api, incoming))),
    ),
    post!("/v1/customers", customer_create, write(Resource::Customers), "Make a customer.")
        .takes::<NewCustomerRequest>()
        .yields::<CustomerView>(&[201])
        .located("/v1/customers"),
    get!("/v1/customers", customer_list, read(Resource::Customers), "List customers, the newest first.")
        .lists::<CustomerView>(query::page::<CustomerId>()),
    get!("/v1/customers/{id}", customer, read(Resource::Customers), "Show a customer.").yields::<CustomerView>(&[200]),
    patch!("/v1/customers/{id}", customer_update, write(Resource::Customers), "Change a customer.")
        .takes::<CustomerChangeRequest>()
        .yields::<CustomerView>(&[200]),
    delete!("/v1/customers/{id}", customer_delete, write(Resource::Customers), "Delete a customer and the cards kept with it."),
    post!("/v1/customers/{id}/cards", card_keep, write(Resource::Cards), "Keep the card of a token with a customer.")
        .takes::<NewCardRequest>()
        .yields::<CardView>(&[201]),
    get!("/v1/customers/{id}/cards", card_list, read(Resource::Cards), "List the cards kept with a customer.")
        .lists::<CardView>(query::page::<CardId>()),
    delete!("/v1/cards/{id}", card_delete, write(Resource::Cards), "Delete a kept card."),
    post!("/v1/webhook_endpoints", webhook_endpoint_create, write(Resource::Webhooks), "Make a webhook endpoint; its secret is shown once.")
        .takes::<NewWebhookEndpointRequest>()
        .yields::<WebhookEndpointView>(&[201])
        .located("/v1/webhook_endpoints")
        .showing_secret(),
    get!("/v1/webhook_endpoints", webhook_endpoint_list, read(Resource::Webhooks), "List webhook endpoints, the newest first.")
        .lists::<WebhookEndpointView>(query::page::<WebhookEndpointId>()),
    get!("/v1/webhook_endpoints/{id}", webhook_endpoint, read(Resource::Webhooks), "Show a webhook endpoint.")
        .yields::<WebhookEndpointView>(&[200]),
    patch!("/v1/webhook_endpoints/{id}", webhook_endpoint_update, write(Resource::Webhooks), "Change a webhook endpoint.")
        .takes::<WebhookEndpointChangeRequest>()
        .yields::<WebhookEndpointView>(&[200]),
    delete!("/v1/webhook_endpoints/{id}", webhook_endpoint_delete, write(Resource::Webhooks), "Delete a webhook endpoint."),
    post!("/v1/webhook_endpoints/{id}/rotate_secret", webhook_endpoint_rotate_secret, write(Resource::Webhooks), "Give a webhook endpoint a new secret, shown once; the old one signs beside it for a while.")
        .takes::<WebhookSecretRotateRequest>()
        .yields::<WebhookEndpointView>(&[200])
        .showing_secret(),
    post!("/v1/webhook_endpoints/{id}/end_rotation", webhook_endpoint_end_rotation, write(Resource::Webhooks), "End the old secret of a webhook endpoint before its time.")
        .yields::<WebhookEndpointView>(&[200]),
    get!("/v1/events", event_list, read(Resource::Events), "List events, the oldest first.")
        .lists::<EventView>(query::EVENTS),
    get!("/v1/events/{id}", event, read(Resource::Events), "Show an event.").yields::<EventView>(&[200]),
    get!("/v1/alerts", alert_list, read(Resource::Events), "List alerts, the newest first.")
        .lists::<AlertView>(query::page::<AlertId>()),
    get!("/v1/alerts/{id}", alert, read(Resource::Events), "Show an alert.").yields::<AlertView>(&[200]),
    get!("/v1/blocks", block_list, read(Resource::ApiKeys), "List the API keys and payers that are slowed or blocked, the newest first.")
        .lists::<BlockView>(query::page::<BlockId>()),
    get!("/v1/blocks/{id}", block, read(Resource::ApiKeys), "Show who is slowed or blocked, and why.").yields::<BlockView>(&[200]),
    delete!("/v1/blocks/{id}", block_lift, write(Resource::ApiKeys), "Lift a block before its time. An API key does not lift its own."),
    post!("/v1/api_keys", api_key_create, write(Resource::ApiKeys), "Make an API key, which is shown once; it gets no more than the caller's key has.")
        .takes::<NewApiKeyRequest>()
        .yields::<ApiKeyView>(&[201])
        .located("/v1/api_keys")
        .showing_secret(),
    get!("/v1/api_keys", api_key_list, read(Resource::ApiKeys), "List API keys, the newest first.")
        .lists::<ApiKeyView>(query::page::<ApiKeyId>()),
    get!("/v1/api_keys/{id}", api_key, read(Resource::ApiKeys), "Show an API key.").yields::<ApiKeyView>(&[200]),
    patch!("/v1/api_keys/{id}", api_key_update, write(Resource::ApiKeys), "Change what an API key may do.")
        .takes::<ApiKeyChangeRequest>()
        .yields::<ApiKeyView>(&[200]),
    get!("/v1/api_keys/{id}/uses", api_key_uses, read(Resource::ApiKeys), "Show from where both secrets of an API key were used, and what observed limits would have refused.")
        .yields::<ApiKeyUsesView>(&[200]),
    get!("/v1/api_keys/{id}/suggestion", api_key_suggestion, read(Resource::ApiKeys), "Show the least rights, addresses and rate that an API key needed in the last 30 days.")
        .yields::<SuggestionView>(&[200]),
    post!("/v1/api_keys/{id}/tighten", api_key_tighten, write(Resource::ApiKeys), "Give an API key no more than it needed in the last 30 days.")
        .yields::<ApiKeyView>(&[200]),
    post!("/v1/api_keys/{id}/rotate", api_key_rotate, write(Resource::ApiKeys), "Give an API key a new secret, shown once; the old one works for a while.")
        .takes::<RotateRequest>()
        .yields::<ApiKeyView>(&[200])
        .showing_secret(),
    post!("/v1/api_keys/{id}/end_rotation", api_key_end_rotation, write(Resource::ApiKeys), "End the old secret of an API key before its time.")
        .yields::<ApiKeyView>(&[200]),
    post!("/v1/api_keys/{id}/freeze", api_key_freeze, write(Resource::ApiKeys), "Stop an API key until it is unfrozen.")
        .yields::<ApiKeyView>(&[200]),
    post!("/v1/api_keys/{id}/unfreeze", api_key_unfreeze, write(Resource::ApiKeys), "Let a frozen API key call again.")
        .yields::<ApiKeyView>(&[200]),
    post!("/v1/api_keys/{id}/revoke", api_key_revoke, write(Resource::ApiKeys), "Revoke an API key, for ever.")
        .yields::<ApiKeyView>(&[200]),
    post!("/v1/signing_keys", signing_key_create, write(Resource::ApiKeys), "Register a signing key, or have one made, whose private half is shown once.")
        .takes::<NewSigningKeyRequest>()
        .yields::<SigningKeyView>(&[201])
        .located("/v1/signing_keys")
        .showing_secret(),
    get!("/v1/signing_keys", signing_key_list, read(Resource::ApiKeys), "List signing keys, the newest first.")
        .lists::<SigningKeyView>(query::page::<SigningKeyId>()),
    get!("/v1/signing_keys/{id}", signing_key, read(Resource::ApiKeys), "Show a signing key.").yields::<SigningKeyView>(&[200]),
    post!("/v1/signing_keys/{id}/rotate", signing_key_rotate, write(Resource::ApiKeys), "Give a signing key a successor; the old one works for a while.")
        .takes::<SigningKeyRotateRequest>()
        .yields::<SigningKeyView>(&[201])
        .located("/v1/signing_keys")
        .showing_secret(),
    post!("/v1/signing_keys/{id}/revoke", signing_key_revoke, write(Resource::ApiKeys), "Revoke a signing key, for ever.")
        .yields::<SigningKeyView>(&[200]),
    RouteRow::new(
        name!(Post "POST" "/v1/exposed_keys" exposed_key_report "Report an API key that was found where it should not be; if it works, it is frozen at once."),
        AuditRule::InTransaction,
        Door::Public(|api, incoming| Box::pin(exposed_key_report(api, incoming))),
    )
    .takes::<ExposedKeyRequest>(),
    get!("/v1/usage", usage_list, read(Resource::Usage), "List usage by key, endpoint and hour, the newest hour first.")
        .lists::<UsageView>(query::USAGE),
    get!("/v1/audit_records", audit_record_list, read(Resource::Audit), "List what was done, read and refused, the newest first. Itself on record before it is answered.")
        .audited(AuditRule::Strict)
        .lists::<AuditRecordView>(query::RECORDS),
    get!("/v1/audit_records/export", audit_record_export, read(Resource::Audit), "Export what was done, read and refused as JSON Lines or CSV, 1,000 records at a time, the newest first. Itself on record before it is answered.")
        .audited(AuditRule::Strict)
        .exports(query::RECORDS_EXPORT),
    get!("/v1/account", account, read(Resource::ApiKeys), "Show the account of the key.").yields::<AccountView>(&[200]),
    patch!("/v1/account", account_update, write(Resource::ApiKeys), "Change the settings of the account.")
        .takes::<AccountChangeRequest>()
        .yields::<AccountView>(&[200]),
    get!("/v1/ping", ping, ANY, "Ask whether the API answers and the key works.")
        .audited(AuditRule::UsageOnly)
        .yields::<PingView>(&[200]),
    oauth!("/oauth/token", access_token_issue, InTransaction, "Issue an access token to a secret key, for a while and with no more rights than the key has.")
        .takes::<TokenRequest>()
        .yields::<AccessTokenView>(&[200]),
    oauth!("/oauth/revoke", access_token_revoke, InTransaction, "Revoke an access token of the key.")
        .takes::<RevocationRequest>()
        .serves(Content::Empty),
    oauth!("/oauth/introspect", access_token_introspect, Grouped, "Show what an access token of the account may do.")
        .takes::<IntrospectionRequest>()
        .yields::<IntrospectionView>(&[200]),
    public!("/.well-known/oauth-authorization-server", authorization_server, "Show what OAuth clients need to know.")
        .yields::<AuthorizationServerView>(&[200]),
    public!("/", index, "Show where to begin.").serves(Content::Json),
    public!("/openapi.json", openapi_document, "Show this document.").serves(Content::Json),
    public!("/docs/errors", error_list, "List the codes of errors.").serves(Content::Page),
    public!("/docs/errors/{code}", error_page, "Explain a code.").serves(Content::Page),
];

/// Every route, in the order of the documentation.
#[must_use]
pub fn routes() -> &'static [RouteRow] {
    ROUTES
}
