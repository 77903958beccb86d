//! Handlers of blocks: who is slowed or blocked for a while.

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    views::BlockView,
};

const OBJECT: &str = "block";

/// Shows a block that holds.
pub(crate) async fn block(api: Api, call: Call) -> Outcome {
    let block = api.engine().block(&call.caller, call.id(OBJECT)?).await?;
    Ok(Answer::json(200, &BlockView::of(block)))
}

/// Lists blocks that hold, the newest first.
pub(crate) async fn block_list(api: Api, call: Call) -> Outcome {
    let page = call.query.page()?;
    let listed = api.engine().block_list(&call.caller, page).await?;
    Ok(Answer::list(listed, BlockView::of))
}

/// Lifts a block.
pub(crate) async fn block_lift(api: Api, call: Call) -> Outcome {
    api.engine()
        .block_lift(&call.caller, call.id(OBJECT)?)
        .await?;
    Ok(Answer::empty())
}
