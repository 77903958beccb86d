//! A page on which cards are paid with, whichever role serves it: what it loads, and how it is noticed that it is not as it
//! was made (PCI DSS 6.4.3, 11.6.1).
//!
//! What is published of it, what is compared with what a browser would get, and what browsers report come from the same
//! values, so that no list of them has to be kept by hand.

mod asset;
mod gzip;
mod reports;
mod watch;

pub use asset::{Asset, Listed};
pub use gzip::accepts_gzip;
pub use reports::{Directive, REPORT_MAX, Refused, Reports, Violation};
pub use watch::{Difference, DifferenceKind, Header, NONCE, Page, differences};

use coffer_core::words;
use serde::{Deserialize, Serialize};

words! {
    /// Which page.
    pub enum PageName {
        /// Where a payment is paid.
        Checkout = "checkout",
        /// The card fields, in a frame of it or of a merchant's page.
        Fields = "fields",
    }
}

/// Something about a page that a person must look at. It names no value of anybody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Finding {
    /// It is not what was made.
    Differs(Difference),
    /// A browser reports that something in it tried what its policy forbids.
    Violated(Violation),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Differs(difference) => difference.fmt(f),
            Self::Violated(violation) => violation.fmt(f),
        }
    }
}
