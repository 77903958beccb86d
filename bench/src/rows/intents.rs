//! Payments recorded per second, beside a loop that writes the same rows without anything around it.

use std::{borrow::Cow, cell::Cell};

use coffer_net::Clock;

use crate::{
    drive::{Figures, Plan, drive},
    http::{Next, Sender},
    machine::fsync_time,
    raw,
    stage::Stage,
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "`POST /v1/payments` without a card and with an idempotency key, 64 connections: payment, stored \
    answer and record of the log in one durable transaction, and no other role has a part in it. Beside it a loop that \
    writes the same three rows into the same tables with the store's driver alone: on SQLite for 64 clients in the same \
    process, with a commit for all that wait; on PostgreSQL for as many as Coffer has connections, each with its own \
    transactions, pipelined. Everything shares both cores.";
pub(super) const LIMIT: &str = "The loop beside it has the same disk and does nothing else. What a payment costs on top: TLS, \
    HTTP and JSON, the keyed hash of the key, sealing the stored answer and the address of the caller, and the sequencer \
    that chains the log twice a second. On PostgreSQL payments that arrive together share a commit, which the loop's do not.";

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let fsync = Some(fsync_time());
    let (count, begun) = (Cell::new(0_usize), Clock::system().now().as_millis());
    let next: &Next<'_> = &|| {
        count.set(count.get() + 1);
        let key = format!("order-{begun}-{:08}", count.get());
        let body = format!(r#"{{"amount":1999,"currency":"EUR","reference":"{key}"}}"#);
        Some(Cow::Owned(stage.post(
            "/v1/payments",
            &[("idempotency-key", &key)],
            &body,
        )))
    };
    let watched = stage.roles(&["api"]);
    let mut ours = vec![drive(Sender::all(&stage.api(), next).await, &watched, plan).await];
    let raw = raw::Loop::like(stage).await;
    let mut theirs = vec![raw.run(plan).await];
    for _ in 1..plan.runs {
        ours.push(drive(Sender::all(&stage.api(), next).await, &watched, plan).await);
        theirs.push(raw.run(plan).await);
    }
    let (ours, theirs, store) = (
        Figures::median(&ours),
        Figures::median(&theirs),
        stage.store.as_str(),
    );
    let judged = Judged {
        what: format!("payments recorded (intent only), {store}"),
        value: ours.rate,
        unit: Unit::PerSecond,
        floor: 0.5 * theirs.rate,
        aim: 0.7 * theirs.rate,
        from: "0.5 and 0.7 × a raw loop writing the same rows in this run".to_owned(),
        fsync,
    };
    let line = |who: &str, figures| Line {
        who: format!("{who}, {store}"),
        figures,
        fsync,
    };
    Measured {
        judged: vec![judged],
        lines: vec![line("Coffer", ours), line("raw loop", theirs)],
        notes: Vec::new(),
    }
}
