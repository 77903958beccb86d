//! Customers: an anchor for kept cards. No name, no address: what a merchant needs to know of people stays with the
//! merchant (R25).

use coffer_core::{
    Timestamp,
    event::EventType,
    id::CustomerId,
    limits::{DESCRIPTION_MAX, REFERENCE_MAX},
};
use coffer_db::{Expect, Row, Transaction, params};
use coffer_net::contract::Place;

use crate::{
    Caller, Done, Engine, Error, Fresh, Listed, Metadata, Page, StoredAnswer, Text,
    commit::Intent,
    events::Happened,
    rows::{self, key_of},
    store::customers as sql,
};

/// A customer at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Its account and mode.
    pub place: Place,
    /// The merchant's own reference.
    pub reference: Option<Text<REFERENCE_MAX>>,
    /// The merchant's own words.
    pub description: Option<Text<DESCRIPTION_MAX>>,
    /// The merchant's own pairs.
    pub metadata: Metadata,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
}

/// A customer to be made.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// The merchant's own reference.
    pub reference: Option<Text<REFERENCE_MAX>>,
    /// The merchant's own words.
    pub description: Option<Text<DESCRIPTION_MAX>>,
    /// The merchant's own pairs.
    pub metadata: Metadata,
}

/// What to change of a customer; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct CustomerChange {
    /// A new reference, or none.
    pub reference: Option<Option<Text<REFERENCE_MAX>>>,
    /// A new description, or none.
    pub description: Option<Option<Text<DESCRIPTION_MAX>>>,
    /// New pairs in place of the old.
    pub metadata: Option<Metadata>,
}

impl Engine {
    /// Makes a customer.
    ///
    /// # Errors
    /// When the store cannot serve.
    pub async fn customer_create(
        &self,
        caller: &Caller,
        fresh: Fresh,
        new: NewCustomer,
    ) -> Result<Done<Customer>, Error> {
        let now = self.now();
        let customer = Customer {
            id: self.0.clock.id(),
            place: caller.place,
            reference: new.reference,
            description: new.description,
            metadata: new.metadata,
            version: 1,
            created: now,
            updated: now,
        };
        let [account, mode] = key_of(caller.place);
        let id = customer.id.to_string();
        let row = params![
            account,
            mode,
            id.as_str(),
            customer.reference.as_deref(),
            customer.description.as_deref(),
            customer.metadata.to_store(),
            now.as_millis(),
        ];
        let answer = StoredAnswer {
            status: 201,
            body: (self.0.render.customer)(&customer),
        };
        let created = Happened::to(&id, 1, EventType::CustomerCreated);
        let steps = Transaction::new()
            .one(&sql::CUSTOMER_INSERT, row)
            .append(self.answered(&fresh, &id, now, &answer)?)
            .append(self.tell(caller.place, &[created]));
        let intent = Intent::new("customer.create", id, steps);
        self.intend(caller, intent).await?;
        Ok(Done {
            status: 201,
            object: customer,
        })
    }

    /// One customer.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn customer(&self, caller: &Caller, id: CustomerId) -> Result<Customer, Error> {
        let row = self
            .find(&sql::CUSTOMER_FIND, "customer", caller.place, id)
            .await?;
        read(&row)
    }

    /// Customers, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no customer's id.
    pub async fn customer_list(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<Listed<Customer>, Error> {
        let [account, mode] = key_of(caller.place);
        let row = params![account, mode, page.before_id::<CustomerId>()?, page.fetch()];
        let rows = self.db().read(&sql::CUSTOMER_LIST, row).await?;
        page.read(&rows, read)
    }

    /// Changes a customer.
    ///
    /// # Errors
    /// [`Error::NotFound`], or [`Error::State`] when another change came between.
    pub async fn customer_update(
        &self,
        caller: &Caller,
        id: CustomerId,
        change: CustomerChange,
    ) -> Result<Customer, Error> {
        let mut customer = self.customer(caller, id).await?;
        let (read_version, now) = (customer.version, self.now());
        customer.reference = change.reference.unwrap_or(customer.reference);
        customer.description = change.description.unwrap_or(customer.description);
        customer.metadata = change.metadata.unwrap_or(customer.metadata);
        customer.version = read_version.saturating_add(1);
        customer.updated = now;
        let [account, mode] = key_of(caller.place);
        let row = params![
            account,
            mode,
            id.to_string(),
            read_version,
            customer.reference.as_deref(),
            customer.description.as_deref(),
            customer.metadata.to_store(),
            now.as_millis(),
        ];
        let updated = Happened::to(id, customer.version, EventType::CustomerUpdated);
        let steps = Transaction::new()
            .one(&sql::CUSTOMER_UPDATE, row)
            .append(self.tell(caller.place, &[updated]));
        let intent = Intent::new("customer.update", id, steps)
            .or(&sql::CUSTOMER_UPDATE, Error::changing("customer"));
        self.intend(caller, intent).await?;
        Ok(customer)
    }

    /// Deletes a customer and the cards kept with it, here and in the vault.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn customer_delete(&self, caller: &Caller, id: CustomerId) -> Result<(), Error> {
        let customer = self.customer(caller, id).await?;
        // The vault first: should this end between the two, the cards are gone and the customer can be deleted again.
        let cards = self.forget_cards(caller, id).await?;
        let [account, mode] = key_of(caller.place);
        let key = || vec![account.clone(), mode.clone(), id.to_string().into()];
        let version = customer.version.saturating_add(1);
        let deleted = Happened::to(id, version, EventType::CustomerDeleted);
        let steps = Transaction::new()
            // Waits for a card that is being kept with this customer; a later one finds no customer.
            .one(&sql::CUSTOMER_DELETE, key())
            // A card kept in between would lose its row here and stay in the vault for ever.
            .then(
                &sql::CARDS_DELETE_OF_CUSTOMER,
                key(),
                Expect::Exactly(cards),
            )
            .append(self.tell(caller.place, &[deleted]));
        let intent = Intent::new("customer.delete", id, steps)
            .or(
                &sql::CUSTOMER_DELETE,
                Error::NotFound { object: "customer" },
            )
            .or(&sql::CARDS_DELETE_OF_CUSTOMER, Error::changing("customer"));
        self.intend(caller, intent).await.map(drop)
    }
}

fn read(row: &Row) -> Result<Customer, Error> {
    Ok(Customer {
        id: rows::word(row, "customer")?,
        place: rows::place(row)?,
        reference: rows::maybe_text(row, "reference")?,
        description: rows::maybe_text(row, "description")?,
        metadata: rows::metadata(row)?,
        version: row.integer("version")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}
