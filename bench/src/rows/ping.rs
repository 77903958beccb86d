//! `GET /v1/ping` beside web servers that do the same check.

use std::borrow::Cow;

use crate::{
    drive::{Figures, Plan, drive},
    http::{Next, Sender, Target, get},
    machine::Watched,
    peer::Peer,
    stage::Stage,
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "HTTPS `GET /v1/ping` with a secret key: TLS 1.3, HTTP/1.1, 64 connections that stay open, \
    10,000 different keys in turn. Server and load have one core each. nginx and HAProxy look the key up among the same \
    10,000, compare the address with a list and count the rate; axum on rustls checks nothing.";
pub(super) const LIMIT: &str = "About half of the time is the kernel's: one read, one write and their way through the \
    loopback device per request. The rest is TLS records, HTTP parsing and headers, and the keyed hash of the presented \
    key (two SHA-256 blocks and two more of HMAC), which peers that compare keys in plaintext do not compute.";

/// As many API keys as a busy installation has.
const KEYS: usize = 10_000;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let keys = stage.keys(KEYS).await;
    let authority = stage.authority();
    let peers = [
        Peer::nginx(stage, &keys),
        Peer::haproxy(stage, &keys),
        Peer::axum(stage),
    ];
    let mut servers = vec![("Coffer", stage.api(), stage.role("api"))];
    servers.extend(
        ["nginx", "HAProxy", "axum and rustls, no check"]
            .into_iter()
            .zip(&peers)
            .map(|(who, peer)| (who, peer.target(&authority), peer.watched())),
    );
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); servers.len()];
    // In turn, so that what changes on the machine changes for all.
    for _ in 0..plan.runs {
        for ((_, target, watched), runs) in servers.iter().zip(&mut runs) {
            runs.push(run(target, watched, &keys, plan).await);
        }
    }
    let lines: Vec<Line> = servers
        .iter()
        .zip(&runs)
        .map(|((who, ..), runs)| Line {
            who: (*who).to_owned(),
            figures: Figures::median(runs),
            fsync: None,
        })
        .collect();
    let nginx = lines[1].figures.rate;
    let judged = Judged {
        what: "HTTPS GET, key checked against 10,000 (`GET /v1/ping`)".to_owned(),
        value: lines[0].figures.rate,
        unit: Unit::PerSecond,
        floor: nginx,
        aim: 1.15 * nginx,
        from: "1.0 and 1.15 × nginx' throughput in this run".to_owned(),
        fsync: None,
    };
    Measured {
        judged: vec![judged],
        lines,
        notes: vec![
            "Coffer compares the address, counts the rates of key and account, and adds up usage."
                .to_owned(),
        ],
    }
}

async fn run(target: &Target, watched: &Watched, keys: &[String], plan: Plan) -> Figures {
    let requests: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| get(&target.host(), "/v1/ping", key))
        .collect();
    let turn = std::cell::Cell::new(0);
    let next: &Next<'_> = &|| {
        turn.set((turn.get() + 1) % requests.len());
        Some(Cow::Borrowed(requests[turn.get()].as_slice()))
    };
    drive(
        Sender::all(target, next).await,
        std::slice::from_ref(watched),
        plan,
    )
    .await
}
