//! `GET /v1/payments/{id}`.

use std::{borrow::Cow, cell::Cell};

use crate::{
    drive::{Figures, Plan, drive},
    http::{Next, Sender, Target, get},
    machine::Watched,
    peer::Peer,
    stage::{Stage, Store},
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "HTTPS `GET /v1/payments/{id}` of 1,000 payments in turn, with a secret key: as the row above, \
    with the same axum on rustls beside it, which answers a fixed text. On PostgreSQL the server has the second core.";
pub(super) const LIMIT: &str = "What a ping costs, and one point read: SQLite answers it on the request's own thread (about \
    4 µs), PostgreSQL by a round trip. Then JSON of twenty fields.";

const PAYMENTS: usize = 1_000;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let payments = stage.payments(PAYMENTS).await;
    let (coffer, axum) = (stage.api(), Peer::axum(stage));
    let baseline = axum.target(&stage.authority());
    let requests = payments
        .iter()
        .map(|id| get(&coffer.host(), &format!("/v1/payments/{id}"), stage.key()));
    let requests: Vec<Vec<u8>> = requests.collect();
    let bare = [get(&baseline.host(), "/v1/ping", stage.key())];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..plan.runs {
        ours.push(run(&coffer, &requests, &stage.roles(&["api"]), plan).await);
        theirs.push(run(&baseline, &bare, &[axum.watched()], plan).await);
    }
    let (ours, theirs) = (Figures::median(&ours), Figures::median(&theirs));
    let (store, bare_us) = (stage.store.as_str(), theirs.cpu_total_us());
    let judged = Judged {
        what: format!("`GET /v1/payments/{{id}}`, {store}: CPU"),
        value: ours.cpu_total_us(),
        unit: Unit::Microseconds,
        floor: 2.5 * bare_us,
        aim: 1.9 * bare_us,
        from: "2.5 and 1.9 × bare axum's CPU in this run".to_owned(),
        fsync: None,
    };
    let line = |who: String, figures| Line {
        who,
        figures,
        fsync: None,
    };
    let notes = match stage.store {
        Store::Sqlite => {
            vec!["Each read is limited, counted as usage and recorded in packs.".to_owned()]
        }
        Store::Postgres => Vec::new(),
    };
    Measured {
        judged: vec![judged],
        lines: vec![
            line(format!("Coffer, {store}"), ours),
            line("axum and rustls, no check".to_owned(), theirs),
        ],
        notes,
    }
}

async fn run(target: &Target, requests: &[Vec<u8>], watched: &[Watched], plan: Plan) -> Figures {
    let turn = Cell::new(0);
    let next: &Next<'_> = &|| {
        turn.set((turn.get() + 1) % requests.len());
        Some(Cow::Borrowed(requests[turn.get()].as_slice()))
    };
    drive(Sender::all(target, next).await, watched, plan).await
}
