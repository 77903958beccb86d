//! Preparing an attempt, and acting on it once it is recorded: open the card, build the request, send it, store the outcome.

use std::time::Duration;

use coffer_audit::{Entry, Outcome};
use coffer_core::{
    Timestamp,
    id::{AttemptId, TokenId},
};
use coffer_crypto::SecretBytes;
use coffer_db::{Transaction, params};
use coffer_net::{
    contract::{
        self, Refusal,
        keys::{Class, Open, Subject},
        order::SignedOrder,
        vault::{Act, AttemptOutcome, CardSource, TestToken},
    },
    outbound::Blame,
};

use super::{
    Answer, Attempt, Recorded,
    row::{Status, outcome_of, settled, word_of},
};
use crate::{
    Error, Vault,
    adapter::{Ask, PlainCard, ProviderRequest, Reply, TooLong, Verdict, simulator},
    record::{Record, row_key},
    store, token,
};

/// Everything that an attempt needs from the store, found and fitting.
pub(super) enum Ready {
    /// A sealed card, and the token whose security code goes with it.
    Card {
        record: Box<Record>,
        order: SignedOrder,
        cvc: Option<TokenId>,
    },
    /// A published test card.
    TestCard(TestToken),
    /// The provider's id of the authorization.
    Reference(String),
}

impl Vault {
    /// Finds what the attempt needs. Nothing is changed, opened or claimed yet.
    pub(super) async fn prepare(&self, attempt: &Attempt, now: Timestamp) -> Result<Ready, Error> {
        match &attempt.act {
            Act::Authorize {
                source: CardSource::Token { token, order },
                ..
            } => self.prepare_token(attempt, *token, order, now).await,
            Act::Authorize {
                source: CardSource::Kept { order },
                ..
            } => self.prepare_kept(attempt, order).await,
            Act::Authorize {
                source: CardSource::Test(test),
                ..
            } => Ok(Ready::TestCard(*test)),
            Act::Capture { authorize, .. }
            | Act::Void { authorize }
            | Act::Refund { authorize, .. } => self
                .reference(attempt, *authorize)
                .await
                .map(Ready::Reference),
        }
    }

    async fn prepare_token(
        &self,
        attempt: &Attempt,
        id: TokenId,
        order: &SignedOrder,
        now: Timestamp,
    ) -> Result<Ready, Error> {
        let token = self
            .token_for(attempt.place, id, Some(attempt.payment))
            .await?;
        token.check_usable(now)?;
        if token.record != order.unverified().record {
            return Err(Refusal::OrderInvalid.into());
        }
        if token.cvc_given && !self.parts.cvcs.holds(id, now) {
            return Err(Refusal::CvcLost.into());
        }
        let record = Box::new(self.record(attempt.place, token.record).await?);
        Ok(Ready::Card {
            record,
            order: order.clone(),
            cvc: token.cvc_given.then_some(id),
        })
    }

    /// A card that was not kept pays by its token only, which is single-use.
    async fn prepare_kept(&self, attempt: &Attempt, order: &SignedOrder) -> Result<Ready, Error> {
        let record = Box::new(
            self.record(attempt.place, order.unverified().record)
                .await?,
        );
        match record.subject {
            Subject::Account => Err(Refusal::RecordUnknown.into()),
            Subject::Customer(_) => Ok(Ready::Card {
                record,
                order: order.clone(),
                cvc: None,
            }),
        }
    }

    async fn reference(&self, attempt: &Attempt, authorize: AttemptId) -> Result<String, Error> {
        let row = self.attempt_row(attempt.place, authorize).await?;
        let fits = row.filter(|row| {
            row.payment == attempt.payment
                && row.provider == attempt.line.name
                && row.operation == coffer_core::payment::Operation::Authorize
                && row.status == Status::Succeeded
        });
        fits.and_then(|row| row.provider_reference)
            .ok_or_else(|| Refusal::AttemptConflict.into())
    }

    /// The second and third step.
    pub(super) async fn carry_out(&self, attempt: &Attempt, Recorded(ready): Recorded) -> Answer {
        let (request, credential) = match self.build(attempt, ready).await {
            Ok(built) => built,
            Err(error) => return self.not_sent(attempt, error.into_contract()).await,
        };
        let Some(remaining) = remaining(attempt.deadline, self.parts.clock.now()) else {
            return self
                .not_sent(attempt, contract::Error::Refused(Refusal::OrderExpired))
                .await;
        };
        let reply = match attempt
            .line
            .egress
            .send(request, &credential, remaining)
            .await
        {
            Ok(answer) => attempt
                .line
                .adapter
                .read(answer.status, &answer.body)
                .scrubbed(),
            // Nothing reached the provider and the attempt is not sent again, so it never will.
            Err(Blame::NotSent) => Reply::not_done(),
            Err(Blame::MaybeSent) => Reply::unclear(),
        };
        self.store_outcome(attempt, &reply).await
    }

    /// The provider's request. The card is open only in here, and wiped before anything is sent but the request itself.
    async fn build(
        &self,
        attempt: &Attempt,
        ready: Ready,
    ) -> Result<(ProviderRequest, SecretBytes), Error> {
        let key = &self.parts.service_keys.credentials;
        let credential = attempt.line.credential(&self.parts.db, key).await?;
        let ask = self.ask(attempt, &ready).await?;
        let too_long = |TooLong| Error::Refused(Refusal::Malformed);
        let request = attempt
            .line
            .adapter
            .request(attempt.id, &ask)
            .map_err(too_long)?;
        Ok((request, credential))
    }

    async fn ask<'a>(&self, attempt: &'a Attempt, ready: &'a Ready) -> Result<Ask<'a>, Error> {
        match (&attempt.act, ready) {
            (
                Act::Authorize {
                    money, return_url, ..
                },
                Ready::Card { record, order, cvc },
            ) => Ok(Ask::Authorize {
                money: *money,
                card: self.open_card(attempt, record, order, *cvc).await?,
                return_url: return_url.as_deref(),
            }),
            (
                Act::Authorize {
                    money, return_url, ..
                },
                Ready::TestCard(test),
            ) => Ok(Ask::Authorize {
                money: *money,
                card: simulator::test_card(*test)?,
                return_url: return_url.as_deref(),
            }),
            (Act::Capture { money, .. }, Ready::Reference(reference)) => Ok(Ask::Capture {
                money: *money,
                reference,
            }),
            (Act::Void { .. }, Ready::Reference(reference)) => Ok(Ask::Void { reference }),
            (Act::Refund { money, .. }, Ready::Reference(reference)) => Ok(Ask::Refund {
                money: *money,
                reference,
            }),
            (Act::Authorize { .. }, Ready::Reference(_))
            | (
                Act::Capture { .. } | Act::Void { .. } | Act::Refund { .. },
                Ready::Card { .. } | Ready::TestCard(_),
            ) => Err(Error::Defect(
                "an attempt was prepared for another act".to_owned(),
            )),
        }
    }

    /// Opens one record for its order. The security code is taken last, so that it is not lost when `keys` refuses.
    async fn open_card(
        &self,
        attempt: &Attempt,
        record: &Record,
        order: &SignedOrder,
        cvc: Option<TokenId>,
    ) -> Result<PlainCard, Error> {
        let open = Open {
            subject: record.subject,
            class: Class::Card,
            wrapped: record.wrapped.clone(),
            order: order.clone(),
        };
        let key = self.parts.keys.open(open).await?.key.into_key();
        let number = record.open_number(attempt.place, &key)?;
        let now = self.parts.clock.now();
        let cvc = match cvc {
            Some(token) => Some(self.parts.cvcs.take(token, now).ok_or(Refusal::CvcLost)?),
            None => None,
        };
        Ok(PlainCard {
            number,
            expiry: record.card.expiry,
            cvc,
        })
    }

    /// Records that nothing left and gives the token back. If even that cannot be recorded, the attempt stays `sending` and
    /// keeps the token: nobody may be told to try again, and settling finds out after its deadline.
    async fn not_sent(&self, attempt: &Attempt, error: contract::Error) -> Answer {
        if let Err(failure) = self.record_not_sent(attempt, &error).await {
            tracing::error!(error = %failure, attempt.id = %attempt.id, "an attempt that was not sent could not be recorded so");
            return Err(contract::Error::Defect);
        }
        Err(error)
    }

    async fn record_not_sent(
        &self,
        attempt: &Attempt,
        error: &contract::Error,
    ) -> Result<(), Error> {
        let word = word_of(error);
        let mut values = row_key(attempt.place, attempt.id);
        values.extend(params![word, self.parts.clock.now().as_millis()]);
        let entry = attempt
            .entry("attempt.not_sent")
            .outcome(Outcome::Refused)
            .object(word);
        let mut steps = Transaction::new().one(&store::ATTEMPT_NOT_SENT, values);
        if let Some(token) = attempt.token() {
            steps = steps.append(token::release(
                attempt.place,
                token,
                &attempt.id.to_string(),
            ));
        }
        Ok(self.commit(attempt.place, entry, steps).await?)
    }

    /// What cannot be recorded is not answered either: it is unknown until it is settled.
    async fn store_outcome(&self, attempt: &Attempt, reply: &Reply) -> Answer {
        match self.settle_row(attempt, reply).await {
            Ok(()) => Ok(outcome_of(&reply.verdict)),
            Err(error) => {
                tracing::error!(%error, attempt.id = %attempt.id, "the outcome of an attempt could not be recorded");
                Ok(AttemptOutcome::Unknown)
            }
        }
    }

    async fn settle_row(&self, attempt: &Attempt, reply: &Reply) -> Result<(), Error> {
        let now = self.parts.clock.now();
        let entry = with_verdict(attempt.entry("attempt.settle"), &reply.verdict);
        let steps = settled(attempt.place, attempt.id, reply, now);
        Ok(self.commit(attempt.place, entry, steps).await?)
    }
}

/// The entry of the log says how it ended.
pub(super) fn with_verdict(entry: Entry, verdict: &Verdict) -> Entry {
    match verdict {
        Verdict::Succeeded => entry,
        Verdict::Failed(reason) => entry.outcome(Outcome::Failed).object(reason),
        Verdict::Challenged(_) => entry.object(Status::Challenged),
        Verdict::NotFound | Verdict::Unclear => entry.object(Status::Unknown),
    }
}

/// The time until the deadline; none when it has passed.
fn remaining(deadline: Timestamp, now: Timestamp) -> Option<Duration> {
    u64::try_from(deadline.since(now))
        .ok()
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
}
