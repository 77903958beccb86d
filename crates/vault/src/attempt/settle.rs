//! Settling: finding out what became of an attempt, from the store, then from the provider. Never a guess.

use std::time::Duration;

use coffer_audit::Entry;
use coffer_core::{Timestamp, limits::ATTEMPT_MARGIN_MS};
use coffer_net::contract::{
    Peer,
    vault::{Settle, Settlement},
};

use super::{
    act::with_verdict,
    row::{AttemptRow, Status, outcome_of, settled},
    wait,
};
use crate::{
    Error, Vault,
    adapter::{Recovery, Reply, Verdict},
    journal,
};

/// How long a provider may take to answer a look-up.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

impl Vault {
    /// What became of an attempt, as far as vault and provider know now.
    pub(crate) async fn settle(&self, peer: &Peer, request: Settle) -> Result<Settlement, Error> {
        if let Some(running) = self.parts.running.waiting(request.place, request.attempt) {
            // Its outcome is in the store when it has ended, whatever it answered.
            let _ = wait(running).await;
        }
        let Some(row) = self.attempt_row(request.place, request.attempt).await? else {
            return Ok(Settlement::NotRecorded);
        };
        let now = self.parts.clock.now();
        match row.status {
            Status::NotSent | Status::Succeeded | Status::Failed => Ok(settlement(&row)),
            // Another vault may be sending it.
            Status::Sending if now < row.deadline => Ok(settlement(&row)),
            Status::Sending | Status::Unknown | Status::Challenged => {
                self.recover(peer, &request, row, now).await
            }
        }
    }

    async fn recover(
        &self,
        peer: &Peer,
        request: &Settle,
        row: AttemptRow,
        now: Timestamp,
    ) -> Result<Settlement, Error> {
        let reply = self.look_up(request, &row, now).await?;
        match &reply.verdict {
            Verdict::NotFound | Verdict::Unclear => return Ok(settlement(&row)),
            Verdict::Challenged(_) if row.answer() == Ok(outcome_of(&reply.verdict)) => {
                return Ok(settlement(&row));
            }
            Verdict::Challenged(_) | Verdict::Succeeded | Verdict::Failed(_) => {}
        }
        let entry = Entry::new(journal::role(peer), "attempt.settle").route("settle");
        let entry = with_verdict(
            entry.object(request.attempt).object(row.payment),
            &reply.verdict,
        );
        let now = self.parts.clock.now();
        let steps = settled(request.place, request.attempt, &reply, now);
        match self.commit(request.place, entry, steps).await {
            Ok(()) => Ok(Settlement::Known(outcome_of(&reply.verdict))),
            // Someone else has settled it meanwhile.
            Err(coffer_db::Error::Conflict(_)) => {
                let row = self.attempt_row(request.place, request.attempt).await?;
                Ok(row.as_ref().map_or(Settlement::NotRecorded, settlement))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the provider says. "Not found" means "never happened" only after the deadline and a margin, because until then
    /// the request may still be on its way; `now` was taken before the provider was asked.
    async fn look_up(
        &self,
        request: &Settle,
        row: &AttemptRow,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let Some(line) = self.parts.providers.find(request.place.mode, &row.provider) else {
            tracing::error!(
                provider.name = row.provider.as_str(),
                "an attempt waits for a provider that is not configured"
            );
            return Ok(Reply::unclear());
        };
        match line.adapter.recovery() {
            Recovery::LookUp => {}
        }
        let credential = line
            .credential(&self.parts.db, &self.parts.service_keys.credentials)
            .await?;
        let asked = line
            .egress
            .send(
                line.adapter.look_up(request.attempt),
                &credential,
                LOOK_UP_TIMEOUT,
            )
            .await;
        let reply = asked.map_or_else(
            |_| Reply::unclear(),
            |answer| {
                line.adapter
                    .read_look_up(answer.status, &answer.body)
                    .scrubbed()
            },
        );
        let over = now >= row.deadline.plus_millis(ATTEMPT_MARGIN_MS);
        let undecided = matches!(row.status, Status::Sending | Status::Unknown);
        if reply.verdict == Verdict::NotFound && undecided && over {
            return Ok(Reply::not_done());
        }
        Ok(reply)
    }
}

/// An attempt that was not sent is as good as not recorded: it never was, and never will be.
fn settlement(row: &AttemptRow) -> Settlement {
    row.answer()
        .map_or(Settlement::NotRecorded, Settlement::Known)
}
