//! Cards stored per second.

use std::{borrow::Cow, cell::RefCell};

use crate::{
    drive::{Figures, Plan, drive},
    http::{Next, Sender},
    machine::fsync_time,
    stage::{Stage, Store},
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "Deposits at the vault's own face, 64 at a time, each of another card with a ticket of its own \
    that was made before, and on a connection of its own with a full handshake, because the vault ends it with the answer to \
    wipe what it read: the number's fingerprint under a key of the key server's, which recognises the same card, sealed under \
    a data key of its own, and one durable transaction. Everything shares both cores, the load too.";
pub(super) const LIMIT: &str = "A full handshake for each card, on both ends: it is most of what the vault does here and all \
    that the load does, and both share the two cores. Fingerprints of cards that come together travel in one call to the key \
    server, because neither process alone may search for a number; cards that come together are stored by one transaction.";

/// So many cards per second cannot be stored; tickets are made for as many.
const RATE_MAX: f64 = 12_000.0;
/// What hyperswitch-card-vault stored on PostgreSQL on such a machine (2026-11-22): it is not measured again here.
const CARD_VAULT: f64 = 2_192.0;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
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
