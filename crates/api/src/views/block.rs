//! A block: who is slowed or blocked for a while, and why.

use coffer_core::{
    Mode,
    detection::{Policy, Signal},
    id::BlockId,
};
use coffer_engine::Block;

use crate::shape::{ObjectType, Time, object};

object! {
    /// Somebody who is slowed or blocked for a while.
    pub(crate) struct BlockView as "Block" {
        /// Its id.
        id: BlockId,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live.
        mode: Option<Mode>,
        /// Who: an API key, or the address of a payer.
        subject: String,
        /// For what.
        signal: Signal,
        /// Whether it is slowed or blocked.
        policy: Policy,
        /// 100 at the threshold of the signal, 200 at twice as much in the same time.
        score: i64,
        /// What was seen.
        reason: String,
        /// Since when.
        created: Time,
        /// Until when.
        until: Time,
    }
}

impl BlockView {
    /// A block as its account sees it.
    pub(crate) fn of(block: Block) -> Self {
        let Block {
            id,
            place,
            subject,
            signal,
            policy,
            score,
            reason,
            created,
            until,
        } = block;
        Self {
            id,
            r#type: ObjectType::Block,
            mode: place.map(|place| place.mode),
            subject,
            signal,
            policy,
            score,
            reason,
            created: Time(created),
            until: Time(until),
        }
    }
}
