//! Intake tickets: permission to deposit one card, as a text that the page carries and only this role can write.
//!
//! A ticket is no secret of much worth: it can do nothing but deposit. It is used up in its token's transaction
//! (`deposit.rs`); this file does not know the store.

use coffer_core::{
    Timestamp,
    id::{IntakeId, PaymentId},
    limits::INTAKE_TTL_MS,
};
use coffer_crypto::{Context, Key, Mac, mac};
use coffer_net::contract::{
    Place,
    vault::{Intake, MintIntake},
};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest text that is looked at as a ticket.
const TICKET_MAX: usize = 1024;
/// The longest origin.
const ORIGIN_MAX: usize = 255;
const MAC_LENGTH: usize = 32;

/// What a ticket says. A value of this type was proven to be ours, unchanged and still valid.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) intake: IntakeId,
    pub(crate) place: Place,
    pub(crate) origin: String,
    /// The payment whose checkout page it is; only that payment can use the token.
    pub(crate) payment: Option<PaymentId>,
    pub(crate) expires: Timestamp,
}

/// Why a text is no ticket to be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TicketFault {
    /// Not ours, or changed.
    Invalid,
    /// Its time is over.
    Expired,
}

/// Writes a new ticket; `None` when the origin is not one.
pub(crate) fn mint(
    key: &Key,
    id: IntakeId,
    request: MintIntake,
    now: Timestamp,
) -> Result<Option<Intake>, Error> {
    if !is_origin(&request.origin) {
        return Ok(None);
    }
    let expires = now.plus_millis(INTAKE_TTL_MS);
    let ticket = Ticket {
        intake: id,
        place: request.place,
        origin: request.origin,
        payment: request.payment,
        expires,
    };
    let mut bytes = postcard::to_allocvec(&ticket)
        .map_err(|_| Error::Defect("a ticket cannot be written".to_owned()))?;
    let code = mac(key, &context(&bytes));
    bytes.extend_from_slice(code.as_bytes());
    Ok(Some(Intake {
        id,
        ticket: BASE64URL_NOPAD.encode(&bytes),
        expires,
    }))
}

impl Ticket {
    /// Reads a ticket.
    pub(crate) fn verify(key: &Key, text: &str, now: Timestamp) -> Result<Self, TicketFault> {
        let ticket = Self::authentic(key, text).ok_or(TicketFault::Invalid)?;
        if ticket.expires <= now {
            return Err(TicketFault::Expired);
        }
        Ok(ticket)
    }

    fn authentic(key: &Key, text: &str) -> Option<Self> {
        if text.len() > TICKET_MAX {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (body, code) = bytes.split_last_chunk::<MAC_LENGTH>()?;
        if !mac(key, &context(body)).matches(&Mac::from_slice(code).ok()?) {
            return None;
        }
        postcard::from_bytes(body).ok()
    }
}

fn context(body: &[u8]) -> Context {
    Context::new("vault/intake/v2").bytes(body)
}

/// Whether this is an exact origin: scheme, host, perhaps a port, nothing else. Its characters are safe in a header.
pub(crate) fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let allowed =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']');
    host.is_some_and(|host| {
        !host.is_empty() && text.len() <= ORIGIN_MAX && host.bytes().all(allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_core::{Mode, id::AccountId};

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn key() -> Key {
        Key::from_array([7; 32])
    }

    fn request(origin: &str) -> MintIntake {
        let place = Place {
            account: AccountId::from_bytes([1; 16]),
            mode: Mode::Test,
        };
        MintIntake {
            place,
            origin: origin.to_owned(),
            payment: Some(PaymentId::from_bytes([3; 16])),
        }
    }

    fn ticket() -> String {
        mint(
            &key(),
            IntakeId::from_bytes([2; 16]),
            request("https://shop.example"),
            NOW,
        )
        .unwrap()
        .unwrap()
        .ticket
    }

    #[test]
    fn a_ticket_changed_anywhere_is_refused() {
        let good = BASE64URL_NOPAD.decode(ticket().as_bytes()).unwrap();
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            let text = BASE64URL_NOPAD.encode(&changed);
            assert_eq!(
                Ticket::verify(&key(), &text, NOW).err(),
                Some(TicketFault::Invalid),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_ticket_of_another_key_and_no_ticket_at_all_are_refused() {
        let other = Key::from_array([8; 32]);
        assert_eq!(
            Ticket::verify(&other, &ticket(), NOW).err(),
            Some(TicketFault::Invalid)
        );
        for text in ["", "x", "=", &"A".repeat(43), &"A".repeat(100_000)] {
            assert_eq!(
                Ticket::verify(&key(), text, NOW).err(),
                Some(TicketFault::Invalid)
            );
        }
    }

    #[test]
    fn a_ticket_ends_after_fifteen_minutes() {
        let last = NOW.plus_millis(INTAKE_TTL_MS - 1);
        let read = Ticket::verify(&key(), &ticket(), last).unwrap();
        assert_eq!(
            (read.intake, read.origin.as_str()),
            (IntakeId::from_bytes([2; 16]), "https://shop.example")
        );
        assert_eq!(read.payment, Some(PaymentId::from_bytes([3; 16])));
        assert_eq!(
            Ticket::verify(&key(), &ticket(), last.plus_millis(1)).err(),
            Some(TicketFault::Expired)
        );
    }

    #[test]
    fn only_an_exact_origin_gets_a_ticket() {
        for origin in [
            "",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://a b",
            "https://a;b",
            "*",
            "null",
            "ftp://a",
        ] {
            let minted = mint(&key(), IntakeId::from_bytes([2; 16]), request(origin), NOW).unwrap();
            assert!(minted.is_none(), "{origin}");
        }
        assert!(is_origin("http://localhost:3000") && is_origin("https://[::1]:8443"));
    }
}
