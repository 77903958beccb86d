//! Payments read from the store: one, a list, or with the attempts that a change is decided on.

use coffer_core::{
    Timestamp,
    decline::DeclineReason,
    id::PaymentId,
    payment::{CaptureMode, PaymentStatus},
    provider::Provider,
};
use coffer_db::{Row, Statement, Value, params};
use coffer_net::contract::Place;

use crate::{
    Caller, Engine, Error, LastAttempt, Listed, Page, Payment, PaymentFilter,
    error::corrupt,
    ledger::{Attempt, Ledger},
    rows::{self, key_of},
    store::payments as sql,
};

impl Engine {
    /// One payment.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none in the caller's account and mode.
    pub async fn payment(&self, caller: &Caller, id: PaymentId) -> Result<Payment, Error> {
        self.payment_in(caller.place, id).await
    }

    /// Payments, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no payment's id.
    pub async fn payment_list(
        &self,
        caller: &Caller,
        filter: PaymentFilter,
        page: Page,
    ) -> Result<Listed<Payment>, Error> {
        let (statement, narrowed) = narrowed(&filter)?;
        let [account, mode] = key_of(caller.place);
        let from = filter.created_after.map_or(i64::MIN, Timestamp::as_millis);
        let until = filter.created_before.map_or(i64::MAX, Timestamp::as_millis);
        let mut row = params![
            account,
            mode,
            page.before_id::<PaymentId>()?,
            from,
            until,
            page.fetch()
        ];
        row.extend(narrowed);
        let rows = self.db().read(statement, row).await?;
        page.read(&rows, |row| self.read_payment(row))
    }

    pub(crate) async fn payment_in(&self, place: Place, id: PaymentId) -> Result<Payment, Error> {
        self.read_payment(&self.payment_row(place, id).await?)
    }

    async fn payment_row(&self, place: Place, id: PaymentId) -> Result<Row, Error> {
        self.find(&sql::PAYMENT_FIND, "payment", place, id).await
    }

    /// A payment with its attempts. Read in two steps; the version guards what is decided on it.
    pub(crate) async fn ledger(&self, place: Place, id: PaymentId) -> Result<Ledger, Error> {
        let row = self.payment_row(place, id).await?;
        let [account, mode] = key_of(place);
        let attempts = self
            .db()
            .read(&sql::ATTEMPT_LIST, params![account, mode, id.to_string()])
            .await?;
        let attempts: Result<Vec<_>, _> = attempts.iter().map(read_attempt).collect();
        let provider = Provider::try_from(row.text("provider")?.to_owned()).map_err(corrupt)?;
        let expires = row.optional_integer("expires")?.map(Timestamp::from_millis);
        let fixed = (
            rows::word(&row, "closing")?,
            row.integer("at_checkout")? != 0,
            expires,
        );
        let payment = self.read_payment(&row)?;
        let mut ledger = Ledger::new(payment, provider, fixed, attempts?);
        ledger.maker = rows::maybe_word(&row, "api_key")?;
        Ok(ledger)
    }

    fn read_payment(&self, row: &Row) -> Result<Payment, Error> {
        let (place, id) = (rows::place(row)?, rows::word(row, "payment")?);
        let status: PaymentStatus = rows::word(row, "status")?;
        let capture: CaptureMode = rows::word(row, "capture")?;
        let waits = status == PaymentStatus::RequiresCard;
        Ok(Payment {
            id,
            place,
            status,
            amount: row.integer("amount")?,
            currency: rows::word(row, "currency")?,
            amount_captured: row.integer("amount_captured")?,
            amount_refunded: row.integer("amount_refunded")?,
            capture,
            card: rows::card(
                row,
                [
                    "card_brand",
                    "card_last4",
                    "card_exp_month",
                    "card_exp_year",
                ],
            )?,
            customer: rows::maybe_word(row, "customer")?,
            reference: rows::maybe_text(row, "reference")?,
            description: rows::maybe_text(row, "description")?,
            metadata: rows::metadata(row)?,
            return_url: row.optional_text("return_url")?.map(str::to_owned),
            checkout_url: waits.then(|| self.0.checkout.url(place, id)),
            challenge_url: row.optional_text("challenge_url")?.map(str::to_owned),
            last_attempt: read_last_attempt(row)?,
            version: row.integer("version")?,
            created: rows::time(row, "created")?,
            updated: rows::time(row, "updated")?,
        })
    }
}

/// The statement that lists what the filter asks for, and its parameters after those of every list.
fn narrowed(filter: &PaymentFilter) -> Result<(&'static Statement, Vec<Value>), Error> {
    let reference = filter.reference.as_deref();
    if reference.is_some_and(|text| text.chars().any(char::is_control)) {
        // No reference has any, and not every store could even be asked.
        return Err(Error::Invalid {
            field: "reference",
            expected: "text without control characters",
        });
    }
    let customer = filter.customer.map(|id| id.to_string());
    Ok(match (filter.status, reference, customer) {
        (Some(status), reference, customer) => (
            &sql::PAYMENT_LIST_BY_STATUS,
            params![
                status.as_str(),
                reference.unwrap_or_default(),
                customer.unwrap_or_default()
            ],
        ),
        (None, Some(reference), customer) => (
            &sql::PAYMENT_LIST_BY_REFERENCE,
            params![reference, customer.unwrap_or_default()],
        ),
        (None, None, Some(customer)) => (&sql::PAYMENT_LIST_BY_CUSTOMER, params![customer]),
        (None, None, None) => (&sql::PAYMENT_LIST, params![]),
    })
}

fn read_last_attempt(row: &Row) -> Result<Option<LastAttempt>, Error> {
    let Some(operation) = rows::maybe_word(row, "last_operation")? else {
        return Ok(None);
    };
    let decline_reason: Option<DeclineReason> = rows::maybe_word(row, "last_decline_reason")?;
    Ok(Some(LastAttempt {
        operation,
        status: rows::word(row, "last_status")?,
        decline_reason,
    }))
}

fn read_attempt(row: &Row) -> Result<Attempt, Error> {
    Ok(Attempt {
        id: rows::word(row, "attempt")?,
        operation: rows::word(row, "operation")?,
        status: rows::word(row, "status")?,
        amount: row.integer("amount")?,
        decline_reason: rows::maybe_word(row, "decline_reason")?,
        challenge_url: row.optional_text("challenge_url")?.map(str::to_owned),
        refund: rows::maybe_word(row, "refund")?,
        answers: row.text("answers")?.to_owned(),
        deadline: rows::time(row, "deadline")?,
        created: rows::time(row, "created")?,
        reserved: rows::maybe_word(row, "reserved")?,
    })
}
