//! The address of a payment's checkout page, whose secret is derived and so stored nowhere.

use coffer_core::{Mode, id::AccountId, id::PaymentId};
use coffer_crypto::{Context, Mac, MacKey};
use coffer_net::contract::Place;
use data_encoding::BASE64URL_NOPAD;

/// Makes and checks checkout addresses.
pub(crate) struct Checkout {
    pub(crate) origin: String,
    pub(crate) key: MacKey,
}

impl Checkout {
    /// The page where the payer of this payment enters a card; whoever has the address may pay.
    pub(crate) fn url(&self, place: Place, payment: PaymentId) -> String {
        let mode = u8::from(place.mode == Mode::Live);
        let parts = [
            &place.account.as_bytes()[..],
            &[mode],
            self.mac(place, payment).as_bytes(),
        ]
        .concat();
        format!(
            "{}/c/{payment}/{}",
            self.origin,
            BASE64URL_NOPAD.encode(&parts)
        )
    }

    /// The account and mode of the payment, if this is the secret of its address.
    pub(crate) fn open(&self, payment: PaymentId, secret: &str) -> Option<Place> {
        let parts = BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?;
        let (account, rest) = parts.split_first_chunk::<16>()?;
        let (mode, given) = rest.split_first()?;
        // One spelling of each mode, or a secret would have many.
        let mode = match mode {
            0 => Mode::Test,
            1 => Mode::Live,
            _ => return None,
        };
        let place = Place {
            account: AccountId::from_bytes(*account),
            mode,
        };
        let given = Mac::from_slice(given).ok()?;
        given.matches(&self.mac(place, payment)).then_some(place)
    }

    /// The account of specimens, which does not exist. It follows from the key, so that it looks like any other.
    pub(crate) fn nobody(&self) -> Place {
        let code = self.key.mac(&Context::new("coffer checkout specimen v1"));
        let (account, _) = code
            .as_bytes()
            .split_first_chunk()
            .unwrap_or((&[0; 16], &[]));
        Place {
            account: AccountId::from_bytes(*account),
            mode: Mode::Test,
        }
    }

    fn mac(&self, place: Place, payment: PaymentId) -> Mac {
        let context = Context::new("coffer checkout v1")
            .bytes(place.account.as_bytes())
            .text(place.mode.as_str())
            .bytes(payment.as_bytes());
        self.key.mac(&context)
    }
}

#[cfg(test)]
mod tests {
    use coffer_crypto::Key;

    use super::*;

    #[test]
    fn a_checkout_secret_has_one_spelling() {
        let checkout = Checkout {
            origin: String::new(),
            key: MacKey::new(&Key::from_array([7; 32])),
        };
        let place = Place {
            account: AccountId::from_bytes([1; 16]),
            mode: Mode::Test,
        };
        let payment = PaymentId::from_bytes([2; 16]);
        let url = checkout.url(place, payment);
        let secret = url.rsplit('/').next().unwrap();
        let mut parts = BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap();
        parts[16] = 2;
        let other = BASE64URL_NOPAD.encode(&parts);
        assert_eq!(checkout.open(payment, secret), Some(place));
        assert_eq!(checkout.open(payment, &other), None);
    }

    #[test]
    fn a_checkout_secret_opens_its_own_payment_only() {
        let checkout = Checkout {
            origin: "https://pay.example".to_owned(),
            key: MacKey::new(&Key::from_array([7; 32])),
        };
        let place = Place {
            account: AccountId::from_bytes([1; 16]),
            mode: Mode::Test,
        };
        let (payment, other) = (
            PaymentId::from_bytes([2; 16]),
            PaymentId::from_bytes([3; 16]),
        );
        let url = checkout.url(place, payment);
        let secret = url.rsplit('/').next().unwrap();
        assert_eq!(checkout.open(payment, secret), Some(place));
        assert_eq!(checkout.open(other, secret), None);
        assert_eq!(checkout.open(payment, &secret.replace('A', "B")), None);
        assert_eq!(checkout.open(payment, ""), None);
    }
}
