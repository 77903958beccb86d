//! Carries out a switch: what the simulator does wrong around one operation.

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use crate::{
    Error, Simulator,
    ledger::Done,
    notify::Notices,
    operation::Operation,
    switches::{Behaviour, Switch},
};

/// How one operation will go: as it should, or as a switch orders.
pub(crate) struct Plan(Option<Switch>);

impl Plan {
    /// Uses up the next switch for the operation, if one waits.
    pub(crate) fn next(simulator: &Simulator, operation: Operation) -> Result<Self, Error> {
        let plan = Self(simulator.settings().switches.take(operation));
        if plan.behaviour() == Some(Behaviour::ErrorBeforeCharging) {
            return Err(Error::Ordered);
        }
        Ok(plan)
    }

    /// How the operation is notified.
    pub(crate) fn notices(&self) -> Notices {
        match self.behaviour() {
            Some(Behaviour::Twice) => Notices::Twice,
            Some(Behaviour::NotifyFirst) => Notices::First,
            Some(
                Behaviour::Late
                | Behaviour::ErrorAfterCharging
                | Behaviour::DropAfterCharging
                | Behaviour::Garbage
                | Behaviour::ErrorBeforeCharging,
            )
            | None => Notices::Once,
        }
    }

    /// Answers with `answer`, the right one, unless ordered otherwise.
    pub(crate) async fn answer(
        self,
        simulator: &Simulator,
        done: &Done,
        answer: impl IntoResponse,
    ) -> Response {
        let Some(switch) = self.0 else {
            return answer.into_response();
        };
        match switch.behaviour {
            Behaviour::Late => {
                tokio::time::sleep(switch.delay()).await;
                answer.into_response()
            }
            Behaviour::NotifyFirst => {
                if !done.repeated {
                    Notices::send_first(simulator, &done.entry).await;
                }
                answer.into_response()
            }
            Behaviour::Twice => answer.into_response(),
            Behaviour::Garbage => garbage(),
            Behaviour::DropAfterCharging => dropped(),
            Behaviour::ErrorAfterCharging | Behaviour::ErrorBeforeCharging => {
                Error::Ordered.into_response()
            }
        }
    }

    fn behaviour(&self) -> Option<Behaviour> {
        self.0.as_ref().map(|switch| switch.behaviour)
    }
}

fn garbage() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, headers, r#"{"id":"sim_"#).into_response()
}

/// A body that fails before its first byte: HTTP/1.1 closes the connection before the head is sent, HTTP/2 resets the
/// stream.
fn dropped() -> Response {
    let failure = Err::<Bytes, _>(std::io::Error::other("a switch ordered this failure"));
    Body::from_stream(stream::iter([failure])).into_response()
}
