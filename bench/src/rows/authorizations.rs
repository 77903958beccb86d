//! Full authorizations, from the API to the provider and back.

use std::{borrow::Cow, cell::Cell};

use coffer_net::Clock;

use crate::{
    drive::{Figures, Plan, drive},
    http::{Next, Sender},
    machine::fsync_time,
    stage::Stage,
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "`POST /v1/payments` with a kept card and an idempotency key, captured later: through api, vault, \
    key server and simulator and back, 64 connections. All processes, PostgreSQL and the load share both cores.";
pub(super) const LIMIT: &str = "CPU: four processes and the load share two cores. Six durable transactions stand behind each \
    (two of the api, two of the vault, one of the key server, one of the simulator), and their writers take turns at one \
    disk. On PostgreSQL nearly half is the server's own work: each statement is a message to it and an answer.";

/// Kept cards that pay in turn.
const CARDS: usize = 64;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let fsync = Some(fsync_time());
    let cards = stage.cards(CARDS).await;
    let (count, begun) = (Cell::new(0_usize), Clock::system().now().as_millis());
    let next: &Next<'_> = &|| {
        count.set(count.get() + 1);
        let card = &cards[count.get() % cards.len()];
        let key = format!("order-{begun}-{}", count.get());
        let body = format!(
            r#"{{"amount":1999,"currency":"EUR","capture":"manual","card":"{card}","reference":"{key}"}}"#
        );
        Some(Cow::Owned(stage.post(
            "/v1/payments",
            &[("idempotency-key", &key)],
            &body,
        )))
    };
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let watched = stage.roles(&["api", "vault", "keys", "simulator"]);
        let senders = Sender::all(&stage.api(), next).await;
        runs.push(drive(senders, &watched, plan).await);
    }
    let (figures, store) = (Figures::median(&runs), stage.store.as_str());
    let judged = Judged {
        what: format!("full authorization, both cores, {store}"),
        value: figures.rate,
        unit: Unit::PerSecond,
        floor: 500.0,
        aim: 1_000.0,
        from: "fixed".to_owned(),
        fsync,
    };
    Measured {
        judged: vec![judged],
        lines: vec![Line {
            who: format!("Coffer, {store}"),
            figures,
            fsync,
        }],
        notes: Vec::new(),
    }
}
