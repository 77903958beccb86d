//! The first of the three steps: the intent, committed with its record and the claim of its idempotency key.

use coffer_core::id::PaymentId;
use coffer_db::Transaction;
use coffer_net::contract::vault::{Act, Perform};

use crate::{
    Caller, Engine, Error, Fresh,
    commit::By,
    drive::perform,
    ledger::{Attempt, Ledger},
    store::{idempotency, payments as sql},
};

/// How often a change is decided anew because another one came between.
const CONFLICTS_MAX: usize = 8;

impl Engine {
    /// Adds an attempt to a payment, and what else goes with it, as `decide` finds right for the version that it commits on.
    /// The payment is answered as it was stored with the attempt.
    pub(crate) async fn intend_on<F>(
        &self,
        caller: &Caller,
        fresh: &Fresh,
        id: PaymentId,
        action: &'static str,
        decide: F,
    ) -> Result<(Perform, Ledger), Error>
    where
        F: Fn(&Self, &Ledger) -> Result<(Attempt, Act, Transaction), Error>,
    {
        for _ in 0..CONFLICTS_MAX {
            let now = self.now();
            let mut ledger = self.ledger(caller.place, id).await?;
            let (attempt, act, also) = match decide(self, &ledger) {
                Ok(decided) => decided,
                // What a twin has just done is no reason to refuse.
                Err(error) => return Err(self.or_twin(fresh, error).await),
            };
            let job = perform(&ledger, &attempt, act);
            let claim = fresh.claim(&attempt.answers, now);
            let object = attempt
                .refund
                .map_or_else(|| id.to_string(), |refund| refund.to_string());
            ledger.begin(attempt);
            let (update, _) = ledger.update(now);
            let intent = update.append(also).append(claim);
            match self
                .commit(By::Caller(caller), caller.place, action, &object, intent)
                .await
            {
                Ok(_) => return Ok((job, ledger.once_stored())),
                Err(error) if error.is_conflict_at(&idempotency::CLAIM) => {
                    return Err(self.twin_answer(fresh).await);
                }
                Err(error) if error.is_conflict_at(&sql::PAYMENT_UPDATE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Unavailable)
    }
}
