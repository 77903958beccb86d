//! What each step of a request costs, and what it costs to have reads on record before they are answered.
//!
//! Nothing can be switched off in Coffer to see what it costs. So requests that end at different steps are compared, and the
//! engine's own functions are called one by one (`inside.rs`).

use std::time::Duration;

use crate::{
    case::{self, Case},
    drive::Plan,
    machine::fsync_time,
    peer::{Checks, Peer},
    stage::{Stage, Store},
    table::{Line, Measured},
};

mod inside;

pub(super) const HOW: &str = "First whole requests, as in the rows above, with 1,000 keys and 1,000 payments in turn: a route \
    without a key (TLS, HTTP, the route, JSON), a ping (the key, its address and its state, the rates of key and account, \
    usage) and a payment (its permission, the read, the record too), as it is and with `[audit] reads = \"strict\"`; then \
    the same payments for one client alone, who waits for each answer. nginx and HAProxy do the same in steps of their own, \
    each with those before it; nginx' record is a line in a buffer that is written each second and never synced. Last, in \
    this process, the engine's own functions over a store of their own, one by one: CPU of all threads, so what is written \
    in the background counts too; 10,000 keys of 16 accounts.";
pub(super) const LIMIT: &str = "The edge, which a route without a key shows. Of the steps, the key is hashed (two SHA-256 blocks \
    and two more of HMAC) before it is compared; permission, limit and usage are in memory beside the key; a record is one of \
    thousands in a pack, which share an entry of the log and a commit. Strict, only those share one that come while the commit \
    before is under way, and every answer waits for the disk.";

const KEYS: usize = 1_000;
const PAYMENTS: usize = 1_000;
/// A route that needs no key.
const OPEN: &str = "/.well-known/oauth-authorization-server";
const PING: &str = "/v1/ping";
/// nginx and HAProxy, and how far they go.
const STEPS: [(Checks, &str); 5] = [
    (Checks::None, "no check"),
    (Checks::Key, "and key"),
    (Checks::Address, "and address"),
    (Checks::Rate, "and limit"),
    (Checks::Record, "and record"),
];

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let (plan, fsync) = (shorter(plan), fsync_time());
    let mut lines = Vec::new();
    if stage.store == Store::Sqlite {
        let keys = stage.keys(KEYS).await;
        lines.extend(case::measure(&at_the_edge(stage, &keys), None, plan).await);
        lines.extend(others(stage, &keys, plan).await);
    }
    let reads = reads(stage, plan, fsync).await;
    let notes = vec![what_strict_costs(stage.store, &reads)];
    lines.extend(reads);
    lines.extend(inside::measure(stage, plan, fsync).await);
    Measured {
        judged: Vec::new(),
        lines,
        notes,
    }
}

/// Many figures, of which each moves little: CPU, and who waits for what.
fn shorter(plan: Plan) -> Plan {
    Plan {
        warm_up: plan.warm_up / 2,
        measured: plan.measured / 3,
        ..plan
    }
}

/// Requests that end before anything is read.
fn at_the_edge(stage: &Stage, keys: &[String]) -> [Case; 2] {
    let case = |who, path: &str| {
        let server = (stage.api(), vec![stage.role("api")]);
        Case::new(who, server, &[path.to_owned()], keys)
    };
    [
        case("Coffer, a route without a key", OPEN),
        case("Coffer, ping", PING),
    ]
}

async fn others(stage: &Stage, keys: &[String], plan: Plan) -> Vec<Line> {
    let nginx = |(checks, step)| (format!("nginx, {step}"), Peer::nginx(stage, keys, checks));
    let haproxy = |(checks, step)| {
        let peer = Peer::haproxy(stage, keys, checks);
        (format!("HAProxy, {step}"), peer)
    };
    // HAProxy writes no files.
    let without_record = STEPS.into_iter().take(STEPS.len() - 1);
    let peers: Vec<(String, Peer)> = STEPS
        .into_iter()
        .map(nginx)
        .chain(without_record.map(haproxy))
        .collect();
    let authority = stage.authority();
    let cases = peers.iter().map(|(who, peer)| {
        let server = (peer.target(&authority), vec![peer.watched()]);
        Case::new(who, server, &[PING.to_owned()], keys)
    });
    case::measure(&cases.collect::<Vec<_>>(), None, plan).await
}

/// Payments read by many and by one, as it is and strictly.
async fn reads(stage: &Stage, plan: Plan, fsync: Duration) -> Vec<Line> {
    let strict = stage.strict().await;
    let mut cases = Vec::new();
    for (stage, record) in [(stage, "grouped"), (&strict, "strict")] {
        let paths = stage.payments(PAYMENTS).await.into_iter();
        let paths: Vec<String> = paths.map(|id| format!("/v1/payments/{id}")).collect();
        let who = format!("Coffer, payment, {record}, {}", stage.store.as_str());
        let server = (stage.api(), stage.roles(&["api"]));
        let case = Case::new(who, server, &paths, &[stage.key().to_owned()]);
        cases.extend([case.alone(), case]);
    }
    case::measure(&cases, Some(fsync), plan).await
}

fn what_strict_costs(store: Store, reads: &[Line]) -> String {
    let [grouped_alone, grouped, strict_alone, strict] = reads else {
        panic!("four ways to read");
    };
    let cpu_us = |line: &Line| line.figures.cpu_total_us();
    let waits_us = |line: &Line| 1e6 / line.figures.rate;
    format!(
        "Strict, on {}: each read costs {:+.1} µs of CPU, {:.2} times as many get through, and a client alone waits {:.0} µs for \
         its answer instead of {:.0} µs, because that comes after a commit. A ping is counted and never recorded: it costs the same.",
        store.as_str(),
        cpu_us(strict) - cpu_us(grouped),
        strict.figures.rate / grouped.figures.rate,
        waits_us(strict_alone),
        waits_us(grouped_alone),
    )
}
