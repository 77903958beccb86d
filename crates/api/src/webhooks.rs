//! Handlers of webhook endpoints.

use coffer_core::{id::SigningKeyId, limits::DESCRIPTION_MAX, rotation::Overlap};
use coffer_engine::{
    Fresh, NewWebhookEndpoint, SecretRotation, Text, WebhookEndpointChange, WebhookEndpointState,
};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Change, EventTypes, Optional, Replace, Required, WebAddress, request},
    views::WebhookEndpointView,
};

const OBJECT: &str = "webhook_endpoint";

request! {
    /// Where to tell of what.
    NewWebhookEndpointRequest {
        /// Where to send events: https, or http for a receiver that has none.
        url: Required<WebAddress>,
        /// Which events to send; all when not said.
        events: Optional<EventTypes>,
        /// Your own words.
        description: Optional<Text<DESCRIPTION_MAX>>,
        /// The RSA signing key whose owner alone shall read the secret: it is shown as sealed_secret.
        seal_to: Optional<SigningKeyId>,
    }
}

request! {
    /// What to change of a webhook endpoint. What is left out stays.
    WebhookEndpointChangeRequest {
        /// A new address.
        url: Replace<WebAddress>,
        /// Other events; all when empty.
        events: Replace<EventTypes>,
        /// New words, or null for none.
        description: Change<Text<DESCRIPTION_MAX>>,
        /// Turn it on or off.
        state: Replace<WebhookEndpointState>,
    }
}

request! {
    /// How a webhook endpoint gets a new secret.
    WebhookSecretRotateRequest {
        /// How long the old secret signs beside the new one: 24 hours unless told, 0 to end it at once.
        overlap_hours: Optional<Overlap>,
        /// The RSA signing key whose owner alone shall read the secret: it is shown as sealed_secret.
        seal_to: Optional<SigningKeyId>,
    }
}

impl From<NewWebhookEndpointRequest> for NewWebhookEndpoint {
    fn from(request: NewWebhookEndpointRequest) -> Self {
        let NewWebhookEndpointRequest {
            url,
            events,
            description,
            seal_to,
        } = request;
        Self {
            url: url.0,
            events: events.map(|events| events.0).unwrap_or_default(),
            description,
            seal_to,
        }
    }
}

impl From<WebhookSecretRotateRequest> for SecretRotation {
    fn from(request: WebhookSecretRotateRequest) -> Self {
        let WebhookSecretRotateRequest {
            overlap_hours,
            seal_to,
        } = request;
        Self {
            overlap: overlap_hours.unwrap_or_default(),
            seal_to,
        }
    }
}

impl From<WebhookEndpointChangeRequest> for WebhookEndpointChange {
    fn from(request: WebhookEndpointChangeRequest) -> Self {
        let WebhookEndpointChangeRequest {
            url,
            events,
            description,
            state,
        } = request;
        Self {
            url: url.map(|address| address.0),
            events: events.map(|events| events.0),
            description,
            state,
        }
    }
}

/// Makes a webhook endpoint and shows its secret.
pub(crate) async fn webhook_endpoint_create(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let new = call.body::<NewWebhookEndpointRequest>()?.into();
    let done = api
        .engine()
        .webhook_endpoint_create(&call.caller, fresh, new)
        .await?;
    Ok(Answer::done(done, |(endpoint, secret)| {
        WebhookEndpointView::of(endpoint, Some(secret))
    }))
}

/// Shows a webhook endpoint.
pub(crate) async fn webhook_endpoint(api: Api, call: Call) -> Outcome {
    let endpoint = api
        .engine()
        .webhook_endpoint(&call.caller, call.id(OBJECT)?)
        .await?;
    Ok(Answer::json(200, &WebhookEndpointView::of(endpoint, None)))
}

/// Lists webhook endpoints, the newest first.
pub(crate) async fn webhook_endpoint_list(api: Api, call: Call) -> Outcome {
    let listed = api
        .engine()
        .webhook_endpoint_list(&call.caller, call.query.page()?)
        .await?;
    Ok(Answer::list(listed, |endpoint| {
        WebhookEndpointView::of(endpoint, None)
    }))
}

/// Changes a webhook endpoint.
pub(crate) async fn webhook_endpoint_update(api: Api, mut call: Call) -> Outcome {
    let (id, change) = (
        call.id(OBJECT)?,
        call.body::<WebhookEndpointChangeRequest>()?,
    );
    let endpoint = api
        .engine()
        .webhook_endpoint_update(&call.caller, id, change.into())
        .await?;
    Ok(Answer::json(200, &WebhookEndpointView::of(endpoint, None)))
}

/// Deletes a webhook endpoint.
pub(crate) async fn webhook_endpoint_delete(api: Api, call: Call) -> Outcome {
    api.engine()
        .webhook_endpoint_delete(&call.caller, call.id(OBJECT)?)
        .await?;
    Ok(Answer::empty())
}

/// Gives a webhook endpoint a new secret and shows it.
pub(crate) async fn webhook_endpoint_rotate_secret(
    api: Api,
    mut call: Call,
    fresh: Fresh,
) -> Outcome {
    let (id, request) = (call.id(OBJECT)?, call.body::<WebhookSecretRotateRequest>()?);
    let done = api
        .engine()
        .webhook_endpoint_rotate_secret(&call.caller, fresh, id, request.into())
        .await?;
    Ok(Answer::done(done, |(endpoint, secret)| {
        WebhookEndpointView::of(endpoint, Some(secret))
    }))
}

/// Ends the old secret of a webhook endpoint.
pub(crate) async fn webhook_endpoint_end_rotation(api: Api, call: Call, fresh: Fresh) -> Outcome {
    let done = api
        .engine()
        .webhook_endpoint_end_rotation(&call.caller, fresh, call.id(OBJECT)?)
        .await?;
    Ok(Answer::done(done, |endpoint| {
        WebhookEndpointView::of(endpoint, None)
    }))
}
