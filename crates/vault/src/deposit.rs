//! Depositing a card: fingerprint, seal, and one transaction that stores the record, makes the token and uses up the
//! intake. While `keys` cannot help, nothing is stored and nothing waits on disk.

use std::{net::IpAddr, time::Duration};

use coffer_audit::{Actor, ActorKind, Entry};
use coffer_core::{CardSummary, Expiry, Mode, Timestamp, id::TokenId, limits::TOKEN_TTL_MS};
use coffer_db::{Transaction, Value, params};
use coffer_net::contract::{
    Place,
    keys::{Fingerprint, Subject},
};

use crate::{
    CardNumber, Cvc, Error, Vault,
    intake::Ticket,
    pool::DataKey,
    record::{KEY_VERSION, row_key, seal_number},
    store,
};

/// How long a deposit waits for `keys` in all, so that the payer gets an answer within a second.
const KEYS_WAIT: Duration = Duration::from_millis(850);

/// A card as it was entered, every part of it proven.
pub(crate) struct Deposit {
    pub(crate) number: CardNumber,
    pub(crate) expiry: Expiry,
    pub(crate) cvc: Option<Cvc>,
    /// The payer's network address, for the log.
    pub(crate) address: Option<IpAddr>,
}

impl Deposit {
    fn card(&self) -> CardSummary {
        CardSummary {
            brand: self.number.brand(),
            last4: self.number.last4(),
            expiry: self.expiry,
        }
    }

    fn entry(&self, ticket: &Ticket, token: TokenId, key: &DataKey) -> Entry {
        let payer = Actor::new(ActorKind::Payer, ticket.intake);
        let mut entry = Entry::new(payer, "token.create")
            .route("POST /v1/tokens")
            .object(token)
            .object(key.record);
        if let Some(payment) = ticket.payment {
            entry = entry.object(payment);
        }
        match self.address {
            Some(address) => entry.address(address),
            None => entry,
        }
    }
}

/// What the page gets for a card.
pub(crate) struct Deposited {
    pub(crate) token: TokenId,
    pub(crate) mode: Mode,
    pub(crate) card: CardSummary,
    pub(crate) expires: Timestamp,
}

/// Why there is no token.
pub(crate) enum DepositFault {
    /// The ticket was used for another card.
    TicketUsed,
    /// So many cards were tried with the ticket that no more are taken.
    TriesExceeded,
    /// The vault or `keys` cannot serve now, or `keys` will not in this hour.
    Unavailable(Error),
    /// A bug.
    Failed(Error),
}

impl From<Error> for DepositFault {
    fn from(error: Error) -> Self {
        match error {
            Error::Away(_) | Error::Sealed | Error::Refused(_) => Self::Unavailable(error),
            Error::Unfit(_) | Error::Defect(_) => Self::Failed(error),
        }
    }
}

/// The number's fingerprint under each version in use, the newest first.
struct Prints(Vec<(i64, [u8; 32])>);

impl Prints {
    fn newest(&self) -> Result<(i64, [u8; 32]), Error> {
        self.0
            .first()
            .copied()
            .ok_or_else(|| Error::Defect("the key server gave no fingerprint".to_owned()))
    }

    fn contain(&self, version: i64, print: &[u8]) -> bool {
        self.0
            .iter()
            .any(|(known, value)| *known == version && value == print)
    }
}

impl Vault {
    /// Stores a card for a ticket. The same ticket and card again give the same token.
    pub(crate) async fn deposit(
        &self,
        ticket: Ticket,
        deposit: Deposit,
    ) -> Result<Deposited, DepositFault> {
        if !self.parts.tries.count(ticket.intake) {
            return Err(DepositFault::TriesExceeded);
        }
        let prints = self.fingerprint(ticket.place, &deposit.number);
        let helped = async {
            let prints = prints.await?;
            match self.repeated(&ticket, &prints, &deposit).await? {
                Some(same) => Ok(Step::Repeated(same)),
                None => Ok(Step::New(prints, self.parts.pool.take(ticket.place).await?)),
            }
        };
        let step: Result<Step, DepositFault> = tokio::time::timeout(KEYS_WAIT, helped)
            .await
            .unwrap_or_else(|_| {
                Err(Error::Away("the key server did not answer in time".to_owned()).into())
            });
        match step? {
            Step::Repeated(same) => Ok(same),
            Step::New(prints, key) => self.store_card(&ticket, &prints, key, &deposit).await,
        }
    }

    async fn fingerprint(&self, place: Place, number: &CardNumber) -> Result<Prints, Error> {
        let inner = *number
            .inner_fingerprint(&self.parts.service_keys.fingerprint)
            .as_bytes();
        let answer = self
            .parts
            .keys
            .fingerprint(Fingerprint { place, inner })
            .await?;
        Ok(Prints(answer.versions))
    }

    async fn store_card(
        &self,
        ticket: &Ticket,
        prints: &Prints,
        key: DataKey,
        deposit: &Deposit,
    ) -> Result<Deposited, DepositFault> {
        let now = self.parts.clock.now();
        let token: TokenId = self.parts.clock.id();
        let expires = now.plus_millis(TOKEN_TTL_MS);
        let entry = deposit.entry(ticket, token, &key);
        let steps = self.deposit_steps(
            ticket,
            prints.newest()?,
            key,
            deposit,
            (token, now, expires),
        )?;
        if let Some(cvc) = &deposit.cvc {
            let full = |_| Error::Away("the memory for security codes is full".to_owned());
            self.parts.cvcs.put(token, cvc, expires).map_err(full)?;
        }
        match self.commit(ticket.place, entry, steps).await {
            Ok(()) => Ok(Deposited {
                token,
                mode: ticket.place.mode,
                card: deposit.card(),
                expires,
            }),
            Err(error) => {
                self.parts.cvcs.discard(token);
                self.after_failure(ticket, prints, deposit, error).await
            }
        }
    }

    /// A twin of this deposit may have used the ticket in the meantime; then its token is the answer.
    async fn after_failure(
        &self,
        ticket: &Ticket,
        prints: &Prints,
        deposit: &Deposit,
        error: coffer_db::Error,
    ) -> Result<Deposited, DepositFault> {
        if !error.is_conflict_at(&store::INTAKE_INSERT) {
            return Err(Error::from(error).into());
        }
        let twin = self.repeated(ticket, prints, deposit).await?;
        twin.ok_or_else(|| Error::from(error).into())
    }

    fn deposit_steps(
        &self,
        ticket: &Ticket,
        print: (i64, [u8; 32]),
        key: DataKey,
        deposit: &Deposit,
        (token, now, expires): (TokenId, Timestamp, Timestamp),
    ) -> Result<Transaction, Error> {
        let place = ticket.place;
        let mut intake = row_key(place, ticket.intake);
        intake.extend(params![
            token.to_string(),
            print.0,
            print.1,
            ticket.expires.as_millis()
        ]);
        let mut pointer = row_key(place, token);
        pointer.extend(params![
            key.record.to_string(),
            &self.parts.instance,
            i64::from(deposit.cvc.is_some()),
            expires.as_millis(),
            ticket.payment.map(|payment| payment.to_string()),
        ]);
        let record = record_params(place, key, deposit, print, (now, expires))?;
        Ok(Transaction::new()
            .one(&store::INTAKE_INSERT, intake)
            .one(&store::RECORD_INSERT, record)
            .one(&store::TOKEN_INSERT, pointer))
    }

    /// The token that this ticket gave before, if the card is the same; `None` for a ticket that was not used.
    async fn repeated(
        &self,
        ticket: &Ticket,
        prints: &Prints,
        deposit: &Deposit,
    ) -> Result<Option<Deposited>, DepositFault> {
        let key = row_key(ticket.place, ticket.intake);
        let Some(row) = self
            .parts
            .db
            .read_optional(&store::INTAKE_BY_ID, key)
            .await
            .map_err(Error::from)?
        else {
            return Ok(None);
        };
        let (id, same_card) = read_intake(&row, prints)?;
        if !same_card {
            return Err(DepositFault::TicketUsed);
        }
        let token = match self.token(ticket.place, id).await {
            Ok(token) if token.card == deposit.card() => token,
            Ok(_) | Err(Error::Refused(_)) => return Err(DepositFault::TicketUsed),
            Err(error) => return Err(error.into()),
        };
        self.put_cvc_again(ticket.place, id, deposit).await?;
        Ok(Some(Deposited {
            token: id,
            mode: ticket.place.mode,
            card: token.card,
            expires: token.expires,
        }))
    }

    /// After a restart the code is gone, and the payer who repeats has just given it again. Looking at the token last keeps
    /// a code from staying behind for a token that was used up meanwhile.
    async fn put_cvc_again(
        &self,
        place: Place,
        id: TokenId,
        deposit: &Deposit,
    ) -> Result<(), Error> {
        let Some(cvc) = &deposit.cvc else {
            return Ok(());
        };
        let (before, now) = (self.token(place, id).await?, self.parts.clock.now());
        let ours = before.instance == self.parts.instance && before.check_usable(now).is_ok();
        if !ours || self.parts.cvcs.holds(id, now) {
            return Ok(());
        }
        if self.parts.cvcs.put(id, cvc, before.expires).is_err() {
            return Ok(());
        }
        if self.token(place, id).await?.claimed_by.is_some() {
            self.parts.cvcs.discard(id);
        }
        Ok(())
    }
}

enum Step {
    Repeated(Deposited),
    New(Prints, DataKey),
}

fn read_intake(row: &coffer_db::Row, prints: &Prints) -> Result<(TokenId, bool), Error> {
    let same_card = prints.contain(
        row.integer("fingerprint_version")?,
        row.bytes("fingerprint")?,
    );
    Ok((row.text("token")?.parse()?, same_card))
}

fn record_params(
    place: Place,
    key: DataKey,
    deposit: &Deposit,
    print: (i64, [u8; 32]),
    (now, expires): (Timestamp, Timestamp),
) -> Result<Vec<Value>, Error> {
    let number = seal_number(place, key.record, &key.key, &deposit.number)?;
    let card = deposit.card();
    let mut values = row_key(place, key.record);
    values.extend(params![
        card.brand.as_str(),
        card.last4.to_string(),
        card.expiry.month(),
        card.expiry.year(),
        number,
        KEY_VERSION,
        Subject::Account.to_string(),
        key.wrapped.bytes,
        key.wrapped.parent_version,
        print.0,
        print.1,
        expires.as_millis(),
        now.as_millis(),
    ]);
    Ok(values)
}
