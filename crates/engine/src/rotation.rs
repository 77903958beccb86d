//! What is the same of every rotation in the store, whether of an API key, a signing key or a webhook endpoint. Each keeps and
//! forgets its old secret in its own way.

use coffer_core::{
    Timestamp,
    rotation::{Overlap, Rotation},
};
use coffer_db::{Row, Statement, Value, params};

use crate::{Engine, Error};

/// The rotation of a secret that begins now, or none where the old secret ends at once. What rotates already has room for no
/// second old secret.
pub(crate) fn begin(
    object: &'static str,
    under_way: Option<Rotation>,
    overlap: Overlap,
    now: Timestamp,
) -> Result<Option<Rotation>, Error> {
    if overlap.is_none() {
        return Ok(None);
    }
    if under_way.is_some_and(|rotation| rotation.overlaps(now)) {
        return Err(Error::State {
            object,
            status: "rotating",
            needed: "active: end the rotation, or rotate with an overlap of 0 hours",
        });
    }
    Ok(Some(Rotation::begun(overlap, now)))
}

/// The columns `rotated` and `closes`, where there may be a rotation.
pub(crate) fn read(row: &Row) -> Result<Option<Rotation>, Error> {
    let time = |column| row.optional_integer(column);
    let (Some(rotated), Some(closes)) = (time("rotated")?, time("closes")?) else {
        return Ok(None);
    };
    Ok(Some(Rotation {
        rotated: Timestamp::from_millis(rotated),
        closes: Timestamp::from_millis(closes),
    }))
}

/// The same two columns, to be written.
pub(crate) fn columns(rotation: Option<Rotation>) -> [Value; 2] {
    [
        rotation.map(|rotation| rotation.rotated.as_millis()).into(),
        rotation.map(|rotation| rotation.closes.as_millis()).into(),
    ]
}

impl Engine {
    /// The rows of old secrets whose time is over, or which may have fallen silent.
    pub(crate) async fn rotations_due(&self, due: &'static Statement) -> Result<Vec<Row>, Error> {
        let now = self.now();
        let silent_since = Rotation::silent_since(now);
        let times = params![now.as_millis(), silent_since.as_millis()];
        Ok(self.db().read(due, times).await?)
    }
}
