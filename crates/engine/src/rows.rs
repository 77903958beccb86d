//! Rows of the store: found by the key that every table begins with, and read back as the words that were written.

use std::str::FromStr;

use coffer_core::{CardSummary, Expiry, Malformed, Timestamp};
use coffer_db::{Row, Statement, Value, params};
use coffer_net::contract::Place;

use crate::{Engine, Error, Metadata, Text, error::corrupt};

/// Account and mode as the first columns of every table's key.
pub(crate) fn key_of(place: Place) -> [Value; 2] {
    [place.account.to_string().into(), place.mode.as_str().into()]
}

impl Engine {
    /// The row of one object of an account and mode, by its id.
    pub(crate) async fn find(
        &self,
        statement: &'static Statement,
        object: &'static str,
        place: Place,
        id: impl ToString,
    ) -> Result<Row, Error> {
        let [account, mode] = key_of(place);
        let row = self
            .db()
            .read_optional(statement, params![account, mode, id.to_string()])
            .await?;
        row.ok_or(Error::NotFound { object })
    }
}

/// A column that holds a word, an id or a currency.
pub(crate) fn word<T: FromStr<Err = Malformed>>(row: &Row, column: &str) -> Result<T, Error> {
    row.text(column)?.parse().map_err(corrupt)
}

/// As [`word`], where there may be none.
pub(crate) fn maybe_word<T: FromStr<Err = Malformed>>(
    row: &Row,
    column: &str,
) -> Result<Option<T>, Error> {
    row.optional_text(column)?
        .map(str::parse)
        .transpose()
        .map_err(corrupt)
}

/// A column that holds a merchant's own text, if there is any.
pub(crate) fn maybe_text<const MAX: usize>(
    row: &Row,
    column: &str,
) -> Result<Option<Text<MAX>>, Error> {
    let text = row.optional_text(column)?;
    Ok(text.map(|text| Text::from_store(text.to_owned())))
}

/// The column `metadata`.
pub(crate) fn metadata(row: &Row) -> Result<Metadata, Error> {
    Metadata::from_store(row.text("metadata")?).map_err(corrupt)
}

/// A column that holds words separated by spaces.
pub(crate) fn list(row: &Row, column: &str) -> Result<Vec<String>, Error> {
    let words = row.text(column)?.split_ascii_whitespace();
    Ok(words.map(str::to_owned).collect())
}

/// A column that holds a time.
pub(crate) fn time(row: &Row, column: &str) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_millis(row.integer(column)?))
}

/// The columns `account` and `mode`.
pub(crate) fn place(row: &Row) -> Result<Place, Error> {
    Ok(Place {
        account: word(row, "account")?,
        mode: word(row, "mode")?,
    })
}

/// The columns of a card's summary with this prefix (`card_` or none), if there is a card.
pub(crate) fn card(
    row: &Row,
    [brand, last4, month, year]: [&str; 4],
) -> Result<Option<CardSummary>, Error> {
    let Some(brand) = maybe_word(row, brand)? else {
        return Ok(None);
    };
    let expiry = Expiry::new(row.integer(month)?, row.integer(year)?).map_err(corrupt)?;
    Ok(Some(CardSummary {
        brand,
        last4: word(row, last4)?,
        expiry,
    }))
}
