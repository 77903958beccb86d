//! Cards stored per second.

use std::{borrow::Cow, cell::RefCell, time::Duration};

use crate::{
    drive::{Figures, Plan, drive},
    http::{Next, Sender},
    machine::fsync_time,
    stage::{Stage, Store},
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "Deposits at the vault's own face over HTTP/1.1, 64 connections that stay open, each deposit of another \
    card with a ticket of its own that was made before: the number's fingerprint under a key of the key server's, which \
    recognises the same card, sealed under a data key of its own, one durable transaction, and what the connection's buffers \
    hold of it overwritten. A payer's first deposit costs a handshake beside that, which is a row of its own. Everything shares \
    both cores, the load too.";
pub(super) const LIMIT: &str = "CPU: three processes share two cores. Fingerprints of cards that come together travel in one call \
    to the key server, because neither process alone may search for a number; cards that come together are stored by one \
    transaction.";

/// So many cards per second cannot be stored; tickets are made for as many.
const RATE_MAX: f64 = 12_000.0;
/// Three runs of this length fill nine tenths of the memory that the vault has for security codes, of which each card brings one.
const WARM_UP_MAX: Duration = Duration::from_millis(1_500);
const MEASURED_MAX: Duration = Duration::from_secs(5);
/// What hyperswitch-card-vault stored on PostgreSQL on such a machine (2026-11-22): it is not measured again here.
const CARD_VAULT: f64 = 2_192.0;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let plan = Plan {
        warm_up: plan.warm_up.min(WARM_UP_MAX),
        measured: plan.measured.min(MEASURED_MAX),
        ..plan
    };
    let fsync = Some(fsync_time());
    let watched = stage.roles(&["vault", "keys"]);
    let seconds = (plan.warm_up + plan.measured).as_secs_f64();
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let deposits = RefCell::new(stage.deposits((RATE_MAX * seconds) as usize).await);
        let next: &Next<'_> = &|| deposits.borrow_mut().pop().map(Cow::Owned);
        let senders = Sender::all(&stage.fields(), next).await;
        runs.push(drive(senders, &watched, plan).await);
    }
    let figures = Figures::median(&runs);
    let (floor, aim) = match stage.store {
        Store::Sqlite => (3.0, 5.0),
        Store::Postgres => (1.5, 2.5),
    };
    let store = stage.store.as_str();
    let judged = Judged {
        what: format!("store a card, {store}"),
        value: figures.rate,
        unit: Unit::PerSecond,
        floor: floor * CARD_VAULT,
        aim: aim * CARD_VAULT,
        from: format!("{floor} and {aim} × hyperswitch-card-vault on PostgreSQL, 2,192/s"),
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
