//! What can be wrong with a request before anybody looks at what it asks for.

use http::StatusCode;

/// Why a request is not given to the application. Its place is taken by an empty `GET /` with this in its extensions, to be
/// answered with this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not written as RFC 9112 demands, or says in two ways how long it is.
    Malformed,
    /// There is not exactly one host, or not one of ours.
    HostWrong,
    /// Over HTTP/2, it is for a host that another face answers for (RFC 9110, 15.5.20).
    Misdirected,
    /// Its address is too long.
    AddressTooLong,
    /// Its head is too large, or has too many fields.
    HeadTooLarge,
    /// A header asks to take the method for another one.
    MethodOverride,
    /// No face has this method.
    MethodUnknown,
    /// Its head did not arrive in time.
    TooSlow,
}

impl Fault {
    /// Every fault.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::HostWrong,
        Self::Misdirected,
        Self::AddressTooLong,
        Self::HeadTooLarge,
        Self::MethodOverride,
        Self::MethodUnknown,
        Self::TooSlow,
    ];

    /// What it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::HostWrong | Self::MethodOverride => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::AddressTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MethodUnknown => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}
