//! A stored card: its sealed number, bound to its place, and what may be known of it.

use coffer_core::{CardSummary, Expiry, id::RecordId};
use coffer_crypto::{Context, Key, open, seal};
use coffer_db::{Row, Value, params};
use coffer_net::contract::{
    Place, Refusal,
    keys::{Class, Subject, WrappedKey},
};

use crate::{CardNumber, Error, Vault, store};

/// The version of a record's first data key.
pub(crate) const KEY_VERSION: i64 = 1;

/// A row of `records`.
pub(crate) struct Record {
    pub(crate) id: RecordId,
    pub(crate) card: CardSummary,
    pub(crate) subject: Subject,
    pub(crate) wrapped: WrappedKey,
    number: Vec<u8>,
    key_version: i64,
}

impl Record {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.text("record")?.parse()?,
            card: card_summary(row)?,
            subject: row.text("subject")?.parse()?,
            wrapped: WrappedKey {
                parent_version: row.integer("parent_version")?,
                bytes: row.bytes("wrapped_key")?.to_vec(),
            },
            number: row.bytes("number")?.to_vec(),
            key_version: row.integer("key_version")?,
        })
    }

    /// Opens the number with the key that `keys` gave for an order.
    pub(crate) fn open_number(&self, place: Place, key: &Key) -> Result<CardNumber, Error> {
        let context = number_context(place, self.id, self.key_version);
        let digits = open(key, &context, &self.number)?;
        let text = std::str::from_utf8(digits.expose()).unwrap_or_default();
        CardNumber::parse(text)
            .map_err(|_| Error::Defect("a record does not hold a card number".to_owned()))
    }
}

/// Seals a number for its row.
pub(crate) fn seal_number(
    place: Place,
    record: RecordId,
    key: &Key,
    number: &CardNumber,
) -> Result<Vec<u8>, Error> {
    // Exposed to be sealed.
    let digits = number.expose_digits().as_bytes();
    Ok(seal(
        key,
        &number_context(place, record, KEY_VERSION),
        digits,
    )?)
}

fn number_context(place: Place, record: RecordId, key_version: i64) -> Context {
    Context::new("vault/record/v1")
        .bytes(place.account.as_bytes())
        .text(place.mode.as_str())
        .text(Class::Card.as_str())
        .bytes(record.as_bytes())
        .text("number")
        .number(key_version)
}

/// Brand, last four and expiry, from a row that has their columns.
pub(crate) fn card_summary(row: &Row) -> Result<CardSummary, Error> {
    Ok(CardSummary {
        brand: row.text("brand")?.parse()?,
        last4: row.text("last4")?.parse()?,
        expiry: Expiry::new(row.integer("exp_month")?, row.integer("exp_year")?)?,
    })
}

/// The beginning of every key: account, mode, and the id of the row.
pub(crate) fn row_key(place: Place, id: impl std::fmt::Display) -> Vec<Value> {
    params![
        place.account.to_string(),
        place.mode.as_str(),
        id.to_string()
    ]
}

impl Vault {
    /// The record of this id in this account and mode.
    pub(crate) async fn record(&self, place: Place, id: RecordId) -> Result<Record, Error> {
        let row = self
            .parts
            .db
            .read_optional(&store::RECORD_BY_ID, row_key(place, id))
            .await?;
        row.as_ref()
            .map(Record::from_row)
            .transpose()?
            .ok_or(Error::Refused(Refusal::RecordUnknown))
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Mode, Timestamp, id::AccountId};

    use super::*;

    const NUMBER: &str = "4242424242424242";

    fn place(account: u8, mode: Mode) -> Place {
        Place {
            account: AccountId::from_bytes([account; 16]),
            mode,
        }
    }

    fn record(place: Place, id: u8) -> Record {
        let id = RecordId::from_bytes([id; 16]);
        let number = CardNumber::parse(NUMBER).ok().unwrap();
        let expiry = Expiry::new(12, 2030).unwrap();
        assert!(!expiry.is_past(Timestamp::from_millis(0)));
        Record {
            id,
            card: CardSummary {
                brand: number.brand(),
                last4: number.last4(),
                expiry,
            },
            subject: Subject::Account,
            wrapped: WrappedKey {
                parent_version: 1,
                bytes: Vec::new(),
            },
            number: seal_number(place, id, &key(), &number).unwrap(),
            key_version: KEY_VERSION,
        }
    }

    fn key() -> Key {
        Key::from_array([9; 32])
    }

    #[test]
    fn a_sealed_number_opens_only_in_its_own_row() {
        let home = place(1, Mode::Test);
        let mut stored = record(home, 1);
        assert_eq!(
            stored
                .open_number(home, &key())
                .ok()
                .unwrap()
                .expose_digits(),
            NUMBER
        );
        for elsewhere in [place(2, Mode::Test), place(1, Mode::Live)] {
            assert!(stored.open_number(elsewhere, &key()).is_err());
        }
        assert!(stored.open_number(home, &Key::from_array([8; 32])).is_err());
        stored.key_version += 1;
        assert!(stored.open_number(home, &key()).is_err());
    }

    #[test]
    fn a_number_swapped_into_another_row_is_refused() {
        let home = place(1, Mode::Test);
        let (mut one, other) = (record(home, 1), record(home, 2));
        one.number.clone_from(&other.number);
        assert!(one.open_number(home, &key()).is_err());
    }

    #[test]
    fn any_flipped_bit_of_a_stored_number_is_refused() {
        let home = place(1, Mode::Test);
        for at in 0..record(home, 1).number.len() {
            let mut stored = record(home, 1);
            stored.number[at] ^= 1;
            assert!(stored.open_number(home, &key()).is_err(), "byte {at}");
        }
    }
}
