//! Processes that are told to stop under load: what was acknowledged stays, and what is in flight is answered.

use std::time::Duration;

use coffer_net::task;
use coffer_testkit::{Chance, Coffer, eventually};
use serde_json::json;

use crate::{BINARY, Victim, seed, survive};

/// How a process ends that was told to.
pub(crate) const IN_ORDER: &str = "exit status: 0";
/// Requests that are in flight when the end comes.
const IN_FLIGHT: usize = 6;
/// How long the provider takes for each of them; no other time is known in which all are in flight at once.
const LATE_MS: u64 = 2000;
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_loses_or_doubles_no_payment() {
    let mut chance = Chance::new(seed());
    let told = ["api", "vault", "keys", "simulator"].map(Victim::Told);
    let mut victims = [&told[..], &[Victim::AllTold]].concat();
    chance.shuffle(&mut victims);
    survive(Coffer::start(BINARY).await, chance, victims).await;
}

/// Each request is at the provider when the processes are told to stop: its client gets its answer, and no reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_answered_before_the_processes_end() {
    let mut coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for (round, who) in ["everything", "api"].into_iter().enumerate() {
        let late = json!({"behaviour": "late", "operation": "authorize", "count": IN_FLIGHT, "delay_ms": LATE_MS});
        coffer.misbehave(late).await;
        let requests: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let shop = shop.clone();
                task::spawn("client", async move {
                    let order =
                        json!({"amount": 1999, "currency": "EUR", "token": "tok_test_approved"});
                    shop.post("/v1/payments", &order).await
                })
            })
            .collect();
        let authorized = async || {
            let ledger = coffer.ledger().await;
            let operations = ledger.iter().map(|line| &line["operation"]);
            let count = operations.filter(|operation| **operation == "authorize");
            (count.count() == IN_FLIGHT * (round + 1)).then_some(())
        };
        eventually(TAKEN_WITHIN, "all are at the provider", authorized).await;
        if who == "everything" {
            coffer.at_rest(async |_| ()).await;
        } else {
            assert_eq!(coffer.stop(who).await, IN_ORDER);
        }
        for request in requests {
            let answer = request.await.expect("an answer").expect(201);
            assert_eq!(answer.json["status"], "captured", "{who}");
        }
    }
}
