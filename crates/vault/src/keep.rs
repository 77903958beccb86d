//! Keeping a token's card with a customer, and deleting a record. Neither opens anything: a kept card's data key is moved
//! under the customer's key by `keys`, and the sealed number stays as it is.

use coffer_audit::Entry;
use coffer_db::{Expect, Transaction, params};
use coffer_net::contract::{
    Peer, Refusal,
    keys::{Class, Rewrap, Subject, WrappedKey},
    vault::{DeleteRecord, Deleted, KeepCard, KeptCard},
};

use crate::{
    Error, Vault, journal,
    record::{Record, row_key},
    store, token,
};

impl Vault {
    /// Keeps a card; the same card id again gives the same answer.
    pub(crate) async fn keep_card(
        &self,
        peer: &Peer,
        request: KeepCard,
    ) -> Result<KeptCard, Error> {
        if let Some(kept) = self.kept(&request).await? {
            return Ok(kept);
        }
        let token = self.token_for(request.place, request.token, None).await?;
        token.check_usable(self.parts.clock.now())?;
        let record = self.record(request.place, token.record).await?;
        let wrapped = self.move_key(&request, &record).await?;
        let transaction = self.keep_transaction(peer, &request, &record, &wrapped)?;
        match self.parts.db.transact(transaction).await {
            Ok(_) => {
                self.parts.cvcs.discard(request.token);
                Ok(KeptCard {
                    record: record.id,
                    card: record.card,
                })
            }
            Err(coffer_db::Error::Conflict(conflict)) => match self.kept(&request).await? {
                Some(kept) => Ok(kept),
                None if conflict.statement == store::TOKEN_CLAIM.name => {
                    Err(self.claim_refusal(request.place, request.token).await)
                }
                None => Err(coffer_db::Error::Conflict(conflict).into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The card as it was kept before. Its token was used then, so it cannot be kept with someone else.
    async fn kept(&self, request: &KeepCard) -> Result<Option<KeptCard>, Error> {
        let key = row_key(request.place, request.card);
        let row = self
            .parts
            .db
            .read_optional(&store::RECORD_BY_CARD, key)
            .await?;
        let Some(record) = row.as_ref().map(Record::from_row).transpose()? else {
            return Ok(None);
        };
        if record.subject != Subject::Customer(request.customer) {
            return Err(Refusal::TokenUsed.into());
        }
        Ok(Some(KeptCard {
            record: record.id,
            card: record.card,
        }))
    }

    async fn move_key(&self, request: &KeepCard, record: &Record) -> Result<WrappedKey, Error> {
        let rewrap = Rewrap {
            place: request.place,
            class: Class::Card,
            record: record.id,
            from: record.subject,
            to: Subject::Customer(request.customer),
            wrapped: record.wrapped.clone(),
        };
        Ok(self.parts.keys.rewrap(rewrap).await?)
    }

    fn keep_transaction(
        &self,
        peer: &Peer,
        request: &KeepCard,
        record: &Record,
        wrapped: &WrappedKey,
    ) -> Result<Transaction, Error> {
        let mut keep = row_key(request.place, record.id);
        keep.extend(params![
            Subject::Customer(request.customer).to_string(),
            wrapped.bytes.as_slice()
        ]);
        keep.extend(params![
            wrapped.parent_version,
            request.card.to_string(),
            record.wrapped.bytes.as_slice()
        ]);
        let entry = Entry::new(journal::role(peer), "card.keep")
            .route("keep_card")
            .object(request.card)
            .object(record.id)
            .object(request.customer);
        let by = request.card.to_string();
        Ok(
            token::claim(request.place, request.token, &by, self.parts.clock.now())
                .one(&store::RECORD_KEEP, keep)
                .append(self.leaf(request.place, entry)?),
        )
    }

    /// Deletes a record for good; one that is not there is as good as deleted.
    pub(crate) async fn delete_record(
        &self,
        peer: &Peer,
        request: DeleteRecord,
    ) -> Result<Deleted, Error> {
        let entry = Entry::new(journal::role(peer), "record.delete")
            .route("delete_record")
            .object(request.record);
        let transaction = Transaction::new()
            .then(
                &store::RECORD_DELETE,
                row_key(request.place, request.record),
                Expect::AtMost(1),
            )
            .append(self.leaf(request.place, entry)?);
        self.parts.db.transact(transaction).await?;
        Ok(Deleted {})
    }
}
