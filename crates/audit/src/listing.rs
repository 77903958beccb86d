//! The log read by the account that its entries are about, the newest first.

use coffer_core::{
    Timestamp,
    id::{AccountId, LeafId},
};
use coffer_db::{Database, Row, params};

use crate::{
    Audit, Error, Recorded,
    entry::Personal,
    leaf::Leaf,
    pack::{personal_values, read},
    sequencer::leaf,
    store::LEAF_OF_ACCOUNT,
};

/// An entry where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The leaf that holds it.
    pub leaf: LeafId,
    /// Its place among the entries of the leaf, from 0.
    pub place: usize,
    /// The leaf's place in the log; none yet when it waits for one.
    pub sequence: Option<i64>,
    /// What it says.
    pub recorded: Recorded,
    /// From which network address, unless that was erased or there was none.
    pub address: Option<String>,
    /// Which persons it names, unless they were erased.
    pub names: Vec<String>,
}

impl Audit {
    /// The entries of so many leaves of an account, or of none, up to the one with this id, the newest first.
    ///
    /// # Errors
    /// `Store`; `Damaged` when an entry cannot be read.
    pub async fn of_account(
        &self,
        db: &Database,
        account: Option<AccountId>,
        (up_to, leaves): (&str, i64),
    ) -> Result<Vec<Listed>, Error> {
        let account = account.map(|account| account.to_string());
        let row = params![account.unwrap_or_default(), up_to, leaves];
        let mut listed = Vec::new();
        for row in db.read(&LEAF_OF_ACCOUNT, row).await? {
            self.list(&row, &mut listed)?;
        }
        Ok(listed)
    }

    fn list(&self, row: &Row, listed: &mut Vec<Listed>) -> Result<(), Error> {
        let sequence = row.optional_integer("sequence")?;
        let leaf: Leaf = leaf(row)?;
        let id = leaf.id.parse();
        let id: LeafId = id.map_err(|_| Error::Damaged("an entry's id cannot be read"))?;
        let entries = read(Timestamp::from_millis(leaf.recorded), &leaf.public)?;
        let opened = self.key().and_then(|key| leaf.opened(key));
        let personals = match opened {
            Some(opened) => personal_values(&leaf.public, &opened)?,
            None => Vec::new(),
        };
        for (place, recorded) in entries.into_iter().enumerate().rev() {
            let Personal { address, names } = personals.get(place).cloned().unwrap_or_default();
            listed.push(Listed {
                leaf: id,
                place,
                sequence,
                recorded,
                address: Some(address).filter(|address| !address.is_empty()),
                names,
            });
        }
        Ok(())
    }
}
