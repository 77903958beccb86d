//! `GET /v1/payments/{id}`.

use crate::{
    case::{self, Case},
    drive::Plan,
    peer::Peer,
    stage::{Stage, Store},
    table::{Judged, Measured, Unit},
};

pub(super) const HOW: &str = "HTTPS `GET /v1/payments/{id}` of 1,000 payments in turn, with a secret key: as the row above, \
    with the same axum on rustls beside it, which answers a fixed text. On PostgreSQL the server has the second core.";
pub(super) const LIMIT: &str = "What a ping costs, and one point read: SQLite answers it on the request's own thread (about \
    2 µs, in a snapshot that is kept until something is written), PostgreSQL by a question that those share who wait while \
    the one before is answered, which costs the driver as much as the server. Then its record, JSON of twenty fields, and \
    the keyed hash in the address of its checkout page.";

const PAYMENTS: usize = 1_000;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let payments = stage.payments(PAYMENTS).await.into_iter();
    let paths: Vec<String> = payments.map(|id| format!("/v1/payments/{id}")).collect();
    let (axum, store) = (Peer::axum(stage), stage.store.as_str());
    let ours = (stage.api(), stage.roles(&["api"]));
    let theirs = (axum.target(&stage.authority()), vec![axum.watched()]);
    let keys = [stage.key().to_owned()];
    let cases = [
        Case::new(format!("Coffer, {store}"), ours, &paths, &keys),
        Case::new(
            "axum and rustls, no check",
            theirs,
            &["/v1/ping".to_owned()],
            &keys,
        ),
    ];
    let lines = case::measure(&cases, None, plan).await;
    let bare_us = lines[1].figures.cpu_total_us();
    let judged = Judged {
        what: format!("`GET /v1/payments/{{id}}`, {store}: CPU"),
        value: lines[0].figures.cpu_total_us(),
        unit: Unit::Microseconds,
        floor: 2.5 * bare_us,
        aim: 1.9 * bare_us,
        from: "2.5 and 1.9 × bare axum's CPU in this run".to_owned(),
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
        lines,
        notes,
    }
}
