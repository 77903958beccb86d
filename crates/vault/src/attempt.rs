//! Attempts: one provider call each, recorded before any byte leaves and never sent twice.
//!
//! An attempt runs in a task of its own, so it goes on when whoever asked goes away; the same attempt again waits for it, or
//! gets what was stored. Three steps: record the intent (and claim the token), act, record the outcome. An attempt that
//! failed before anything could leave is `not_sent`: its token is free again, and the error says why. It stays so for ever;
//! another try is another attempt.

mod act;
mod content;
mod row;
mod settle;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use coffer_audit::Entry;
use coffer_core::{Timestamp, id::AttemptId};
use coffer_db::{Transaction, params};
use coffer_net::{
    contract::{
        self, Peer, Place, Refusal,
        vault::{AttemptOutcome, Perform},
    },
    task,
};
use tokio::sync::watch;

pub(crate) use content::Attempt;

use crate::{
    Error, Vault,
    attempt::{act::Ready, row::AttemptRow},
    record::row_key,
    store, token,
};

type Answer = Result<AttemptOutcome, contract::Error>;
type Waiting = watch::Receiver<Option<Answer>>;

/// The attempts that run in this process.
#[derive(Default)]
pub(crate) struct Running(Mutex<HashMap<(Place, AttemptId), Run>>);

struct Run {
    content: [u8; 32],
    answer: Waiting,
}

impl Running {
    /// What to wait for, if the attempt is running.
    fn waiting(&self, place: Place, id: AttemptId) -> Option<Waiting> {
        self.lock().get(&(place, id)).map(|run| run.answer.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Place, AttemptId), Run>> {
        coffer_net::lock(&self.0)
    }
}

/// Takes the attempt out of [`Running`] when its task ends, however it ends.
struct Leave {
    vault: Vault,
    key: (Place, AttemptId),
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.vault.parts.running.lock().remove(&self.key);
    }
}

async fn wait(mut answer: Waiting) -> Answer {
    match answer.wait_for(Option::is_some).await {
        Ok(answered) => answered.clone().unwrap_or(Err(contract::Error::Defect)),
        // Its task panicked; what became of it is in the store.
        Err(_) => Err(contract::Error::Defect),
    }
}

impl Vault {
    /// Performs an attempt, or joins the one that runs, or repeats the outcome of the one that ran.
    pub(crate) async fn perform(&self, peer: &Peer, request: Perform) -> Answer {
        let attempt = Attempt::parse(self, peer, request).map_err(contract::Error::Refused)?;
        let waiting = self
            .join_or_start(attempt)
            .map_err(contract::Error::Refused)?;
        wait(waiting).await
    }

    fn join_or_start(&self, attempt: Attempt) -> Result<Waiting, Refusal> {
        let key = (attempt.place, attempt.id);
        let mut running = self.parts.running.lock();
        if let Some(run) = running.get(&key) {
            return if run.content == attempt.content {
                Ok(run.answer.clone())
            } else {
                Err(Refusal::AttemptConflict)
            };
        }
        let (told, answer) = watch::channel(None);
        running.insert(
            key,
            Run {
                content: attempt.content,
                answer: answer.clone(),
            },
        );
        let leave = Leave {
            vault: self.clone(),
            key,
        };
        task::spawn("attempt", async move {
            let answer = Box::pin(leave.vault.run_attempt(&attempt)).await;
            told.send_replace(Some(answer));
        });
        Ok(answer)
    }

    async fn run_attempt(&self, attempt: &Attempt) -> Answer {
        match self.begin(attempt).await.map_err(Error::into_contract)? {
            Begun::Before(row) => row.answer(),
            Begun::Now(recorded) => self.carry_out(attempt, recorded).await,
        }
    }

    /// The first step: everything that can be refused is refused here, before anything is recorded. An attempt that was
    /// recorded before is found when it is refused or cannot be recorded again, so a new one need not be looked for.
    async fn begin(&self, attempt: &Attempt) -> Result<Begun, Error> {
        let now = self.parts.clock.now();
        let ready = match self.check(attempt, now).await {
            Ok(ready) => ready,
            Err(refused) => {
                return match self.attempt_row(attempt.place, attempt.id).await? {
                    Some(row) => attempt.same_as(row).map(Begun::Before),
                    None => Err(refused),
                };
            }
        };
        let entry = attempt.entry("attempt.record");
        let intent = self.commit(attempt.place, entry, intent(attempt, now));
        match intent.await {
            Ok(()) => Ok(Begun::Now(Recorded(ready))),
            Err(coffer_db::Error::Conflict(conflict)) => self.beaten(attempt, conflict).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn check(&self, attempt: &Attempt, now: Timestamp) -> Result<Ready, Error> {
        attempt.check_time(now)?;
        self.prepare(attempt, now).await
    }

    /// Someone was faster: another vault with the same attempt, or another use of the token.
    async fn beaten(
        &self,
        attempt: &Attempt,
        conflict: coffer_db::Conflict,
    ) -> Result<Begun, Error> {
        if let Some(row) = self.attempt_row(attempt.place, attempt.id).await? {
            return attempt.same_as(row).map(Begun::Before);
        }
        match attempt.token() {
            Some(token) if conflict.statement == store::TOKEN_CLAIM.name => {
                Err(self.claim_refusal(attempt.place, token).await)
            }
            Some(_) | None => Err(coffer_db::Error::Conflict(conflict).into()),
        }
    }
}

/// The steps that store the attempt and use its token up.
fn intent(attempt: &Attempt, now: Timestamp) -> Transaction {
    let Attempt { place, id, .. } = *attempt;
    let money = attempt.money();
    let mut values = row_key(place, id);
    values.extend(params![
        attempt.payment.to_string(),
        attempt.line.name.as_str(),
        attempt.operation().as_str(),
        money.map(|money| money.amount()),
        money.map(|money| money.currency().code()),
        attempt.authorize().map(|authorize| authorize.to_string()),
        attempt.token().map(|token| token.to_string()),
        attempt.content,
        attempt.deadline.as_millis(),
        now.as_millis(),
    ]);
    let steps = Transaction::new().one(&store::ATTEMPT_INSERT, values);
    match attempt.token() {
        Some(token) => steps.append(token::claim(place, token, &id.to_string(), now)),
        None => steps,
    }
}

impl Attempt {
    /// The stored attempt, if it is this one.
    fn same_as(&self, row: AttemptRow) -> Result<AttemptRow, Error> {
        if row.content == self.content {
            Ok(row)
        } else {
            Err(Refusal::AttemptConflict.into())
        }
    }

    fn entry(&self, action: &'static str) -> Entry {
        let entry = Entry::new(self.actor.clone(), action)
            .route("perform")
            .object(self.id)
            .object(self.payment);
        match self.token() {
            Some(token) => entry.object(token),
            None => entry,
        }
    }
}

/// Where an attempt stands after its first step.
enum Begun {
    /// It was recorded before.
    Before(AttemptRow),
    /// It was recorded now, and nobody else will send it.
    Now(Recorded),
}

/// Proof that the intent is durable and the token claimed. Acting consumes it, so nothing is sent without, or twice.
struct Recorded(Ready);
