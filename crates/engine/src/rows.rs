//! Reading columns back as the words that were written.

use std::str::FromStr;

use coffer_core::{CardSummary, Expiry, Malformed, Timestamp};
use coffer_db::Row;
use coffer_net::contract::Place;

use crate::{Error, error::corrupt};

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
