//! Cards kept with customers. Keeping a card never opens it.

use coffer_core::{
    CardSummary, Timestamp,
    event::EventType,
    id::{CardId, CustomerId, RecordId, TokenId},
    limits::CARDS_PER_CUSTOMER_MAX,
};
use coffer_db::{Expect, Row, Transaction, Value, params};
use coffer_net::contract::{
    Place,
    vault::{DeleteRecord, KeepCard},
};

use crate::{
    Caller, Done, Engine, Error, Fresh, Listed, Page, StoredAnswer, TokenRef,
    commit::{By, Intent},
    error::corrupt,
    events::Happened,
    rows::{self, key_of},
    store::customers as sql,
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
        self.check_card_room(caller.place, customer).await?;
        let (id, place) = (card_of(token), caller.place);
        let keep = KeepCard {
            place,
            token,
            customer,
            card: id,
        };
        let kept = self.0.vault.keep_card(keep).await?;
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
        let id = card.id.to_string();
        let answer = StoredAnswer {
            status: 201,
            body: (self.0.render.card)(&card),
        };
        let [account, mode] = key_of(card.place);
        let customer = params![account, mode, card.customer.to_string()];
        let created = Happened::to(&id, 1, EventType::CardCreated);
        // Counted again: others may have kept theirs since, but none does while the customer is held.
        let change = Transaction::new()
            .one(&sql::CUSTOMER_HOLD, customer)
            .then(
                &sql::CARDS_OF_CUSTOMER,
                cards_of(card.place, card.customer),
                Expect::AtMost(u64::from(CARDS_PER_CUSTOMER_MAX - 1)),
            )
            .one(&sql::CARD_INSERT, columns(&card, record))
            .append(self.answered(fresh, &id, card.created, &answer)?)
            .append(self.tell(card.place, &[created]));
        match self
            .commit(By::Caller(caller), card.place, "card.keep", &id, change)
            .await
        {
            Ok(_) => Ok(Done {
                status: 201,
                object: card,
            }),
            Err(error) if error.is_conflict_at(&sql::CARDS_OF_CUSTOMER) => {
                Err(self.why_not_kept(&card, record, full()).await)
            }
            Err(error)
                if error.is_conflict_at(&sql::CUSTOMER_HOLD)
                    || error.is_conflict_at(&sql::CARD_INSERT) =>
            {
                let gone = Error::NotFound { object: "customer" };
                Err(self.why_not_kept(&card, record, gone).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Kept before, by a twin or by another request with the token; or else what is said to have happened meanwhile, and then
    /// nobody else would delete the record.
    async fn why_not_kept(&self, card: &Card, record: RecordId, meanwhile: Error) -> Error {
        match self.kept_card(card.place, card.id).await {
            Ok(_) => return Error::TokenUsed,
            Err(Error::NotFound { .. }) => {}
            Err(error) => return error,
        }
        match self.forget_record(card.place, record).await {
            Ok(()) => meanwhile,
            Err(error) => error,
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
        let [account, mode] = key_of(caller.place);
        let before = page.before_id::<CardId>()?;
        let row = params![account, mode, customer.to_string(), before, page.fetch()];
        let rows = self.db().read(&sql::CARD_LIST, row).await?;
        page.read(&rows, read)
    }

    /// Deletes a kept card, here and in the vault.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn card_delete(&self, caller: &Caller, id: CardId) -> Result<(), Error> {
        let (card, record) = self.kept_card(caller.place, id).await?;
        self.forget_record(caller.place, record).await?;
        let [account, mode] = key_of(caller.place);
        let deleted = Happened::to(id, card.version.saturating_add(1), EventType::CardDeleted);
        let steps = Transaction::new()
            .one(&sql::CARD_DELETE, params![account, mode, id.to_string()])
            .append(self.tell(caller.place, &[deleted]));
        let intent = Intent::new("card.delete", id, steps)
            .or(&sql::CARD_DELETE, Error::NotFound { object: "card" });
        self.intend(caller, intent).await.map(drop)
    }

    /// Deletes the records of a customer's cards in the vault; how many they were.
    pub(crate) async fn forget_cards(
        &self,
        caller: &Caller,
        customer: CustomerId,
    ) -> Result<u64, Error> {
        let cards = cards_of(caller.place, customer);
        let rows = self.db().read(&sql::CARDS_OF_CUSTOMER, cards).await?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        for row in rows {
            self.forget_record(caller.place, rows::word(&row, "record")?)
                .await?;
        }
        Ok(count)
    }

    /// Deletes a record in the vault; one that is not there any more is no error.
    async fn forget_record(&self, place: Place, record: RecordId) -> Result<(), Error> {
        let request = DeleteRecord { place, record };
        self.0.vault.delete_record(request).await?;
        Ok(())
    }

    /// A kept card and its record.
    pub(crate) async fn kept_card(
        &self,
        place: Place,
        id: CardId,
    ) -> Result<(Card, RecordId), Error> {
        let row = self.find(&sql::CARD_FIND, "card", place, id).await?;
        Ok((read(&row)?, rows::word(&row, "record")?))
    }

    async fn check_card_room(&self, place: Place, customer: CustomerId) -> Result<(), Error> {
        let cards = cards_of(place, customer);
        let rows = self.db().read(&sql::CARDS_OF_CUSTOMER, cards).await?;
        match u32::try_from(rows.len()) {
            Ok(count) if count < CARDS_PER_CUSTOMER_MAX => Ok(()),
            Ok(_) | Err(_) => Err(full()),
        }
    }
}

fn cards_of(place: Place, customer: CustomerId) -> Vec<Value> {
    let [account, mode] = key_of(place);
    params![account, mode, customer.to_string(), CARDS_PER_CUSTOMER_MAX]
}

/// The customer has as many cards as there may be.
fn full() -> Error {
    Error::LimitReached {
        what: "cards of a customer",
        limit: CARDS_PER_CUSTOMER_MAX.into(),
    }
}

/// The id of the card that a token becomes. It follows from the token, so that a request repeated after a crash meets the
/// card that the vault has kept already instead of a token that is used.
const fn card_of(token: TokenId) -> CardId {
    CardId::from_bytes(*token.as_bytes())
}

fn columns(card: &Card, record: RecordId) -> Vec<Value> {
    let [account, mode] = key_of(card.place);
    params![
        account,
        mode,
        card.id.to_string(),
        card.customer.to_string(),
        record.to_string(),
        card.card.brand.as_str(),
        card.card.last4.to_string(),
        card.card.expiry.month(),
        card.card.expiry.year(),
        card.created.as_millis(),
    ]
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::task::JoinSet;

    use super::*;
    use crate::{Metadata, NewCustomer, fixture::Shop};

    async fn customer(shop: &Shop) -> CustomerId {
        let caller = shop.caller("POST /v1/customers").await;
        let new = NewCustomer {
            reference: None,
            description: None,
            metadata: Metadata::default(),
        };
        let made = shop
            .engine
            .customer_create(&caller, Fresh::unkeyed(), new)
            .await;
        made.unwrap().object.id
    }

    const TOKEN: TokenId = TokenId::from_bytes([8; 16]);

    #[tokio::test]
    async fn of_cards_kept_at_the_same_instant_one_is_the_last_for_which_there_is_room() {
        let shop = Shop::open().await;
        let whose = customer(&shop).await;
        let caller = shop.caller("POST /v1/customers/{id}/cards").await;
        let keep = |token: u8| {
            let token = TokenRef::Deposited(TokenId::from_bytes([token; 16]));
            let (engine, caller) = (shop.engine.clone(), caller.clone());
            async move {
                engine
                    .card_keep(&caller, Fresh::unkeyed(), whose, token)
                    .await
            }
        };
        let most = u8::try_from(CARDS_PER_CUSTOMER_MAX).unwrap();
        let kept = (0..most + 5).map(keep).collect::<JoinSet<_>>();
        let kept = kept.join_all().await;
        let refused: Vec<Error> = kept.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, vec![full(); 5]);
        // Who came late was refused before anything was kept.
        let kept = shop.vault.kept.lock().unwrap().len();
        let forgotten = shop.vault.forgotten.load(Ordering::SeqCst);
        assert_eq!(kept - forgotten, usize::from(most));
    }

    #[tokio::test]
    async fn a_card_kept_in_the_vault_alone_is_found_by_the_repeat() {
        let shop = Shop::open().await;
        let whose = customer(&shop).await;
        let caller = shop.caller("POST /v1/customers/{id}/cards").await;
        let keep = |fresh| {
            let token = TokenRef::Deposited(TOKEN);
            shop.engine.card_keep(&caller, fresh, whose, token)
        };
        shop.vault.loses_kept.store(true, Ordering::SeqCst);
        let lost = shop.once(&caller, "key", keep).await;
        assert_eq!(lost.unwrap_err(), Error::Unavailable);
        let kept = shop.once(&caller, "key", keep).await;
        assert_eq!(kept.unwrap().status, 201);
        let twin = shop.once(&caller, "key", keep).await;
        assert!(matches!(twin.unwrap_err(), Error::Answered(answer) if answer.status == 201));
        let other = keep(Fresh::unkeyed()).await;
        assert_eq!(other.unwrap_err(), Error::TokenUsed);
    }
}
