//! Cards kept with customers. Keeping a card never opens it.

use coffer_core::{
    CardSummary, Timestamp,
    event::{EventObject, EventType},
    id::{CardId, CustomerId, RecordId},
    limits::CARDS_PER_CUSTOMER_MAX,
};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::{
    Place,
    vault::{DeleteRecord, KeepCard},
};

use crate::{
    Caller, Done, Engine, Error, Fresh, Listed, Page, StoredAnswer, TokenRef,
    commit::{By, conflicts},
    error::corrupt,
    events::Happened,
    idempotency::key_of,
    rows,
    store::{customers as sql, idempotency},
};

/// A kept card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its id, with which payments can be made.
    pub id: CardId,
    /// Its account and mode.
    pub place: Place,
    /// Whose it is.
    pub customer: CustomerId,
    /// What may be known of it.
    pub card: CardSummary,
    /// Grows with every change.
    pub version: i64,
    /// When it was kept.
    pub created: Timestamp,
}

impl Engine {
    /// Keeps the card of a token with a customer; the token is used up.
    ///
    /// # Errors
    /// What is wrong with the token; [`Error::LimitReached`] when the customer has as many cards as there may be.
    pub async fn card_keep(
        &self,
        caller: &Caller,
        fresh: Fresh,
        customer: CustomerId,
        token: TokenRef,
    ) -> Result<Done<Card>, Error> {
        let TokenRef::Deposited(token) = token else {
            let expected =
                "a deposited card's token: test tokens stand for no card that could be kept";
            return Err(Error::Invalid {
                field: "token",
                expected,
            });
        };
        self.customer(caller, customer).await?;
        let cards = self
            .card_rows(
                caller.place,
                customer,
                "~".to_owned(),
                CARDS_PER_CUSTOMER_MAX,
            )
            .await?;
        if i64::try_from(cards.len()).unwrap_or(i64::MAX) >= CARDS_PER_CUSTOMER_MAX {
            return Err(Error::LimitReached {
                what: "cards of a customer",
                limit: CARDS_PER_CUSTOMER_MAX,
            });
        }
        let (id, place): (CardId, _) = (self.0.clock.id(), caller.place);
        let kept = self
            .0
            .vault
            .keep_card(KeepCard {
                place,
                token,
                customer,
                card: id,
            })
            .await?;
        let card = Card {
            id,
            place,
            customer,
            card: kept.card,
            version: 1,
            created: self.now(),
        };
        self.insert_card(caller, &fresh, card, kept.record).await
    }

    async fn insert_card(
        &self,
        caller: &Caller,
        fresh: &Fresh,
        card: Card,
        record: RecordId,
    ) -> Result<Done<Card>, Error> {
        let [account, mode] = key_of(card.place);
        let id = card.id.to_string();
        let row = params![
            account,
            mode,
            id.as_str(),
            card.customer.to_string(),
            record.to_string(),
            card.card.brand.as_str(),
            card.card.last4.to_string(),
            card.card.expiry.month(),
            card.card.expiry.year(),
            card.created.as_millis(),
        ];
        let answer = StoredAnswer {
            status: 201,
            body: (self.0.render.card)(&card),
        };
        let change = Transaction::new()
            .one(&sql::CARD_INSERT, row)
            .append(self.tell(card.place, &[happened(EventType::CardCreated, card.id, 1)]))
            .append(fresh.answered(&id, card.created, &answer));
        match self
            .commit(By::Caller(caller), card.place, "card.keep", &id, change)
            .await
        {
            Ok(_) => Ok(Done {
                status: 201,
                object: card,
            }),
            Err(error) if conflicts(&error, &idempotency::CLAIM) => {
                Err(self.twin_answer(fresh).await)
            }
            Err(error) if conflicts(&error, &sql::CARD_INSERT) => {
                Err(Error::NotFound { object: "customer" })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A customer's cards, the newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such customer in the caller's account and mode.
    pub async fn card_list(
        &self,
        caller: &Caller,
        customer: CustomerId,
        page: Page,
    ) -> Result<Listed<Card>, Error> {
        self.customer(caller, customer).await?;
        let rows = self
            .card_rows(
                caller.place,
                customer,
                page.before_id::<CardId>()?,
                page.fetch(),
            )
            .await?;
        let cards: Result<Vec<_>, _> = rows.iter().map(read).collect();
        Ok(page.cut(cards?))
    }

    /// Deletes a kept card, here and in the vault.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn card_delete(&self, caller: &Caller, id: CardId) -> Result<(), Error> {
        let (card, record) = self.kept_card(caller.place, id).await?;
        self.0
            .vault
            .delete_record(DeleteRecord {
                place: caller.place,
                record,
            })
            .await?;
        let [account, mode] = key_of(caller.place);
        let version = card.version.saturating_add(1);
        let steps = Transaction::new()
            .one(&sql::CARD_DELETE, params![account, mode, id.to_string()])
            .append(self.tell(
                caller.place,
                &[happened(EventType::CardDeleted, id, version)],
            ));
        match self
            .commit(
                By::Caller(caller),
                caller.place,
                "card.delete",
                &id.to_string(),
                steps,
            )
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if conflicts(&error, &sql::CARD_DELETE) => {
                Err(Error::NotFound { object: "card" })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the records of a customer's cards in the vault.
    pub(crate) async fn forget_cards(
        &self,
        caller: &Caller,
        customer: CustomerId,
    ) -> Result<(), Error> {
        let rows = self
            .card_rows(
                caller.place,
                customer,
                "~".to_owned(),
                CARDS_PER_CUSTOMER_MAX,
            )
            .await?;
        for row in rows {
            let record = rows::word(&row, "record")?;
            self.0
                .vault
                .delete_record(DeleteRecord {
                    place: caller.place,
                    record,
                })
                .await?;
        }
        Ok(())
    }

    /// A kept card and its record.
    pub(crate) async fn kept_card(
        &self,
        place: Place,
        id: CardId,
    ) -> Result<(Card, RecordId), Error> {
        let [account, mode] = key_of(place);
        let row = self
            .db()
            .read_optional(&sql::CARD_FIND, params![account, mode, id.to_string()])
            .await?;
        let row = row.ok_or(Error::NotFound { object: "card" })?;
        Ok((read(&row)?, rows::word(&row, "record")?))
    }

    async fn card_rows(
        &self,
        place: Place,
        customer: CustomerId,
        before: String,
        limit: i64,
    ) -> Result<Vec<Row>, Error> {
        let [account, mode] = key_of(place);
        let row = params![account, mode, customer.to_string(), before, limit];
        Ok(self.db().read(&sql::CARD_LIST, row).await?)
    }
}

fn happened(event: EventType, id: CardId, version: i64) -> Happened {
    Happened {
        event,
        object: EventObject {
            kind: "card",
            id: id.to_string(),
            version,
        },
    }
}

fn read(row: &Row) -> Result<Card, Error> {
    let card = rows::card(row, ["brand", "last4", "exp_month", "exp_year"])?;
    Ok(Card {
        id: rows::word(row, "card")?,
        place: rows::place(row)?,
        customer: rows::word(row, "customer")?,
        card: card.ok_or_else(|| {
            corrupt(coffer_core::Malformed {
                expected: "a card's brand",
            })
        })?,
        version: row.integer("version")?,
        created: rows::time(row, "created")?,
    })
}
