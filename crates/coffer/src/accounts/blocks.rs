//! `coffer blocks …`: who is slowed or blocked, and whom the operator lets go.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use coffer_core::id::BlockId;
use coffer_engine::Block;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Desk, Reach, answer, ask, failed, read};
use crate::{cli::BlocksCommand, console, directory::Directory, failure::Failure, runtime};

/// A block, as the operator sees it.
#[derive(Serialize, Deserialize)]
struct Shown {
    id: String,
    /// Whose it is; none for the operator's own.
    account: Option<String>,
    mode: Option<String>,
    subject: String,
    signal: String,
    policy: String,
    score: i64,
    reason: String,
    created: String,
    until: String,
}

/// Asks to lift a block.
#[derive(Serialize, Deserialize)]
struct LiftWanted {
    id: BlockId,
}

impl Shown {
    fn of(block: Block) -> Self {
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
            id: id.to_string(),
            account: place.map(|place| place.account.to_string()),
            mode: place.map(|place| place.mode.to_string()),
            subject,
            signal: signal.to_string(),
            policy: policy.to_string(),
            score,
            reason,
            created: created.to_string(),
            until: until.to_string(),
        }
    }
}

/// The routes of the admin socket.
pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route(
            "/blocks",
            get(async |State(desk): State<Desk>| answer(desk.blocks().await)),
        )
        .route(
            "/blocks/lift",
            post(async |State(desk): State<Desk>, Json(body)| answer(desk.block_lift(body).await)),
        )
}

impl Desk {
    /// Everybody's blocks that hold.
    async fn blocks(&self) -> Result<Vec<Shown>, Failure> {
        let blocks = self.engine.blocks_holding().await.map_err(failed)?;
        Ok(blocks.into_iter().map(Shown::of).collect())
    }

    async fn block_lift(&self, wanted: LiftWanted) -> Result<Shown, Failure> {
        let lifted = self.engine.block_lift_anywhere(wanted.id).await;
        Ok(Shown::of(lifted.map_err(failed)?))
    }
}

impl Reach {
    async fn blocks(&self) -> Result<Vec<Shown>, Failure> {
        match self {
            Self::Running(socket) => read(socket.get("/blocks").await?),
            Self::Direct(desk) => desk.blocks().await,
        }
    }

    async fn block_lift(&self, wanted: LiftWanted) -> Result<Shown, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/blocks/lift", &wanted).await,
            Self::Direct(desk) => desk.block_lift(wanted).await,
        }
    }
}

/// Runs a command.
pub(crate) fn run(command: BlocksCommand) -> Result<(), Failure> {
    match command {
        BlocksCommand::List { place, json } => {
            let directory = Directory::open(&place.dir)?;
            let blocks = runtime::command(async {
                let (reach, _lock) = Reach::open(&directory).await?;
                reach.blocks().await
            })?;
            if json {
                console::say(&json!({"blocks": blocks}).to_string());
            } else if blocks.is_empty() {
                console::say("nobody is slowed or blocked");
            } else {
                blocks.iter().for_each(|block| console::say(&line(block)));
            }
            Ok(())
        }
        BlocksCommand::Lift { block, place } => {
            let directory = Directory::open(&place.dir)?;
            let lifted = runtime::command(async {
                let (reach, _lock) = Reach::open(&directory).await?;
                reach.block_lift(LiftWanted { id: block }).await
            })?;
            console::say(&format!("lifted: {}", line(&lifted)));
            Ok(())
        }
    }
}

fn line(block: &Shown) -> String {
    let whose = match (&block.account, &block.mode) {
        (Some(account), Some(mode)) => format!("{account} {mode}"),
        _ => "operator".to_owned(),
    };
    let Shown {
        id,
        subject,
        signal,
        policy,
        reason,
        until,
        ..
    } = block;
    format!("{id}  {policy}  {subject}  until {until}\n    {whose}, {signal}: {reason}")
}
