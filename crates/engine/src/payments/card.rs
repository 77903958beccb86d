//! The card that a payment will be authorized on, found before anything is recorded.

use coffer_core::{
    CardSummary, Expiry, Last4, Mode,
    brand::Brand,
    id::{RecordId, TokenId},
};
use coffer_net::contract::vault::{ResolveToken, TestToken};

use crate::{Caller, CardInput, Engine, Error, NewPayment, TokenRef, error::corrupt};

/// Where the card is.
pub(crate) enum Found {
    Deposited { token: TokenId, record: RecordId },
    Kept { record: RecordId },
    Test(TestToken),
}

impl Engine {
    /// Finds the card, or that the payer will enter one. Nothing is used up by this.
    pub(super) async fn find_card(
        &self,
        caller: &Caller,
        new: &NewPayment,
    ) -> Result<Option<(Found, CardSummary)>, Error> {
        match new.card {
            CardInput::AtCheckout => Ok(None),
            CardInput::Token(TokenRef::Test(token)) => {
                if caller.place.mode != Mode::Test {
                    return Err(Error::TokenUnknown);
                }
                Ok(Some((Found::Test(token), test_card(token)?)))
            }
            CardInput::Token(TokenRef::Deposited(token)) => {
                let resolved = self
                    .0
                    .vault
                    .resolve_token(ResolveToken {
                        place: caller.place,
                        token,
                        // A merchant asks, so a checkout's token is unknown.
                        payment: None,
                    })
                    .await?;
                Ok(Some((
                    Found::Deposited {
                        token,
                        record: resolved.record,
                    },
                    resolved.card,
                )))
            }
            CardInput::Card(id) => {
                let (kept, record) = self.kept_card(caller.place, id).await?;
                if new
                    .customer
                    .is_some_and(|customer| customer != kept.customer)
                {
                    return Err(Error::NotFound { object: "card" });
                }
                Ok(Some((Found::Kept { record }, kept.card)))
            }
        }
    }
}

/// What is shown of the card behind a test token.
fn test_card(token: TestToken) -> Result<CardSummary, Error> {
    let last4 = Last4::from_digits(token.last4()).map_err(corrupt)?;
    Ok(CardSummary {
        brand: Brand::Visa,
        last4,
        expiry: Expiry::new(12, 2030).map_err(corrupt)?,
    })
}
