//! Tokens: expiring, single-use pointers to a record. A token is claimed by one attempt or by one kept card; one of a
//! checkout page only by an attempt of that page's payment.

use coffer_core::{
    CardSummary, Timestamp,
    id::{PaymentId, RecordId, TokenId},
};
use coffer_db::{Row, Transaction, Value};
use coffer_net::contract::{
    Place, Refusal,
    vault::{ResolveToken, ResolvedToken},
};

use crate::{
    Error, Vault,
    record::{card_summary, row_key},
    store,
};

/// A row of `tokens`, with what may be known of its card.
pub(crate) struct Token {
    pub(crate) record: RecordId,
    /// The payment at whose checkout page the card was entered.
    pub(crate) payment: Option<PaymentId>,
    pub(crate) card: CardSummary,
    /// The process that took the card, and so has its security code.
    pub(crate) instance: String,
    /// Whether a security code was given.
    pub(crate) cvc_given: bool,
    /// The attempt or kept card that used it up.
    pub(crate) claimed_by: Option<String>,
    pub(crate) expires: Timestamp,
}

impl Token {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            record: row.text("record")?.parse()?,
            payment: row.optional_text("payment")?.map(str::parse).transpose()?,
            card: card_summary(row)?,
            instance: row.text("instance")?.to_owned(),
            cvc_given: row.integer("cvc_given")? != 0,
            claimed_by: row.optional_text("claimed_by")?.map(str::to_owned),
            expires: Timestamp::from_millis(row.integer("expires")?),
        })
    }

    /// A token of a checkout page does not exist for anyone but its payment, so that it is worth nothing to whoever holds an
    /// API key, or to another payment's page.
    fn visible_to(self, payment: Option<PaymentId>) -> Result<Self, Refusal> {
        match self.payment {
            None => Ok(self),
            Some(own) if payment == Some(own) => Ok(self),
            Some(_) => Err(Refusal::TokenUnknown),
        }
    }

    /// Refuses a token that was used or whose time is over.
    pub(crate) fn check_usable(&self, now: Timestamp) -> Result<(), Refusal> {
        match (&self.claimed_by, self.expires > now) {
            (Some(_), _) => Err(Refusal::TokenUsed),
            (None, false) => Err(Refusal::TokenExpired),
            (None, true) => Ok(()),
        }
    }
}

/// Uses the token up for `by`: part of the transaction of what it is used for, which fails when someone was faster.
pub(crate) fn claim(place: Place, token: TokenId, by: &str, now: Timestamp) -> Transaction {
    let mut params = row_key(place, token);
    params.extend([Value::from(by), Value::from(now.as_millis())]);
    Transaction::new().one(&store::TOKEN_CLAIM, params)
}

/// Gives the token back, because what it was claimed for never happened.
pub(crate) fn release(place: Place, token: TokenId, by: &str) -> Transaction {
    let mut params = row_key(place, token);
    params.push(Value::from(by));
    Transaction::new().one(&store::TOKEN_RELEASE, params)
}

impl Vault {
    /// The token of this id in this account and mode.
    pub(crate) async fn token(&self, place: Place, id: TokenId) -> Result<Token, Error> {
        let row = self
            .parts
            .db
            .read_optional(&store::TOKEN_BY_ID, row_key(place, id))
            .await?;
        row.as_ref()
            .map(Token::from_row)
            .transpose()?
            .ok_or(Error::Refused(Refusal::TokenUnknown))
    }

    /// The token, as the one who wants to use it may see it: a payment, or (`None`) whoever acts for the merchant.
    pub(crate) async fn token_for(
        &self,
        place: Place,
        id: TokenId,
        payment: Option<PaymentId>,
    ) -> Result<Token, Error> {
        Ok(self.token(place, id).await?.visible_to(payment)?)
    }

    pub(crate) async fn resolve_token(
        &self,
        request: ResolveToken,
    ) -> Result<ResolvedToken, Error> {
        let token = self
            .token_for(request.place, request.token, request.payment)
            .await?;
        token.check_usable(self.parts.clock.now())?;
        Ok(ResolvedToken {
            record: token.record,
            card: token.card,
            instance: token.instance,
        })
    }

    /// Why a claim failed: the token as it is now says it.
    pub(crate) async fn claim_refusal(&self, place: Place, id: TokenId) -> Error {
        match self.token(place, id).await {
            Ok(token) => Error::Refused(
                token
                    .check_usable(self.parts.clock.now())
                    .err()
                    .unwrap_or(Refusal::TokenUsed),
            ),
            Err(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::{Mode, id::AccountId};
    use coffer_db::params;
    use coffer_testkit::TestStore;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

    fn place(account: u8) -> Place {
        Place {
            account: AccountId::from_bytes([account; 16]),
            mode: Mode::Test,
        }
    }

    fn id() -> TokenId {
        TokenId::from_bytes([2; 16])
    }

    async fn with_token() -> TestStore {
        let opened = TestStore::open(store::MIGRATIONS, store::STATEMENTS).await;
        let mut values = row_key(place(1), id());
        let payment = Option::<&str>::None;
        values.extend(params!["rec_1", "vault-1", 1_i64, NOW.as_millis(), payment]);
        let made = Transaction::new().one(&store::TOKEN_INSERT, values);
        opened.db.transact(made).await.unwrap();
        opened
    }

    #[tokio::test]
    async fn only_one_claim_of_a_token_ever_commits() {
        let TestStore { db, .. } = &with_token().await;
        let before = NOW.plus_millis(-1);
        assert!(
            db.transact(claim(place(2), id(), "att_1", before))
                .await
                .is_err()
        );
        assert!(
            db.transact(claim(place(1), id(), "att_1", before))
                .await
                .is_ok()
        );
        for by in ["att_1", "att_2"] {
            assert!(
                db.transact(claim(place(1), id(), by, before))
                    .await
                    .is_err()
            );
        }
        assert!(db.transact(release(place(1), id(), "att_2")).await.is_err());
        assert!(db.transact(release(place(1), id(), "att_1")).await.is_ok());
        assert!(
            db.transact(claim(place(1), id(), "att_2", before))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_token_whose_time_is_over_cannot_be_claimed() {
        let TestStore { db, .. } = &with_token().await;
        assert!(
            db.transact(claim(place(1), id(), "att_1", NOW))
                .await
                .is_err()
        );
    }
}
