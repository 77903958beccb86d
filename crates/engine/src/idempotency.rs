//! Idempotency keys: the same request twice is one charge and one answer.
//!
//! The key is claimed in the intent's transaction and the answer stored in the outcome's, so a crash between them
//! leaves a claimed key without an answer, which the sweeper fills in when it settles the payment.

use std::time::Duration;

use coffer_core::{
    Malformed, Timestamp,
    limits::{IDEMPOTENCY_KEY_MAX, IDEMPOTENCY_WAIT_MS},
};
use coffer_crypto::{Context, Mac, open, seal};
use coffer_db::{Transaction, params};
use coffer_net::contract::Place;

use crate::{Caller, Engine, Error, rows::key_of, store::idempotency as sql};

/// How often a waiting twin looks for the first one's answer, should this process not be the one that runs it.
const TWIN_POLL: Duration = Duration::from_millis(100);

/// The value of an `Idempotency-Key` header: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Takes a key that a merchant made.
    ///
    /// # Errors
    /// When it is empty, too long, or not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed {
                expected: "1 to 255 visible ASCII characters",
            })
        }
    }
}

/// An answer as it was given to the first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What a POST turned out to be.
#[derive(Debug)]
pub enum Begun {
    /// The first with its key.
    Fresh(Fresh),
    /// A repeat.
    Replay(StoredAnswer),
}

/// Proof that no request with this key was answered before. Consumed by the operation, whose first transaction claims
/// the key; of two that hold one, a single claim commits.
#[derive(Debug)]
pub struct Fresh(Option<Claim>);

#[derive(Debug, Clone)]
struct Claim {
    place: Place,
    route: &'static str,
    key: String,
    digest: [u8; 32],
}

impl Fresh {
    /// For a request without an idempotency key.
    #[must_use]
    pub const fn unkeyed() -> Self {
        Self(None)
    }

    /// Claims the key for the object whose outcome will answer it.
    pub(crate) fn claim(&self, object: &str, now: Timestamp) -> Transaction {
        match &self.0 {
            Some(claim) => claim.step(object, now, None, None),
            None => Transaction::new(),
        }
    }
}

impl Claim {
    /// The step that claims the key, with the answer if that is known already: its status and its sealed body.
    fn step(
        &self,
        object: &str,
        now: Timestamp,
        status: Option<i64>,
        body: Option<Vec<u8>>,
    ) -> Transaction {
        let [account, mode] = key_of(self.place);
        Transaction::new().one(
            &sql::CLAIM,
            params![
                account,
                mode,
                self.route,
                self.key.as_str(),
                &self.digest[..],
                object,
                now.as_millis(),
                status,
                body
            ],
        )
    }
}

/// The object of a request and the HTTP status of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done<T> {
    /// 201 made, 200 done, 202 not known yet.
    pub status: u16,
    /// The object.
    pub object: T,
}

/// What binds a sealed answer to its row.
fn answer_context(place: Place, object: &str) -> Context {
    Context::new("coffer stored answer v1")
        .bytes(place.account.as_bytes())
        .text(place.mode.as_str())
        .text(object)
}

impl Engine {
    /// Claims the key and stores its answer at once, for what needs no act outside.
    pub(crate) fn answered(
        &self,
        fresh: &Fresh,
        object: &str,
        now: Timestamp,
        answer: &StoredAnswer,
    ) -> Result<Transaction, Error> {
        let Some(claim) = &fresh.0 else {
            return Ok(Transaction::new());
        };
        let body = self.sealed_answer(claim.place, object, answer)?;
        Ok(claim.step(object, now, Some(i64::from(answer.status)), Some(body)))
    }

    /// Stores the answer to a request that found everything as it asked for: it is an answer to be repeated too.
    pub(crate) async fn answer_unchanged(
        &self,
        fresh: &Fresh,
        answered: Transaction,
    ) -> Result<(), Error> {
        if answered.is_empty() {
            return Ok(());
        }
        match self.db().transact(answered).await {
            Err(error) if error.is_conflict_at(&sql::CLAIM) => Err(self.twin_answer(fresh).await),
            done => Ok(done.map(drop)?),
        }
    }

    /// Stores the answer of the request that waits for this object, if one does and has none yet.
    pub(crate) fn store_answer(
        &self,
        place: Place,
        object: &str,
        answer: &StoredAnswer,
    ) -> Result<Transaction, Error> {
        let [account, mode] = key_of(place);
        let status = i64::from(answer.status);
        let body = self.sealed_answer(place, object, answer)?;
        Ok(Transaction::new().any(&sql::ANSWER, params![account, mode, object, status, body]))
    }

    fn sealed_answer(
        &self,
        place: Place,
        object: &str,
        answer: &StoredAnswer,
    ) -> Result<Vec<u8>, Error> {
        let context = answer_context(place, object);
        Ok(seal(&self.secrets().answers, &context, &answer.body)?)
    }

    /// Finds out whether a POST with this key is the first. A twin of one that still runs waits for its answer.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] when the key was used for another body, [`Error::IdempotencyRunning`] when the
    /// first still runs after the wait.
    pub async fn begin(
        &self,
        caller: &Caller,
        key: IdempotencyKey,
        body: &[u8],
    ) -> Result<Begun, Error> {
        let context = Context::new("coffer idempotency v1")
            .text(caller.origin.route)
            .bytes(body);
        let digest = *self.secrets().idempotency.mac(&context).as_bytes();
        let claim = Claim {
            place: caller.place,
            route: caller.origin.route,
            key: key.0,
            digest,
        };
        match self.stored(&claim).await? {
            None => Ok(Begun::Fresh(Fresh(Some(claim)))),
            Some(Some(answer)) => Ok(Begun::Replay(answer)),
            Some(None) => self.await_twin(&claim).await.map(Begun::Replay),
        }
    }

    /// For an operation whose claim met a twin's: that one's answer.
    pub(crate) async fn twin_answer(&self, fresh: &Fresh) -> Error {
        match &fresh.0 {
            None => Error::Defect,
            Some(claim) => match self.await_twin(claim).await {
                Ok(answer) => Error::Answered(answer),
                Err(error) => error,
            },
        }
    }

    /// For an operation that cannot be done: if that is because a twin was faster, that one's answer. Without it a twin
    /// would be told that the token is used or the payment captured, by its own request.
    pub(crate) async fn or_twin(&self, fresh: &Fresh, error: Error) -> Error {
        match &fresh.0 {
            None => error,
            Some(claim) => match self.stored(claim).await {
                Ok(None) => error,
                Ok(Some(Some(answer))) => Error::Answered(answer),
                Ok(Some(None)) => self.twin_answer(fresh).await,
                Err(error) => error,
            },
        }
    }

    async fn await_twin(&self, claim: &Claim) -> Result<StoredAnswer, Error> {
        let wait = Duration::from_millis(IDEMPOTENCY_WAIT_MS.unsigned_abs());
        let answered = async {
            loop {
                match self.stored(claim).await? {
                    Some(Some(answer)) => return Ok(answer),
                    // Nothing was sent for the first one, so it may be made again.
                    None => return Err(Error::IdempotencyRunning),
                    Some(None) => tokio::time::sleep(TWIN_POLL).await,
                }
            }
        };
        tokio::time::timeout(wait, answered)
            .await
            .unwrap_or(Err(Error::IdempotencyRunning))
    }

    /// `None`: the key is new. `Some(None)`: claimed, not answered yet.
    async fn stored(&self, claim: &Claim) -> Result<Option<Option<StoredAnswer>>, Error> {
        let [account, mode] = key_of(claim.place);
        let found = self
            .db()
            .read_optional(
                &sql::FIND,
                params![account, mode, claim.route, claim.key.as_str()],
            )
            .await?;
        let Some(row) = found else { return Ok(None) };
        let same = Mac::from_slice(row.bytes("digest")?)
            .is_ok_and(|digest| digest.matches(&Mac::from_array(claim.digest)));
        if !same {
            return Err(Error::IdempotencyMismatch);
        }
        let Some(status) = row.optional_integer("answer_status")? else {
            return Ok(Some(None));
        };
        let status = u16::try_from(status).map_err(|_| Error::Defect)?;
        let sealed = row.optional_bytes("answer_body")?.unwrap_or_default();
        let context = answer_context(claim.place, row.text("object")?);
        let body = open(&self.secrets().answers, &context, sealed)?
            .expose()
            .to_vec();
        Ok(Some(Some(StoredAnswer { status, body })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Shop;

    #[tokio::test]
    async fn a_stored_answer_is_ciphertext_and_opens_in_its_own_row_only() {
        let shop = Shop::open().await;
        let given = shop.pay_once("order-1").await.unwrap();
        shop.pay_once("order-2").await.unwrap();
        let db = shop.engine.db();
        let caller = shop.caller("POST /v1/payments").await;
        let [account, mode] = key_of(caller.place);
        let find = params![account, mode, caller.origin.route, "order-1"];
        let row = db.read_optional(&sql::FIND, find).await.unwrap().unwrap();
        let sealed = row.bytes("answer_body").unwrap();
        let (key, object) = (&shop.engine.secrets().answers, row.text("object").unwrap());
        let opened = open(key, &answer_context(caller.place, object), sealed).unwrap();
        assert_eq!(opened.expose(), given);
        assert!(
            !sealed
                .windows(8)
                .any(|part| given.windows(8).any(|clear| clear == part))
        );
        assert!(open(key, &answer_context(caller.place, "pay_other"), sealed).is_err());
    }
}
