//! What a client that keeps to the rules notices of a thousand others who keep the API waiting (YARDSTICK Y10).

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use crate::{
    drive::Plan,
    http::{Connection, Target, get},
    stage::Stage,
    table::{Judged, Measured, Unit},
};

pub(super) const HOW: &str = "The 99th percentile of the time that one client waits for `GET /v1/ping`, asked every few \
    milliseconds, while 1,000 others have connections open from eight addresses and send a head or a body byte by byte, or \
    read nothing of long answers. Whoever is left behind comes again at once, with a new handshake.";
pub(super) const LIMIT: &str =
    "The handshakes of those who come again, which share the one core with the request.";

/// As many as are made at a time; one is used.
const KEYS: usize = 8;
const CROWD: usize = 1_000;
/// So that nobody has to leave because too much of one address is unfinished.
const ADDRESSES: usize = 8;
/// Between two bytes of who sends slowly.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two requests of who keeps to the rules.
const BREATH: Duration = Duration::from_millis(2);
/// All are there, and the first have been left behind and have come again.
const SETTLED: Duration = Duration::from_secs(25);
/// Between the first comings of two of them: all together as long as the slowest is borne.
const APART: Duration = Duration::from_millis(20);
/// The least that is measured: each of them was left behind once.
const MEASURED_MIN: Duration = Duration::from_secs(20);
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);
/// YARDSTICK Y10.
const P99_MAX_US: f64 = 25_000.0;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let (api, keys) = (stage.api(), stage.keys(KEYS).await);
    let key = keys.first().expect("a key");
    let (here, came) = (Cell::new(0_usize), Cell::new(0_usize));
    let crowd = join_all((0..CROWD).map(|place| {
        let guest = Guest {
            api: &api,
            key,
            place,
            here: &here,
            came: &came,
        };
        guest.keep_waiting()
    }));
    let alone = times(&api, key, plan.measured).await;
    let among_them = async {
        sleep(SETTLED).await;
        let (before, least) = (came.get(), here.get());
        let among = times(&api, key, plan.measured.max(MEASURED_MIN)).await;
        (among, least.min(here.get()), came.get() - before)
    };
    let (among, least, again) = tokio::select! {
        found = among_them => found,
        _ = crowd => panic!("who keeps waiting never ends"),
    };
    let judged = Judged {
        what: "p99 of a good client among 1,000 who keep the API waiting".to_owned(),
        value: percentile(&among, 99),
        unit: Unit::Microseconds,
        floor: P99_MAX_US,
        aim: P99_MAX_US,
        from: "fixed".to_owned(),
        fsync: None,
    };
    let note = |who: &str, times: &[f64]| {
        let [half, most] = [50, 99].map(|part| percentile(times, part));
        format!(
            "{who}: {} requests, p50 {half:.0} µs, p99 {most:.0} µs",
            times.len()
        )
    };
    Measured {
        judged: vec![judged],
        lines: Vec::new(),
        notes: vec![
            note("alone", &alone),
            note("among them", &among),
            format!("{least} of {CROWD} were there before and after; {again} came again meanwhile"),
        ],
    }
}

/// How long each request took, in microseconds, in order.
pub(super) async fn times(api: &Target, key: &str, measured: Duration) -> Vec<f64> {
    let request = get(&api.host(), "/v1/ping", key);
    let mut connection = Connection::open(api).await;
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < measured {
        let asked = Instant::now();
        connection.exchange(&request).await;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
        sleep(BREATH).await;
    }
    times.sort_by(f64::total_cmp);
    times
}

/// The time that so many of a hundred requests did not exceed.
pub(super) fn percentile(sorted: &[f64], part: usize) -> f64 {
    sorted[(sorted.len() * part / 100).min(sorted.len() - 1)]
}

/// Somebody who keeps the API waiting.
struct Guest<'a> {
    api: &'a Target,
    key: &'a str,
    place: usize,
    here: &'a Cell<usize>,
    came: &'a Cell<usize>,
}

impl Guest<'_> {
    /// Again and again.
    async fn keep_waiting(self) {
        // One after the other, as they are left behind then: a thousand at once would be a flood of handshakes.
        sleep(APART * u32::try_from(self.place).expect("a few")).await;
        let last = u8::try_from(self.place % ADDRESSES).expect("a few");
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 2, last + 1));
        loop {
            let coming = timeout(HANDSHAKE_MAX, self.api.try_connect_from(from)).await;
            let Ok(Ok(mut stream)) = coming else {
                sleep(PAUSE).await;
                continue;
            };
            self.came.set(self.came.get() + 1);
            self.here.set(self.here.get() + 1);
            let (host, key) = (self.api.host(), self.key);
            let begun = match self.place % 3 {
                0 => format!("GET /v1/ping HTTP/1.1\r\nhost: {host}\r\nx: "),
                1 => format!(
                    "POST /v1/payments HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
                     content-type: application/json\r\ncontent-length: 9000\r\n\r\n"
                ),
                _ => format!("GET /openapi.json HTTP/1.1\r\nhost: {host}\r\n\r\n").repeat(40),
            };
            let mut sent = stream.write_all(begun.as_bytes()).await;
            if self.place % 3 == 2 {
                // Nothing is read; that the other side has closed is found out by sending.
                while sent.is_ok() {
                    sleep(PAUSE).await;
                    sent = stream.write_all(b"G").await;
                }
            }
            while sent.is_ok() {
                let mut byte = [0];
                match timeout(PAUSE, stream.read(&mut byte)).await {
                    Err(_) => sent = stream.write_all(b"1").await,
                    Ok(Ok(1..)) => {}
                    Ok(_) => break,
                }
            }
            self.here.set(self.here.get() - 1);
        }
    }
}
