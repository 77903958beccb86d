//! Blocks: what a policy does about who looks hostile, for a while. Every node holds them; whoever they concern can see and lift
//! them.

use coffer_core::{
    Timestamp,
    detection::{Policy, Signal},
    id::BlockId,
};
use coffer_db::{Row, Transaction, Value, params};
use coffer_net::contract::Place;

use super::{Finding, Subject, holds::Hold};
use crate::{
    Caller, Engine, Error, Listed, Page,
    commit::By,
    rows::{self, key_of},
    store::blocks as sql,
};

const OBJECT: &str = "block";
/// Blocks that hold at a time; of more, those that end last.
const HOLDING_MAX: i64 = 10_000;

/// Somebody who is slowed or blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub id: BlockId,
    /// Whose it is; none for the operator's.
    pub place: Option<Place>,
    /// Who: words of ours.
    pub subject: String,
    /// For what.
    pub signal: Signal,
    /// Slowed or blocked.
    pub policy: Policy,
    /// 100 at the threshold of the signal.
    pub score: i64,
    /// What was seen.
    pub reason: String,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Engine {
    /// Holds somebody, on every node.
    pub(super) async fn hold_back(
        &self,
        place: Option<Place>,
        finding: &Finding,
        policy: Policy,
    ) -> Result<(), Error> {
        let (id, now): (BlockId, _) = (self.0.clock.id(), self.now());
        let settings = self.0.detection.detector.settings();
        let lasts_ms = match policy {
            Policy::Watch => return Ok(()),
            Policy::Slow => settings.slow_ms,
            Policy::Block => settings.block_ms,
        };
        let [account, mode] = owner(place);
        let row = params![
            account,
            mode,
            id.to_string(),
            finding.subject.to_string(),
            finding.signal.as_str(),
            policy.as_str(),
            finding.score,
            finding.why.as_str(),
            now.as_millis(),
            now.plus_millis(lasts_ms).as_millis(),
        ];
        let steps = Transaction::new().one(&sql::INSERT, row);
        let steps = steps.append(self.changed(OBJECT, &id.to_string()));
        self.commit(By::System, place, "block.create", &id.to_string(), steps)
            .await?;
        self.load_blocks().await
    }

    /// Takes in what holds: at the start, and when a node has changed it.
    pub(crate) async fn load_blocks(&self) -> Result<(), Error> {
        let row = params![self.now().as_millis(), HOLDING_MAX];
        let rows = self.db().read(&sql::HOLDING, row).await?;
        let blocks: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let holding = blocks.into_iter().filter_map(|block| {
            let subject = Subject::read(&block.subject, block.place)?;
            Some((subject, Hold::new(block.id, block.policy, block.until)))
        });
        self.0.detection.holds.replace(holding);
        Ok(())
    }

    /// One block of the caller's account and mode that holds.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn block(&self, caller: &Caller, id: BlockId) -> Result<Block, Error> {
        self.block_in(Some(caller.place()), id).await
    }

    async fn block_in(&self, place: Option<Place>, id: BlockId) -> Result<Block, Error> {
        let [account, mode] = owner(place);
        let row = params![account, mode, id.to_string(), self.now().as_millis()];
        let found = self.db().read_optional(&sql::FIND, row).await?;
        read(&found.ok_or(Error::NotFound { object: OBJECT })?)
    }

    /// Blocks of the caller's account and mode that hold, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no id of a block.
    pub async fn block_list(&self, caller: &Caller, page: Page) -> Result<Listed<Block>, Error> {
        let [account, mode] = key_of(caller.place());
        let (before, now) = (page.before_id::<BlockId>()?, self.now().as_millis());
        let row = params![account, mode, before, page.fetch(), now];
        page.read(&self.db().read(&sql::LIST, row).await?, read)
    }

    /// Everybody's blocks that hold, for the operator; those that end last first.
    ///
    /// # Errors
    /// When the store cannot serve.
    pub async fn blocks_holding(&self) -> Result<Vec<Block>, Error> {
        let row = params![self.now().as_millis(), HOLDING_MAX];
        let rows = self.db().read(&sql::HOLDING, row).await?;
        rows.iter().map(read).collect()
    }

    /// Lifts a block, on every node within a second. What it was about is watched anew. A key does not lift its own.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, [`Error::Refused`] for the caller's own.
    pub async fn block_lift(&self, caller: &Caller, id: BlockId) -> Result<(), Error> {
        let block = self.block(caller, id).await?;
        let own = Subject::Key(caller.api_key()).to_string();
        if block.subject == own {
            return Err(Error::Refused(
                "a key does not lift its own block: use another key",
            ));
        }
        self.lift(By::Caller(caller), &block).await
    }

    /// Lifts any block, as the operator.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn block_lift_anywhere(&self, id: BlockId) -> Result<Block, Error> {
        let holding = self.blocks_holding().await?;
        let found = holding.into_iter().find(|block| block.id == id);
        let block = found.ok_or(Error::NotFound { object: OBJECT })?;
        self.lift(By::Operator, &block).await?;
        Ok(block)
    }

    async fn lift(&self, by: By<'_>, block: &Block) -> Result<(), Error> {
        let ([account, mode], id) = (owner(block.place), block.id.to_string());
        let steps = Transaction::new().one(&sql::LIFT, params![account, mode, id.as_str()]);
        let steps = steps.append(self.changed(OBJECT, &id));
        match self.commit(by, block.place, "block.lift", &id, steps).await {
            Ok(_) => {}
            Err(error) if error.is_conflict_at(&sql::LIFT) => {
                return Err(Error::NotFound { object: OBJECT });
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(subject) = Subject::read(&block.subject, block.place) {
            self.0.detection.detector.forget(&subject);
        }
        self.load_blocks().await
    }

    /// Forgets blocks that are over.
    pub(crate) async fn prune_blocks(&self) -> Result<(), Error> {
        let prune = Transaction::new().any(&sql::PRUNE, params![self.now().as_millis()]);
        self.db().transact(prune).await?;
        Ok(())
    }
}

/// Account and mode of a block's key.
fn owner(place: Option<Place>) -> [Value; 2] {
    place.map_or_else(|| ["".into(), "".into()], key_of)
}

fn read(row: &Row) -> Result<Block, Error> {
    let place = match row.text("account")? {
        "" => None,
        _ => Some(rows::place(row)?),
    };
    Ok(Block {
        id: rows::word(row, "block")?,
        place,
        subject: row.text("subject")?.to_owned(),
        signal: rows::word(row, "signal")?,
        policy: rows::word(row, "policy")?,
        score: row.integer("score")?,
        reason: row.text("reason")?.to_owned(),
        created: rows::time(row, "created")?,
        until: rows::time(row, "until")?,
    })
}
