//! Handlers of intakes, which a browser may call from the account's own pages.

use coffer_core::id::PaymentId;
use coffer_engine::Caller;
use http::{
    HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
    },
};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Incoming,
    fields::{CheckoutSecret, Optional, request},
    problems::{Code, Problem, Stop},
    views::IntakeView,
};

request! {
    /// For whom the intake is: nothing with a publishable key, both fields without one.
    NewIntakeRequest {
        /// The payment's id, from the checkout_url.
        payment: Optional<PaymentId>,
        /// The secret from the checkout_url.
        checkout_secret: Optional<CheckoutSecret>,
    }
}

/// Makes an intake, for the page that a publishable key's request comes from, or for a checkout page by its secret.
pub(crate) async fn intake_create(
    api: Api,
    caller: Option<Caller>,
    mut incoming: Incoming,
) -> Outcome {
    let request = incoming.body::<NewIntakeRequest>()?;
    let grant = match (&caller, request.payment, request.checkout_secret) {
        (Some(caller), None, None) => {
            let origin = incoming
                .origin
                .as_deref()
                .ok_or(Problem::new(Code::OriginMissing))?;
            api.engine().intake_create(caller, origin).await?
        }
        (None, Some(payment), Some(secret)) => {
            api.engine()
                .intake_for_checkout(payment, text(&secret)?)
                .await?
        }
        (Some(_), Some(_), _) => return Err(Problem::field_unknown("payment").into()),
        (Some(_), _, Some(_)) => return Err(Problem::field_unknown("checkout_secret").into()),
        (None, None, None) => return Err(Problem::new(Code::KeyMissing).into()),
        (None, None, Some(_)) => return Err(Problem::field_missing("payment").into()),
        (None, Some(_), None) => return Err(Problem::field_missing("checkout_secret").into()),
    };
    Ok(readable_by(
        incoming.origin.as_deref(),
        Answer::json(201, &IntakeView::of(grant)),
    ))
}

fn text(secret: &CheckoutSecret) -> Result<&str, Stop> {
    std::str::from_utf8(secret.0.expose()).map_err(|_| Problem::not_found("payment").into())
}

/// Tells a browser that it may ask. Whether the page may read the answer is decided by the answer.
pub(crate) async fn intake_options(_api: Api, incoming: Incoming) -> Outcome {
    let answer = readable_by(incoming.origin.as_deref(), Answer::empty());
    Ok(answer
        .with(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        )
        .with(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type"),
        )
        .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")))
}

/// Lets the page of this origin read the answer. The account lists the origin, or a preflight tells nothing yet.
fn readable_by(origin: Option<&str>, answer: Answer) -> Answer {
    let answer = answer.with(VARY, HeaderValue::from_static("Origin"));
    match origin.map(HeaderValue::try_from) {
        Some(Ok(origin)) => answer.with(ACCESS_CONTROL_ALLOW_ORIGIN, origin).with(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("coffer-request-id"),
        ),
        Some(Err(_)) | None => answer,
    }
}
