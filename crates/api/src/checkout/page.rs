//! The pages that a payer sees, one per state of a payment, and a small one for everything else.

use askama::Template;
use axum::response::Response;
use coffer_core::payment::PaymentStatus;
use coffer_crypto::random;
use coffer_engine::{CheckoutView, Error, LastTry, Payer};
use coffer_net::face::Fault;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, header::CONTENT_SECURITY_POLICY};

use super::{headers, html, words};
use crate::{Api, Settings};

/// Declares the pages: what all have in common, and what each has of its own.
macro_rules! pages {
    ($($(#[$meta:meta])* $page:ident = $path:literal { $($field:ident: $type:ty,)* })+) => {$(
        $(#[$meta])*
        #[derive(Template)]
        #[template(path = $path)]
        struct $page<'a> {
            base: &'a str,
            mode: &'static str,
            merchant: &'a str,
            amount: &'a str,
            description: Option<&'a str>,
            development: bool,
            nonce: &'a str,
            css: &'a str,
            css_integrity: &'a str,
            js: &'a str,
            js_integrity: &'a str,
            $($field: $type,)*
        }
    )+};
}

/// Fills a page from a [`Frame`] and its own fields.
macro_rules! render {
    ($page:ident, $frame:expr, { $($field:ident: $value:expr),* $(,)? }) => {{
        let Frame { api, nonce, view, base, amount } = $frame;
        let assets = api.assets();
        $page {
            base,
            mode: view.mode.as_str(),
            merchant: &view.merchant,
            amount,
            description: view.description.as_deref(),
            development: api.settings().development,
            nonce,
            css: assets.css.path(),
            css_integrity: assets.css.integrity(),
            js: assets.js.path(),
            js_integrity: assets.js.integrity(),
            $($field: $value,)*
        }
        .render()
    }};
}

pages! {
    /// A card is required.
    Form = "checkout/form.html" {
        fields_url: &'a str,
        fields_origin: &'a str,
        decline: Option<&'static str>,
        notice: Option<&'static str>,
        attempts_left: usize,
        test_cards: &'static [(&'static str, &'static str)],
        return_url: Option<&'a str>,
    }
    /// Its outcome is not known yet.
    Processing = "checkout/processing.html" {}
    /// The payer must pass a challenge.
    Action = "checkout/action.html" { action_url: &'a str, }
    /// It is paid, or its money is reserved, which is the same to the payer.
    Paid = "checkout/paid.html" {
        brand: &'static str,
        last4: &'a str,
        payment: &'a str,
        return_url: Option<&'a str>,
    }
    /// It cannot be paid any more.
    Over = "checkout/over.html" { reason: &'static str, return_url: Option<&'a str>, }
}

/// What all pages have in common.
struct Frame<'a> {
    api: &'a Api,
    nonce: &'a str,
    view: &'a CheckoutView,
    base: &'a str,
    amount: &'a str,
}

/// The page of a payment as it stands now.
pub(super) async fn of(api: &Api, payer: &Payer, secret: &str) -> Result<Response, Error> {
    let engine = api.engine();
    let mut view = engine.checkout_view(payer).await?;
    let mut grant = None;
    if view.status == PaymentStatus::RequiresCard {
        grant = match engine.intake_for_checkout(view.payment, secret).await {
            Ok(grant) => Some(grant),
            // Another tab was faster: this one shows what is.
            Err(Error::State { .. }) => None,
            Err(error) => return Err(error),
        };
        if grant.is_none() {
            view = engine.checkout_view(payer).await?;
        }
    }
    let base = format!("/c/{}/{secret}", view.payment);
    shown(
        api,
        &view,
        &base,
        grant.as_ref().map(|grant| grant.fields_url.as_str()),
    )
}

/// The page that shows this; a form needs the address of its card fields.
pub(super) fn shown(
    api: &Api,
    view: &CheckoutView,
    base: &str,
    fields_url: Option<&str>,
) -> Result<Response, Error> {
    let nonce = nonce()?;
    let page = written(api, view, base, fields_url, &nonce)?;
    Ok(with_policy(html(200, page), &nonce, api.settings()))
}

/// The text of the page that shows this.
pub(super) fn written(
    api: &Api,
    view: &CheckoutView,
    base: &str,
    fields_url: Option<&str>,
    nonce: &str,
) -> Result<String, Error> {
    let (amount, payment) = (words::amount(view.money), view.payment.to_string());
    let back = view.return_url.as_deref();
    let back = back.map(|url| words::with_payment(url, &payment));
    let frame = Frame {
        api,
        nonce,
        view,
        base,
        amount: &amount,
    };
    rendered(&frame, fields_url, &payment, back.as_deref())?.map_err(|error| {
        tracing::error!(%error, "a page cannot be written");
        Error::Defect
    })
}

fn rendered(
    frame: &Frame<'_>,
    fields_url: Option<&str>,
    payment: &str,
    return_url: Option<&str>,
) -> Result<askama::Result<String>, Error> {
    Ok(match frame.view.status {
        PaymentStatus::RequiresCard => {
            form(frame, fields_url.ok_or(Error::Unavailable)?, return_url)
        }
        PaymentStatus::Processing => render!(Processing, frame, {}),
        PaymentStatus::RequiresAction => match &frame.view.challenge_url {
            Some(url) => render!(Action, frame, { action_url: url }),
            None => render!(Processing, frame, {}),
        },
        PaymentStatus::Authorized | PaymentStatus::Captured | PaymentStatus::PartiallyRefunded => {
            paid(frame, payment, return_url)
        }
        PaymentStatus::Refunded
        | PaymentStatus::Declined
        | PaymentStatus::Canceled
        | PaymentStatus::Expired => {
            let reason = frame.view.status.as_str();
            render!(Over, frame, { reason: reason, return_url: return_url })
        }
    })
}

fn form(frame: &Frame<'_>, fields_url: &str, return_url: Option<&str>) -> askama::Result<String> {
    let (decline, notice) = match frame.view.last_try {
        None => (None, None),
        Some(LastTry::Declined(reason)) => (Some(words::declined(reason)), None),
        Some(LastTry::NotSent) => (None, Some(words::AGAIN)),
    };
    render!(Form, frame, {
        fields_url: fields_url,
        fields_origin: &frame.api.settings().fields_origin,
        decline: decline,
        notice: notice,
        attempts_left: frame.view.attempts_left,
        test_cards: words::TEST_CARDS,
        return_url: return_url,
    })
}

fn paid(frame: &Frame<'_>, payment: &str, return_url: Option<&str>) -> askama::Result<String> {
    let card = frame.view.card;
    let last4 = card.map(|card| card.last4.to_string()).unwrap_or_default();
    render!(Paid, frame, {
        brand: card.map_or("Card", |card| words::brand(card.brand)),
        last4: &last4,
        payment: payment,
        return_url: return_url,
    })
}

/// A value that nobody can guess, new for every page.
fn nonce() -> Result<String, Error> {
    let bytes: [u8; 16] = random().map_err(|_| Error::Unavailable)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

fn with_policy(mut response: Response, nonce: &str, settings: &Settings) -> Response {
    let policy = headers::page_policy(nonce, &settings.fields_origin);
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A page without a payment.
#[derive(Template)]
#[template(path = "checkout/note.html")]
struct NotePage<'a> {
    title: &'static str,
    text: &'static str,
    again: bool,
    nonce: &'a str,
    css: &'a str,
    css_integrity: &'a str,
}

/// What a page without a payment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    status: u16,
    title: &'static str,
    text: &'static str,
}

impl Note {
    /// There is no such page; a payment with another secret is as unknown as one that never was.
    pub(super) const UNKNOWN: Self = Self {
        status: 404,
        title: "This page does not exist",
        text: "Check that you opened the whole address of your payment, or go back to the shop and start again.",
    };
    /// There is such a page, for another method.
    pub(super) const METHOD: Self = Self {
        status: 405,
        title: "This page cannot do that",
        text: "Go back to the shop and open the address of your payment again.",
    };
    /// It may work in a moment.
    const BUSY: Self = Self {
        status: 503,
        title: "Please try again in a moment",
        text: "The payment page cannot be shown right now. Nothing was charged.",
    };
    /// A bug.
    pub(super) const DEFECT: Self = Self {
        status: 500,
        title: "Something went wrong",
        text: "The fault is on our side and has been noted. Load the page again to see how your payment stands.",
    };

    /// What a payer is told of an error.
    pub(super) const fn of(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::UNKNOWN,
            Error::TooManyFailures { .. }
            | Error::Held(_)
            | Error::Sealed
            | Error::Unavailable
            | Error::BudgetExhausted
            | Error::State { .. } => Self::BUSY,
            Error::Invalid { .. }
            | Error::AmountTooLarge { .. }
            | Error::CapExceeded(_)
            | Error::TokenUsed
            | Error::TokenExpired
            | Error::TokenUnknown
            | Error::CvcLost
            | Error::LimitReached { .. }
            | Error::ProviderMissing
            | Error::IdempotencyMismatch
            | Error::IdempotencyRunning
            | Error::Answered(_)
            | Error::Refused(_)
            | Error::BeyondCaller { .. }
            | Error::Unsigned
            | Error::Defect => Self::DEFECT,
        }
    }

    /// What whoever sent a request is told that the listener found at fault. No browser sends one.
    pub(super) fn of_fault(fault: Fault) -> Self {
        Self {
            status: fault.status().as_u16(),
            title: "This request cannot be answered",
            text: "Open the address of your payment in a browser.",
        }
    }

    /// The page. Without randomness it has no style.
    pub(super) fn answer(self, api: &Api) -> Response {
        let (nonce, css) = (nonce().unwrap_or_default(), &api.assets().css);
        let page = NotePage {
            title: self.title,
            text: self.text,
            again: self.status == Self::BUSY.status,
            nonce: &nonce,
            css: css.path(),
            css_integrity: css.integrity(),
        };
        let text = page.render().unwrap_or_else(|_| self.title.to_owned());
        with_policy(html(self.status, text), &nonce, api.settings())
    }
}
