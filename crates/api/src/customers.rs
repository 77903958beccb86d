//! Handlers of customers.

use coffer_core::limits::{DESCRIPTION_MAX, REFERENCE_MAX};
use coffer_engine::{CustomerChange, Fresh, Metadata, NewCustomer, Text};

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
    fields::{Change, Optional, Replace, request},
    views::CustomerView,
};

request! {
    /// A customer to be made.
    NewCustomerRequest {
        /// Your own reference.
        reference: Optional<Text<REFERENCE_MAX>>,
        /// Your own words.
        description: Optional<Text<DESCRIPTION_MAX>>,
        /// Your own pairs.
        metadata: Optional<Metadata>,
    }
}

request! {
    /// What to change of a customer. What is left out stays.
    CustomerChangeRequest {
        /// A new reference, or null for none.
        reference: Change<Text<REFERENCE_MAX>>,
        /// New words, or null for none.
        description: Change<Text<DESCRIPTION_MAX>>,
        /// New pairs in place of all the old ones.
        metadata: Replace<Metadata>,
    }
}

impl From<NewCustomerRequest> for NewCustomer {
    fn from(request: NewCustomerRequest) -> Self {
        let NewCustomerRequest {
            reference,
            description,
            metadata,
        } = request;
        Self {
            reference,
            description,
            metadata: metadata.unwrap_or_default(),
        }
    }
}

impl From<CustomerChangeRequest> for CustomerChange {
    fn from(request: CustomerChangeRequest) -> Self {
        let CustomerChangeRequest {
            reference,
            description,
            metadata,
        } = request;
        Self {
            reference,
            description,
            metadata,
        }
    }
}

/// Makes a customer.
pub(crate) async fn customer_create(api: Api, mut call: Call, fresh: Fresh) -> Outcome {
    let new = call.body::<NewCustomerRequest>()?.into();
    let done = api
        .engine()
        .customer_create(&call.caller, fresh, new)
        .await?;
    Ok(Answer::done(done, CustomerView::of))
}

/// Shows a customer.
pub(crate) async fn customer(api: Api, call: Call) -> Outcome {
    let customer = api
        .engine()
        .customer(&call.caller, call.id("customer")?)
        .await?;
    Ok(Answer::json(200, &CustomerView::of(customer)))
}

/// Lists customers, the newest first.
pub(crate) async fn customer_list(api: Api, call: Call) -> Outcome {
    let listed = api
        .engine()
        .customer_list(&call.caller, call.query.page()?)
        .await?;
    Ok(Answer::list(listed, CustomerView::of))
}

/// Changes a customer.
pub(crate) async fn customer_update(api: Api, mut call: Call) -> Outcome {
    let (id, change) = (call.id("customer")?, call.body::<CustomerChangeRequest>()?);
    let customer = api
        .engine()
        .customer_update(&call.caller, id, change.into())
        .await?;
    Ok(Answer::json(200, &CustomerView::of(customer)))
}

/// Deletes a customer and the cards kept with it.
pub(crate) async fn customer_delete(api: Api, call: Call) -> Outcome {
    api.engine()
        .customer_delete(&call.caller, call.id("customer")?)
        .await?;
    Ok(Answer::empty())
}
