//! How many of something an account and mode may have: looked at before one more is made, and counted again by the transaction
//! that makes it, once nobody else can.

use coffer_db::{Statement, Transaction, params};
use coffer_net::contract::Place;

use crate::{Engine, Error, rows::key_of, store::accounts::SETTINGS_HOLD};

/// Something of which there may be so many.
pub(crate) struct Room {
    /// Returns a row while there are fewer than its third parameter says.
    pub(crate) statement: &'static Statement,
    /// What there are too many of.
    pub(crate) what: &'static str,
    /// So many.
    pub(crate) limit: i64,
}

impl Room {
    /// The steps before the one that makes one more. What others make commits before these count, or waits for their commit;
    /// where there is no room they are a conflict at the statement.
    pub(crate) fn hold(&self, place: Place) -> Transaction {
        let [account, mode] = key_of(place);
        let row = params![account, mode, self.limit];
        Transaction::new()
            .one(&SETTINGS_HOLD, key_of(place).to_vec())
            .one(self.statement, row)
    }

    /// There are as many as there may be.
    pub(crate) const fn full(&self) -> Error {
        Error::LimitReached {
            what: self.what,
            limit: self.limit,
        }
    }
}

impl Engine {
    /// Refuses early what [`Room::hold`] would refuse, before anything is done for it.
    pub(crate) async fn check_room(&self, room: &Room, place: Place) -> Result<(), Error> {
        let [account, mode] = key_of(place);
        let row = params![account, mode, room.limit];
        let found = self.db().read_optional(room.statement, row).await?;
        found.map(drop).ok_or_else(|| room.full())
    }
}
