//! `GET /v1/ping` beside web servers that do the same check.

use crate::{
    case::{self, Case},
    drive::Plan,
    peer::{Checks, Peer},
    stage::Stage,
    table::{Judged, Measured, Unit},
};

pub(super) const HOW: &str = "HTTPS `GET /v1/ping` with a secret key: TLS 1.3, HTTP/1.1, 64 connections that stay open, \
    10,000 different keys in turn. Server and load have one core each. nginx and HAProxy look the key up among the same \
    10,000, compare the address with a list and count the rate; axum on rustls checks nothing.";
pub(super) const LIMIT: &str = "About half of the time is the kernel's: one read, one write and their way through the \
    loopback device per request. The rest is TLS records, HTTP parsing and headers, and the keyed hash of the presented \
    key (two SHA-256 blocks and two more of HMAC), which peers that compare keys in plaintext do not compute.";

/// As many API keys as a busy installation has.
const KEYS: usize = 10_000;
/// What nginx did of this on the machine (2026-11-22) on which the peers were measured that are in no run.
const NGINX_THERE: f64 = 117_800.0;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let keys = stage.keys(KEYS).await;
    let authority = stage.authority();
    let peers = [
        Peer::nginx(stage, &keys, Checks::Rate),
        Peer::haproxy(stage, &keys, Checks::Rate),
        Peer::axum(stage),
    ];
    let servers = ["nginx", "HAProxy", "axum and rustls, no check"].into_iter();
    let servers = servers.zip(&peers).map(|(who, peer)| {
        let server = (peer.target(&authority), vec![peer.watched()]);
        (who, server)
    });
    let coffer = ("Coffer", (stage.api(), vec![stage.role("api")]));
    let cases = [coffer].into_iter().chain(servers);
    let cases: Vec<Case> = cases
        .map(|(who, server)| Case::new(who, server, &["/v1/ping".to_owned()], &keys))
        .collect();
    let lines = case::measure(&cases, None, plan).await;
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
            format!(
                "This machine does {:.2} times as much as the one where the peers were measured that are in no run: nginx did \
                 {} of these there. Their figures, and so the floors that come from them, are left as they are.",
                nginx / NGINX_THERE,
                Unit::PerSecond.show(NGINX_THERE)
            ),
        ],
    }
}
