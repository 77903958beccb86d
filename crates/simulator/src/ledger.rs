//! What the provider does with money: each operation is stored, once per idempotency key, before it is answered.

use coffer_core::{decline::DeclineReason, id, limits::IDEMPOTENCY_KEY_MAX, money::Money};
use coffer_crypto::{Mac, mac_bytes};
use coffer_db::{ConflictKind, Error as DbError, Transaction, params};

use crate::{
    Error, Simulator,
    card::Card,
    notify::Notices,
    operation::{Operation, Status},
    store::{
        AUTHORIZATION_MOVE, AUTHORIZATION_READ, Authorization, Entry, OPERATION_BY_ID,
        OPERATION_BY_KEY, OPERATION_INSERT, OPERATION_LIST,
    },
    test_cards::CardOutcome,
    url::WebUrl,
};

/// How often a capture, void or refund is judged anew because another moved the same authorization meanwhile.
const JUDGEMENTS_MAX: usize = 64;
/// Operations per page of the ledger.
pub(crate) const LEDGER_PAGE_MAX: u32 = 100_000;

/// The kind of the ids of operations; an authorization's id is its operation's.
enum OperationKind {}

impl id::Kind for OperationKind {
    const PREFIX: &'static str = "sim";
}

/// What makes a request the same one again: its key and a MAC over its bytes. Not a plain hash, because the bytes hold
/// a card number, which could be found by trying.
pub(crate) struct RequestKey {
    key: String,
    mac: Mac,
}

impl RequestKey {
    /// From the `Idempotency-Key`, the path and the body, under the credential.
    pub(crate) fn new(
        credential: &[u8],
        key: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Self, Error> {
        let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len());
        if !fits || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Malformed(coffer_core::Malformed {
                expected: "an Idempotency-Key of 1 to 255 visible ASCII characters",
            }));
        }
        // A path holds no zero byte, so path and body cannot be read in two ways.
        let mac = mac_bytes(
            credential,
            &[b"coffer/simulator/request/v1", path.as_bytes(), &[0], body],
        );
        Ok(Self {
            key: key.to_owned(),
            mac,
        })
    }
}

/// A request to reserve money.
pub(crate) struct AuthorizeOrder {
    pub(crate) money: Money,
    pub(crate) card: Card,
    pub(crate) return_url: Option<WebUrl>,
    pub(crate) notify_url: Option<WebUrl>,
}

/// A request to capture, void or refund. Without an amount, a void gives up all that is open.
pub(crate) struct FollowUpOrder {
    pub(crate) authorization_id: String,
    pub(crate) operation: Operation,
    pub(crate) amount: Option<i64>,
}

/// What was done, now or by an earlier request with the same key.
pub(crate) struct Done {
    pub(crate) entry: Entry,
    pub(crate) repeated: bool,
}

/// The payer's answer to a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Approve,
    Reject,
}

impl Simulator {
    /// Reserves money, or repeats the answer of the request with this key.
    pub(crate) async fn authorize(
        &self,
        request: &RequestKey,
        order: AuthorizeOrder,
        notices: Notices,
    ) -> Result<Done, Error> {
        if let Some(done) = self.repeat(request).await? {
            return Ok(done);
        }
        let entry = self.authorization_entry(request, order);
        let transaction = entry
            .insert_authorization()
            .append(notices.enqueue(self, &entry));
        self.store_once(request, entry, transaction)
            .await?
            .ok_or_else(contended)
    }

    /// Captures, voids or refunds, or repeats the answer of the request with this key. What the rules refuse is an
    /// answer too: it is stored as failed.
    pub(crate) async fn follow_up(
        &self,
        request: &RequestKey,
        order: &FollowUpOrder,
        notices: Notices,
    ) -> Result<Done, Error> {
        if let Some(done) = self.repeat(request).await? {
            return Ok(done);
        }
        for _ in 0..JUDGEMENTS_MAX {
            let (entry, movement) = self.judge(request, order).await?;
            let transaction = entry
                .insert()
                .append(movement)
                .append(notices.enqueue(self, &entry));
            if let Some(done) = self.store_once(request, entry, transaction).await? {
                return Ok(done);
            }
        }
        Err(contended())
    }

    /// The operation of this idempotency key.
    pub(crate) async fn operation_of(&self, idempotency_key: &str) -> Result<Option<Entry>, Error> {
        let row = self
            .db()
            .read_optional(&OPERATION_BY_KEY, params![idempotency_key])
            .await?;
        Ok(row.as_ref().map(Entry::from_row).transpose()?)
    }

    /// The authorization with this id, if it was ever challenged.
    pub(crate) async fn challenged(&self, id: &str) -> Result<Entry, Error> {
        let entry = self.authorization_operation(id).await?;
        let challenged = entry.answered_status == Status::Challenge;
        challenged.then_some(entry).ok_or(Error::NotFound)
    }

    /// Records the payer's answer. Only the first counts; the entry returned says which that was.
    pub(crate) async fn decide(&self, id: &str, decision: Decision) -> Result<Entry, Error> {
        let mut entry = self.challenged(id).await?;
        if entry.status != Status::Challenge {
            return Ok(entry);
        }
        (entry.status, entry.decline_code) = match decision {
            Decision::Approve => (Status::Approved, None),
            Decision::Reject => (Status::Declined, Some(DeclineReason::AuthenticationFailed)),
        };
        entry.updated = self.now();
        let transaction = entry.decide().append(Notices::Once.enqueue(self, &entry));
        match self.db().transact(transaction).await {
            Ok(_) => {
                self.wake_notifications();
                Ok(entry)
            }
            Err(DbError::Conflict(_)) => self.challenged(id).await,
            Err(error @ (DbError::Unavailable(_) | DbError::Refused(_) | DbError::Defect(_))) => {
                Err(error.into())
            }
        }
    }

    /// Operations after this id, the oldest first.
    pub(crate) async fn ledger(&self, after: &str, limit: u32) -> Result<Vec<Entry>, Error> {
        let rows = self
            .db()
            .read(&OPERATION_LIST, params![after, limit])
            .await?;
        Ok(rows.iter().map(Entry::from_row).collect::<Result<_, _>>()?)
    }

    /// The answer of an earlier request with this key, which must have been the same.
    async fn repeat(&self, request: &RequestKey) -> Result<Option<Done>, Error> {
        let Some(entry) = self.operation_of(&request.key).await? else {
            return Ok(None);
        };
        if !entry.request_mac.matches(&request.mac) {
            return Err(Error::KeyReused);
        }
        Ok(Some(Done {
            entry,
            repeated: true,
        }))
    }

    /// Commits a new operation. A twin that was faster gives its answer; `None` means that the authorization moved
    /// and must be judged anew.
    async fn store_once(
        &self,
        request: &RequestKey,
        entry: Entry,
        transaction: Transaction,
    ) -> Result<Option<Done>, Error> {
        match self.db().transact(transaction).await {
            Ok(_) => {
                self.wake_notifications();
                Ok(Some(Done {
                    entry,
                    repeated: false,
                }))
            }
            Err(DbError::Conflict(conflict)) => match conflict.kind {
                ConflictKind::Unique if conflict.statement == OPERATION_INSERT.name => {
                    self.repeat(request).await
                }
                ConflictKind::Rows { .. } if conflict.statement == AUTHORIZATION_MOVE.name => {
                    Ok(None)
                }
                ConflictKind::Unique | ConflictKind::Rows { .. } | ConflictKind::Constraint => {
                    Err(Error::Defect(conflict.to_string()))
                }
            },
            Err(error @ (DbError::Unavailable(_) | DbError::Refused(_) | DbError::Defect(_))) => {
                Err(error.into())
            }
        }
    }

    fn authorization_entry(&self, request: &RequestKey, order: AuthorizeOrder) -> Entry {
        let now = self.now();
        let card = order.card.summary();
        let (status, decline_code) = match order.card.outcome(now) {
            CardOutcome::Approved => (Status::Approved, None),
            CardOutcome::Challenge => (Status::Challenge, None),
            CardOutcome::Declined(reason) => (Status::Declined, Some(reason)),
        };
        let id = self.operation_id();
        Entry {
            authorization_id: id.clone(),
            id,
            idempotency_key: request.key.clone(),
            operation: Operation::Authorize,
            amount: order.money.amount(),
            currency: order.money.currency(),
            status,
            answered_status: status,
            decline_code,
            request_mac: request.mac,
            created: now,
            updated: now,
            brand: card.brand,
            last4: card.last4,
            return_url: order.return_url.map(WebUrl::into_string),
            notify_url: order.notify_url.map(WebUrl::into_string),
        }
    }

    /// What the rules say of a capture, void or refund now, and the step that moves the money if they allow it.
    async fn judge(
        &self,
        request: &RequestKey,
        order: &FollowUpOrder,
    ) -> Result<(Entry, Transaction), Error> {
        let base = self
            .authorization_operation(&order.authorization_id)
            .await?;
        let row = self
            .db()
            .read_optional(&AUTHORIZATION_READ, params![&base.id])
            .await?;
        let authorization = Authorization::from_row(&base, row.as_ref().ok_or(Error::NotFound)?)?;
        let position = authorization.position;
        let amount = order.amount.unwrap_or_else(|| position.open());
        let (status, decline_code, movement) = match position.after(order.operation, amount) {
            Ok(next) => (
                Status::Succeeded,
                None,
                authorization.move_to(&base.id, next),
            ),
            Err(reason) => (Status::Failed, Some(reason), Transaction::new()),
        };
        let now = self.now();
        let entry = Entry {
            id: self.operation_id(),
            idempotency_key: request.key.clone(),
            operation: order.operation,
            amount,
            status,
            answered_status: status,
            decline_code,
            request_mac: request.mac,
            created: now,
            updated: now,
            ..base
        };
        Ok((entry, movement))
    }

    /// The operation that made this authorization.
    async fn authorization_operation(&self, id: &str) -> Result<Entry, Error> {
        let row = self
            .db()
            .read_optional(&OPERATION_BY_ID, params![id])
            .await?;
        let entry = row.as_ref().map(Entry::from_row).transpose()?;
        entry
            .filter(|entry| entry.operation == Operation::Authorize)
            .ok_or(Error::NotFound)
    }

    fn operation_id(&self) -> String {
        self.settings().clock.id::<OperationKind>().to_string()
    }
}

fn contended() -> Error {
    Error::Unavailable("too many operations on one authorization at once".to_owned())
}
