//! The engine's parsers of foreign bytes, for the fuzz targets (`crates/fuzz`): one line for each, and nothing else.

use coffer_core::id::PaymentId;
use coffer_crypto::{Key, MacKey};
use coffer_net::contract::Place;

use crate::{Metadata, accounts, checkout::Checkout, client_assertions::Assertion, text};

/// The address of a payment's checkout page.
#[must_use]
pub fn checkout_url(key: &Key, place: Place, payment: PaymentId) -> String {
    checkout(key).url(place, payment)
}

/// What the secret of a checkout page's address opens.
#[must_use]
pub fn checkout_secret(key: &Key, payment: PaymentId, secret: &str) -> Option<Place> {
    checkout(key).open(payment, secret)
}

fn checkout(key: &Key) -> Checkout {
    Checkout {
        origin: "https://pay.example".to_owned(),
        key: MacKey::new(key),
    }
}

/// What a client's assertion to one of these says: the signing key, the client, what makes it count once, and its signature.
#[must_use]
pub fn client_assertion(
    text: &str,
    audiences: &[&str],
) -> Option<(String, String, String, Vec<u8>)> {
    let assertion = Assertion::read(text, audiences).ok()?;
    let names = (assertion.key.to_string(), assertion.client.to_string());
    Some((names.0, names.1, assertion.id, assertion.signature))
}

/// Whether a webhook or a payer may be sent to this address.
#[must_use]
pub fn web_address(url: &str) -> bool {
    text::check_url("url", url).is_ok()
}

/// Whether an account may have this web origin.
#[must_use]
pub fn origin(text: &str, development: bool) -> bool {
    accounts::is_origin(text, development)
}

/// Metadata as the store keeps it, read and written again.
#[must_use]
pub fn stored_metadata(text: &str) -> Option<String> {
    Metadata::from_store(text)
        .ok()
        .map(|pairs| pairs.to_store())
}
