//! The first of the three steps: the intent, committed with its record and the claim of its idempotency key.

use coffer_core::id::PaymentId;
use coffer_db::Transaction;
use coffer_net::contract::vault::{Act, Perform};

use crate::{
    Caller, Engine, Error, Fresh, Payment,
    commit::By,
    drive::perform,
    ledger::{Attempt, Ledger},
    store::{caps, payments as sql},
};

/// How often a change is decided anew because another one came between.
const CONFLICTS_MAX: usize = 8;

/// An attempt, what the vault is to do for it, and what else is stored with it.
type Decided = (Attempt, Act, Transaction);

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
        F: Fn(&Self, &Ledger) -> Result<Decided, Error>,
    {
        for _ in 0..CONFLICTS_MAX {
            let now = self.now();
            let mut ledger = self.ledger(caller.place, id).await?;
            let decided = decide(self, &ledger)?;
            let (attempt, act, also) = self.reserved(caller, decided, &ledger.payment).await?;
            let reserved = attempt.reserved.clone();
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
                Ok(done) => {
                    self.watch_caps(caller.known.key(), reserved.as_ref(), &done);
                    return Ok((job, ledger.once_stored()));
                }
                Err(error)
                    if error.is_conflict_at(&sql::PAYMENT_UPDATE)
                        || error.is_conflict_at(&caps::COUNT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Unavailable)
    }

    /// What was decided, with what it takes of the caps of the caller's key.
    async fn reserved(
        &self,
        caller: &Caller,
        (mut attempt, act, also): Decided,
        payment: &Payment,
    ) -> Result<Decided, Error> {
        let reserve = self
            .reserve(caller.known.key(), &mut attempt, payment)
            .await?;
        Ok((attempt, act, also.append(reserve)))
    }
}
