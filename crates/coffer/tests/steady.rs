//! Minutes at a fixed rate leave memory and descriptors as they were. By its own command, because it takes ten of them:
//! `cargo nextest run -p coffer --test steady --run-ignored only`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

use std::{
    fs,
    time::{Duration, Instant},
};

use coffer_net::task;
use coffer_testkit::{Client, Coffer, Merchant};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const ROLES: [&str; 4] = ["api", "vault", "keys", "simulator"];
/// How long, unless `COFFER_TEST_MINUTES` says otherwise.
const MINUTES: u64 = 10;
/// The part in which pools may fill: a fifth.
const WARM_UP: u32 = 5;
/// Payments before that: what a role keeps of its store in memory is bounded, and filling it would look like growth.
const FIRST: u32 = 8_000;
/// So many of them at a time.
const PAYERS: u32 = 8;
/// Room for them.
const LIMITS: [(&str, &str); 4] = [
    ("COFFER_LIMITS_KEY_PER_MINUTE", "600000"),
    ("COFFER_LIMITS_KEY_BURST", "60000"),
    ("COFFER_LIMITS_ACCOUNT_PER_MINUTE", "600000"),
    ("COFFER_LIMITS_ACCOUNT_BURST", "60000"),
];
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// What a process may grow by in ten minutes, by the straight line through its samples.
const GROWTH_MAX_MIB: f64 = 8.0;
/// By how many descriptors two samples of a process may differ: connections come and go.
const DESCRIPTORS_SPREAD_MAX: usize = 24;

/// What is done, and how often in a second.
const PAYMENTS: u32 = 10;
const READS: u32 = 40;
const PAGES: u32 = 2;

/// One look at a process.
struct Sample {
    minutes: f64,
    resident_mib: f64,
    descriptors: usize,
}

fn look(pid: u32, began: Instant) -> Sample {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: f64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    let page = rustix::param::page_size() as f64;
    Sample {
        minutes: began.elapsed().as_secs_f64() / 60.0,
        resident_mib: pages * page / f64::from(1 << 20),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
    }
}

/// MiB a minute, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (
        mean(|sample| sample.minutes),
        mean(|sample| sample.resident_mib),
    );
    let (mut above, mut below) = (0.0, 0.0);
    for sample in samples {
        above += (sample.minutes - x) * (sample.resident_mib - y);
        below += (sample.minutes - x).powi(2);
    }
    above / below
}

/// Does something so often in a second until the end; how often in all.
async fn at_rate<F: Future<Output = ()>>(rate: u32, end: Instant, act: impl Fn() -> F) -> u64 {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut done = 0;
    while Instant::now() < end {
        ticks.tick().await;
        act().await;
        done += 1;
    }
    done
}

async fn pay(shop: &Merchant) {
    let order = json!({"amount": 100, "currency": "EUR", "token": "tok_test_approved"});
    shop.post("/v1/payments", &order).await.expect(201);
}

async fn pay_often(shop: Merchant, times: u32) {
    for _ in 0..times {
        pay(&shop).await;
    }
}

async fn read(shop: &Merchant) {
    shop.get("/v1/payments?limit=5").await.expect(200);
}

async fn open_page(client: &Client, shop: &Merchant) {
    let order = json!({"amount": 100, "currency": "EUR"});
    let made = shop.post("/v1/payments", &order).await.expect(201);
    let page = made.json["checkout_url"].as_str().unwrap();
    client.send("GET", page, &[], None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn minutes_at_a_fixed_rate_leave_memory_and_descriptors_flat() {
    let minutes = std::env::var("COFFER_TEST_MINUTES").ok();
    let minutes = minutes.map_or(MINUTES, |text| text.parse().expect("a number of minutes"));
    let coffer = Coffer::start_with(BINARY, &LIMITS).await;
    let (shop, client) = (coffer.merchant().await, coffer.client());
    let first = (0..PAYERS).map(|_| pay_often(shop.clone(), FIRST / PAYERS));
    first.collect::<JoinSet<()>>().join_all().await;
    let began = Instant::now();
    let lasting = Duration::from_secs(60 * minutes);
    let (warm, end) = (began + lasting / WARM_UP, began + lasting);

    let (payer, reader, visitor) = (shop.clone(), shop.clone(), shop.clone());
    let load = [
        task::spawn("payments", async move {
            at_rate(PAYMENTS, end, || pay(&payer)).await
        }),
        task::spawn("reads", async move {
            at_rate(READS, end, || read(&reader)).await
        }),
        task::spawn("pages", async move {
            at_rate(PAGES, end, || open_page(&client, &visitor)).await
        }),
    ];
    let mut samples = ROLES.map(|_| Vec::new());
    let mut ticks = interval(SAMPLE_EVERY);
    while Instant::now() < end {
        ticks.tick().await;
        if Instant::now() > warm {
            for (role, samples) in ROLES.iter().zip(&mut samples) {
                samples.push(look(coffer.pid(role), began));
            }
        }
    }
    for (what, work) in ["payments", "reads", "pages"].into_iter().zip(load) {
        println!("{what}: {}", work.await.unwrap());
    }
    for (role, samples) in ROLES.iter().zip(&samples) {
        let growth = 10.0 * slope(samples);
        let open = samples.iter().map(|sample| sample.descriptors);
        let (least, most) = (open.clone().min().unwrap(), open.max().unwrap());
        let last = samples.last().unwrap().resident_mib;
        println!(
            "{role}: {last:.1} MiB, {growth:+.2} MiB in ten minutes, {least} to {most} descriptors"
        );
        assert!(growth < GROWTH_MAX_MIB, "{role} grows");
        assert!(
            most - least <= DESCRIPTORS_SPREAD_MAX,
            "{role} opens more and more"
        );
    }
}
