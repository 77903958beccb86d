//! Intakes: permission to deposit one card in the vault, for a merchant's page or for a payment's checkout page.

use coffer_core::{
    Timestamp,
    id::{IntakeId, PaymentId},
    payment::PaymentStatus,
};
use coffer_net::{
    contract::{
        Place,
        vault::{InspectFields, MintIntake},
    },
    page::Finding,
};

use crate::{Caller, Engine, Error, accounts};

/// Permission to deposit one card.
#[derive(Debug, Clone)]
pub struct IntakeGrant {
    /// Its id.
    pub id: IntakeId,
    /// The ticket; it can deposit one card and nothing else.
    pub ticket: String,
    /// Where the card fields are, with the ticket.
    pub fields_url: String,
    /// Until when.
    pub expires: Timestamp,
}

impl Engine {
    /// For a page of the merchant's, at one of the account's origins, by a publishable key.
    ///
    /// # Errors
    /// [`Error::Refused`] for an origin that the account does not list.
    pub async fn intake_create(&self, caller: &Caller, origin: &str) -> Result<IntakeGrant, Error> {
        let listed = |origins: &[String]| origins.iter().any(|listed| listed == origin);
        let own = &caller.settings().origins;
        if !own.is_empty() && !listed(own) {
            return Err(Error::Refused(
                "add this page's origin to the publishable key, or use another key",
            ));
        }
        let settings = accounts::settings(self, caller.place()).await?;
        if !listed(&settings.origins) {
            return Err(Error::Refused(
                "add this page's origin to the account: PATCH /v1/account {\"origins\": […]}",
            ));
        }
        self.mint(caller.place(), origin.to_owned(), None).await
    }

    /// For the checkout page of a payment that waits for a card, by the secret of its address.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a wrong secret, as for a missing payment; [`Error::State`] when no card is required.
    pub async fn intake_for_checkout(
        &self,
        payment: PaymentId,
        secret: &str,
    ) -> Result<IntakeGrant, Error> {
        let place = self
            .0
            .checkout
            .open(payment, secret)
            .ok_or(Error::NotFound { object: "payment" })?;
        if place != self.0.checkout.nobody() {
            self.check_requires_card(place, payment).await?;
        }
        self.mint(place, self.0.checkout.origin.clone(), Some(payment))
            .await
    }

    async fn check_requires_card(&self, place: Place, payment: PaymentId) -> Result<(), Error> {
        let found = self.payment_in(place, payment).await?;
        if found.status == PaymentStatus::RequiresCard {
            return Ok(());
        }
        Err(Error::State {
            object: "payment",
            status: found.status.as_str(),
            needed: PaymentStatus::RequiresCard.as_str(),
        })
    }

    /// What a person must look at about the page with the card fields, as the vault sees it.
    ///
    /// # Errors
    /// When the vault cannot say.
    pub async fn fields_findings(&self) -> Result<Vec<Finding>, Error> {
        let asked = self.0.vault.inspect_fields(InspectFields {});
        Ok(asked.await?.findings)
    }

    async fn mint(
        &self,
        place: Place,
        origin: String,
        payment: Option<PaymentId>,
    ) -> Result<IntakeGrant, Error> {
        let minted = self
            .0
            .vault
            .mint_intake(MintIntake {
                place,
                origin,
                payment,
            })
            .await?;
        let fields_url = format!(
            "{}/v1/fields?ticket={}",
            self.0.fields_origin, minted.ticket
        );
        Ok(IntakeGrant {
            id: minted.id,
            ticket: minted.ticket,
            fields_url,
            expires: minted.expires,
        })
    }
}
