//! Handler of the ping: is the API up, and does the key work. It reads no store beyond the key's.

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    views::PingView,
};

/// Answers.
pub(crate) async fn ping(_api: Api, call: Call) -> Outcome {
    let place = call.caller.place();
    Ok(Answer::json(
        200,
        &PingView {
            account: place.account,
            mode: place.mode,
        },
    ))
}
