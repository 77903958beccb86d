//! What becomes of a client that asks for more than it may, and what another one notices of it (YARDSTICK Y23).

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::oneshot, time::sleep};

use super::waiting::{percentile, times};
use crate::{
    drive::Plan,
    http::{CONNECTIONS, Connection, Target, get},
    stage::Stage,
    table::{Judged, Measured, Unit},
};

pub(super) const HOW: &str = "A key with a rate of 100 a minute, and 300 `GET /v1/ping` at once over 64 connections: what is let \
    in, and whether every header tells the truth; who comes back when it was told to is let in. Then the same at full speed, \
    over 64 connections and, for a minute, over one, as from a client that does not listen, while another key asks every few \
    milliseconds: the 99th percentile of what that one waits, beside what it waits when nobody else is there. Two nodes that \
    share the rate, and clocks that differ, are in the tests, which need no quiet machine.";
pub(super) const LIMIT: &str = "Requests are answered in the order in which they come, on one core: up to 64 refusals are ahead of \
    an answer when 64 connections do not wait. Whose key it is has to be known before it can be refused.";

/// As many as are made at a time; one is used.
const KEYS: usize = 8;
const PER_MINUTE: usize = 100;
const AT_ONCE: usize = 300;
/// A unit is earned while they come.
const PASSED_MAX: f64 = 101.0;
const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let (api, keys) = (stage.api(), stage.keys(KEYS).await);
    let other = keys.first().expect("a key");
    let passed = burst(&api, &limited(stage).await).await;
    let alone = apart(&api, other, plan.measured).await;
    let (among_many, many) = among(stage, CONNECTIONS, (other, plan.measured)).await;
    // A minute, or a moment to see that it works.
    let long = if plan.runs > 1 { MINUTE } else { plan.measured };
    let (among_one, one) = among(stage, 1, (other, long)).await;
    let idle_us = percentile(&alone, 99);
    let judged = |what: &str, value, bound, unit, from: &str| Judged {
        what: what.to_owned(),
        value,
        unit,
        floor: bound,
        aim: bound,
        from: from.to_owned(),
        fsync: None,
    };
    let noticed = |who: &str, times: &[f64]| {
        judged(
            &format!("p99 of a client beside one that is throttled, {who}"),
            percentile(times, 99),
            2.0 * idle_us,
            Unit::Microseconds,
            "2 × its p99 alone",
        )
    };
    let waits = |who: &str, times: &[f64]| {
        let [half, most] = [50, 99].map(|part| percentile(times, part));
        format!(
            "{who}: {} requests, p50 {half:.0} µs, p99 {most:.0} µs",
            times.len()
        )
    };
    let throttled = |who: &str, seen: &Seen| {
        format!(
            "throttled, {who}: {} let in, {} refused",
            seen.passed.get(),
            seen.refused.get()
        )
    };
    Measured {
        judged: vec![
            judged(
                "let in of 300 at once, at 100 a minute",
                passed as f64,
                PASSED_MAX,
                Unit::Times,
                "fixed",
            ),
            noticed("64 connections", &among_many),
            noticed("one connection", &among_one),
        ],
        lines: Vec::new(),
        notes: vec![
            waits("alone", &alone),
            waits("beside 64 connections", &among_many),
            throttled("64 connections", &many),
            waits("beside one connection", &among_one),
            throttled("one connection", &one),
        ],
    }
}

/// A new key with the rate.
async fn limited(stage: &Stage) -> String {
    stage
        .key_with(&format!(
            r#""rate":{{"per_minute":{PER_MINUTE},"burst":{PER_MINUTE}}}"#
        ))
        .await
}

/// What an answer says of the rate.
struct Told {
    passed: bool,
    left: usize,
    /// When to come back, of a refusal.
    retry_after: Option<u64>,
}

impl Told {
    fn read(head: &str) -> Self {
        let header = |name: &str| {
            let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
            lines
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let policy = format!("\"key\";q={PER_MINUTE};w=60;burst={PER_MINUTE}");
        assert_eq!(header("ratelimit-policy"), Some(policy.as_str()), "{head}");
        let left = header("ratelimit").and_then(|told| told.strip_prefix("\"key\";r="));
        let (left, full_in_s) = left
            .and_then(|told| told.split_once(";t="))
            .expect("a rate");
        let full_in_s: u64 = full_in_s.parse().expect("seconds");
        assert!((1..=61).contains(&full_in_s), "{head}");
        let told = Self {
            passed: head.starts_with("HTTP/1.1 200"),
            left: left.parse().expect("units"),
            retry_after: header("retry-after").map(|wait| wait.parse().expect("seconds")),
        };
        assert!(told.passed || head.starts_with("HTTP/1.1 429"), "{head}");
        assert_eq!(told.passed, told.retry_after.is_none(), "{head}");
        assert!(told.passed || told.left == 0, "{head}");
        told
    }
}

/// How many of 300 requests at once are let in. Every header tells the truth, or the program ends.
async fn burst(api: &Target, key: &str) -> usize {
    let request = get(&api.host(), "/v1/ping", key);
    let connections = (0..CONNECTIONS).map(|_| Connection::open(api));
    let (mut connections, all) = (join_all(connections).await, RefCell::new(Vec::new()));
    let sent = Cell::new(0);
    join_all(connections.iter_mut().map(async |connection| {
        while sent.get() < AT_ONCE {
            sent.set(sent.get() + 1);
            let told = Told::read(connection.head(&request).await);
            all.borrow_mut().push(told);
        }
    }))
    .await;
    let all = all.into_inner();
    let (passed, refused): (Vec<&Told>, Vec<&Told>) = all.iter().partition(|told| told.passed);
    assert!(
        passed.len() >= PER_MINUTE,
        "only {} were let in",
        passed.len()
    );
    for left in 0..PER_MINUTE {
        assert!(
            passed.iter().any(|told| told.left == left),
            "nobody was told that {left} are left"
        );
    }
    let wait = refused.iter().filter_map(|told| told.retry_after).max();
    sleep(Duration::from_secs(wait.expect("a refusal"))).await;
    let back = Told::read(connections[0].head(&request).await);
    assert!(back.passed, "who came back when it was told to was refused");
    passed.len()
}

#[derive(Default)]
struct Seen {
    passed: Cell<u64>,
    refused: Cell<u64>,
}

/// What another client waits while a throttled one asks at full speed over so many connections.
async fn among(
    stage: &Stage,
    connections: usize,
    (other, measured): (&str, Duration),
) -> (Vec<f64>, Seen) {
    let (api, key, seen) = (stage.api(), limited(stage).await, Seen::default());
    let request = get(&api.host(), "/v1/ping", &key);
    let hog = join_all((0..connections).map(async |_| {
        let mut connection = Connection::open(&api).await;
        loop {
            let told = Told::read(connection.head(&request).await);
            let count = if told.passed {
                &seen.passed
            } else {
                &seen.refused
            };
            count.set(count.get() + 1);
        }
    }));
    let times = tokio::select! {
        times = apart(&api, other, measured) => times,
        _ = tokio::task::unconstrained(hog) => panic!("who does not listen never ends"),
    };
    (times, seen)
}

/// The times of a client in a thread of its own, so that it waits for the server and not for the rest of the load.
async fn apart(api: &Target, key: &str, measured: Duration) -> Vec<f64> {
    let (told, times_taken) = oneshot::channel();
    let (api, key) = (api.clone(), key.to_owned());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let taken = runtime
            .expect("a runtime")
            .block_on(times(&api, &key, measured));
        let _ = told.send(taken);
    });
    times_taken.await.expect("a client that ends in order")
}
