//! Errors of the fields face: a stable code each, with a title, advice and a page. RFC 9457 in JSON. No input is echoed.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use coffer_core::{id::RequestId, words};
use coffer_net::face::Fault;
use serde_json::json;

/// Seconds after which trying again makes sense.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

words! {
    /// What went wrong.
    pub enum Code {
        /// Digits are missing.
        NumberIncomplete = "number_incomplete",
        /// No card has this number.
        NumberInvalid = "number_invalid",
        /// A card of a brand that is not known here.
        BrandNotSupported = "brand_not_supported",
        /// No month, or no year.
        ExpiryInvalid = "expiry_invalid",
        /// The card is over.
        ExpiryPast = "expiry_past",
        /// Not the brand's number of digits.
        CvcInvalid = "cvc_invalid",
        /// No ticket, or not ours.
        TicketInvalid = "ticket_invalid",
        /// The ticket's time is over.
        TicketExpired = "ticket_expired",
        /// Used for another card.
        TicketUsed = "ticket_used",
        /// Too many cards with one ticket.
        TicketTriesExceeded = "ticket_tries_exceeded",
        /// From another site.
        OriginNotAllowed = "origin_not_allowed",
        /// Not the JSON that is wanted.
        RequestMalformed = "request_malformed",
        /// Too long a body.
        RequestTooLarge = "request_too_large",
        /// The body did not arrive.
        RequestTimeout = "request_timeout",
        /// Not JSON at all.
        ContentTypeNotSupported = "content_type_not_supported",
        /// The head of the request is not HTTP.
        HeadMalformed = "head_malformed",
        /// Not exactly one host, or not ours.
        HostWrong = "host_wrong",
        /// For the host of another face.
        Misdirected = "misdirected",
        /// Too long an address.
        AddressTooLong = "address_too_long",
        /// Too large a head.
        HeadTooLarge = "head_too_large",
        /// A header asks for another verb.
        MethodOverrideNotAllowed = "method_override_not_allowed",
        /// No such address.
        NotFound = "not_found",
        /// Not this verb.
        MethodNotAllowed = "method_not_allowed",
        /// Too many reports in a minute.
        TooManyReports = "too_many_reports",
        /// Not now.
        Unavailable = "unavailable",
        /// A bug.
        InternalError = "internal_error",
    }
}

words! {
    /// A field of a deposit.
    pub enum Field {
        /// The card number.
        Number = "number",
        /// The month.
        ExpMonth = "exp_month",
        /// The security code.
        Cvc = "cvc",
    }
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::NumberIncomplete
            | Self::NumberInvalid
            | Self::BrandNotSupported
            | Self::ExpiryInvalid
            | Self::ExpiryPast
            | Self::CvcInvalid
            | Self::RequestMalformed
            | Self::HeadMalformed
            | Self::HostWrong
            | Self::MethodOverrideNotAllowed => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::AddressTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TicketInvalid | Self::TicketExpired | Self::OriginNotAllowed => {
                StatusCode::FORBIDDEN
            }
            Self::TicketUsed => StatusCode::CONFLICT,
            Self::TicketTriesExceeded | Self::TooManyReports => StatusCode::TOO_MANY_REQUESTS,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ContentTypeNotSupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::NumberIncomplete => "The card number is incomplete",
            Self::NumberInvalid => "The card number is not valid",
            Self::BrandNotSupported => "This card is not accepted",
            Self::ExpiryInvalid => "The expiry date is not valid",
            Self::ExpiryPast => "The card has expired",
            Self::CvcInvalid => "The security code is not valid",
            Self::TicketInvalid => "The intake ticket is not valid",
            Self::TicketExpired => "The intake ticket has expired",
            Self::TicketUsed => "The intake ticket was used for another card",
            Self::TicketTriesExceeded => "Too many cards were tried with this intake ticket",
            Self::OriginNotAllowed => "A page of another site may not deposit a card",
            Self::RequestMalformed => "The request cannot be read",
            Self::RequestTooLarge => "The request is too large",
            Self::RequestTimeout => "The request did not arrive in time",
            Self::ContentTypeNotSupported => "The request is not JSON",
            Self::HeadMalformed => "The request is not written as HTTP demands",
            Self::HostWrong => "The request names no host of this server, or more than one",
            Self::Misdirected => "The request is for a host that is not answered here",
            Self::AddressTooLong => "The address is too long",
            Self::HeadTooLarge => "The headers are too large",
            Self::MethodOverrideNotAllowed => "A header asks for another method",
            Self::NotFound => "There is nothing at this address",
            Self::MethodNotAllowed => "This address does not know this method",
            Self::TooManyReports => "There are too many reports right now",
            Self::Unavailable => "Cards cannot be taken right now",
            Self::InternalError => "Something failed on our side",
        }
    }

    /// What to do about it.
    const fn detail(self) -> &'static str {
        match self {
            Self::NumberIncomplete => "Enter all digits of the card number.",
            Self::NumberInvalid => "Compare the card number with the card.",
            Self::BrandNotSupported => "Use a card of another brand.",
            Self::ExpiryInvalid => "Give exp_month from 1 to 12 and exp_year with four digits.",
            Self::ExpiryPast => "Use a card that is still valid.",
            Self::CvcInvalid => {
                "Enter the three digits on the back of the card; American Express: the four on its front."
            }
            Self::TicketInvalid => {
                "Open the page again, or ask for a new intake and send its ticket in Coffer-Intake."
            }
            Self::TicketExpired | Self::TicketUsed | Self::TicketTriesExceeded => {
                "Open the page again, or ask for a new intake."
            }
            Self::OriginNotAllowed => "Embed the fields page; it deposits the card itself.",
            Self::RequestMalformed => {
                "Send number, exp_month, exp_year and cvc as JSON; number and cvc as plain strings."
            }
            Self::RequestTooLarge => "Send at most 8 KiB; reports at most 16 KiB.",
            Self::RequestTimeout => "Send the whole request at once.",
            Self::ContentTypeNotSupported => {
                "Send Content-Type: application/json; reports as browsers send them."
            }
            Self::HeadMalformed => "Use a browser, or an ordinary HTTP client.",
            Self::HostWrong => "Send one Host header, with the host of this address.",
            Self::Misdirected => "Send the request on a connection of its own.",
            Self::AddressTooLong => "Send at most 8 KiB of path and query.",
            Self::HeadTooLarge => "Send at most 64 headers and 16 KiB of them.",
            Self::MethodOverrideNotAllowed => "Send the method itself.",
            Self::NotFound => "Check the address.",
            Self::MethodNotAllowed => "The Allow header names the methods of this address.",
            Self::TooManyReports => "Nothing is lost: the reports that came before say the same.",
            Self::Unavailable => "Nothing was stored. Try again in a few seconds.",
            Self::InternalError => "Try again, and report the request_id if it stays.",
        }
    }
}

impl From<Fault> for Code {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed => Self::HeadMalformed,
            Fault::HostWrong => Self::HostWrong,
            Fault::Misdirected => Self::Misdirected,
            Fault::AddressTooLong => Self::AddressTooLong,
            Fault::HeadTooLarge => Self::HeadTooLarge,
            Fault::MethodOverride => Self::MethodOverrideNotAllowed,
            Fault::MethodUnknown => Self::MethodNotAllowed,
            Fault::TooSlow => Self::RequestTimeout,
        }
    }
}

/// An error on its way out; the edge of the face gives it its public form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    code: Code,
    field: Option<Field>,
}

impl Problem {
    pub(crate) const fn new(code: Code) -> Self {
        Self { code, field: None }
    }

    pub(crate) const fn in_field(code: Code, field: Field) -> Self {
        Self {
            code,
            field: Some(field),
        }
    }

    /// The public form.
    pub(crate) fn render(self, origin: &str, request: RequestId) -> Response {
        let status = self.code.status();
        let mut body = json!({
            "type": format!("{origin}/docs/errors/{}", self.code), "title": self.code.title(),
            "status": status.as_u16(),
            "code": self.code, "detail": self.code.detail(), "request_id": request,
        });
        if let (Some(field), Some(members)) = (self.field, body.as_object_mut()) {
            members.insert("field".to_owned(), json!(field));
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.code == Code::Unavailable {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The page behind a code's `type` address. All of its text is ours.
pub(crate) fn page(code: Code) -> String {
    let (status, title, detail) = (code.status(), code.title(), code.detail());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{code}</title><main><h1>{title}</h1><p>Code <code>{code}</code>, status {}.</p><p>{detail}</p></main></html>",
        status.as_u16()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_code_with_its_status() {
        for &fault in Fault::ALL {
            assert_eq!(Code::from(fault).status(), fault.status());
        }
    }

    #[test]
    fn every_code_has_a_page_that_says_what_to_do() {
        for &code in Code::ALL {
            let status = code.status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code}"
            );
            let page = page(code);
            assert!(
                page.contains(code.title())
                    && page.contains(code.detail())
                    && page.contains(code.as_str())
            );
        }
    }
}
