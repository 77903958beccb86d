//! Idempotency keys: the same request twice is one charge and one answer.
//!
//! The key is claimed in the intent's transaction and the answer stored in the outcome's, so a crash between them
//! leaves a claimed key without an answer, which the sweeper fills in when it settles the payment.
//!
//! Nearly every key is new, and its claim is what finds out. So nothing is read before the act: only a key that this process
//! was given lately is looked for first, and a request that was refused is asked whether a twin is why.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

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
/// How many keys are remembered.
const LATELY_MAX: u64 = 16_384;

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

/// A request that counts as the first with its idempotency key until its first transaction claims the key. The operation
/// consumes it: of several that hold one, a single claim commits.
#[derive(Debug)]
pub struct Fresh(Option<Claim>);

#[derive(Debug, Clone)]
struct Claim {
    place: Place,
    route: &'static str,
    key: String,
    digest: [u8; 32],
}

/// Why an act was not done.
pub trait Failure: From<Error> {
    /// Whether it was refused for what it asks, and not because something failed or is away.
    fn is_refusal(&self) -> bool;
}

impl Failure for Error {
    fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unavailable | Self::Sealed | Self::Defect)
    }
}

/// The keys that this process was given lately, by a hash each that nobody else can tell. One that is forgotten here costs
/// its repetition a transaction in vain, no more.
pub(crate) struct Lately {
    hasher: RandomState,
    given: Box<[AtomicU64]>,
}

impl Default for Lately {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            given: (0..LATELY_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Lately {
    /// As a process that has just begun.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        for slot in &self.given {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// Whether it was given before; it is from now on.
    fn given(&self, claim: &Claim) -> bool {
        let hash = (self.hasher).hash_one((claim.place, claim.route, claim.key.as_str()));
        let slot = usize::try_from(hash % LATELY_MAX).unwrap_or_default();
        let slot = self.given.get(slot);
        slot.is_some_and(|slot| slot.swap(hash, Ordering::Relaxed) == hash)
    }
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
    pub(crate) async fn answer_unchanged(&self, answered: Transaction) -> Result<(), Error> {
        if !answered.is_empty() {
            self.db().transact(answered).await?;
        }
        Ok(())
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

    /// A request with this key.
    #[must_use]
    pub fn fresh(&self, caller: &Caller, key: IdempotencyKey, body: &[u8]) -> Fresh {
        let context = Context::new("coffer idempotency v1")
            .text(caller.origin.route)
            .bytes(body);
        let digest = *self.secrets().idempotency.mac(&context).as_bytes();
        Fresh(Some(Claim {
            place: caller.place,
            route: caller.origin.route,
            key: key.0,
            digest,
        }))
    }

    /// Does what a POST asks for, unless it was done before: then the first one's answer is the answer, as
    /// [`Error::Answered`]. A twin of one that still runs waits for it.
    ///
    /// # Errors
    /// Those of the act; [`Error::IdempotencyMismatch`] when the key was used for another body, and
    /// [`Error::IdempotencyRunning`] when the first still runs after the wait.
    pub async fn once<T, E: Failure, F: Future<Output = Result<T, E>>>(
        &self,
        fresh: Fresh,
        act: impl FnOnce(Fresh) -> F,
    ) -> Result<T, E> {
        let Some(claim) = fresh.0.clone() else {
            return act(fresh).await;
        };
        if self.0.lately.given(&claim)
            && let Some(first) = self.first_answer(&claim, true).await
        {
            return Err(first.into());
        }
        match act(fresh).await {
            Ok(done) => Ok(done),
            // Or a twin would be told that the token is used or the payment captured, by its own request.
            Err(failure) => Err(
                match self.first_answer(&claim, failure.is_refusal()).await {
                    Some(first) => first.into(),
                    None => failure,
                },
            ),
        }
    }

    /// What a request with this key is told that is not the first: its answer, or why there is none yet. Only who was refused
    /// waits for one: who failed may have claimed the key itself.
    async fn first_answer(&self, claim: &Claim, waits: bool) -> Option<Error> {
        match self.stored(claim).await {
            Ok(None) => None,
            Ok(Some(None)) if !waits => None,
            Ok(Some(None)) => Some(match self.await_twin(claim).await {
                Ok(answer) => Error::Answered(answer),
                Err(error) => error,
            }),
            Ok(Some(Some(answer))) => Some(Error::Answered(answer)),
            Err(error) => Some(error),
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
    use coffer_core::payment::CaptureMode;

    use super::*;
    use crate::fixture::{Shop, captures, payment};

    #[tokio::test]
    async fn a_key_is_not_for_another_body() {
        let shop = Shop::open().await;
        shop.pay_once("order-1").await.unwrap();
        let (engine, caller) = (&shop.engine, shop.caller("POST /v1/payments").await);
        for remembered in [true, false] {
            if !remembered {
                engine.0.lately.forget();
            }
            let key = IdempotencyKey::parse("order-1").unwrap();
            let new = payment(CaptureMode::Automatic);
            let pay = |fresh| engine.payment_create(&caller, fresh, new);
            let refused = engine.once(engine.fresh(&caller, key, b"other"), pay).await;
            assert_eq!(refused, Err(Error::IdempotencyMismatch), "{remembered}");
        }
        assert_eq!(shop.vault.moved(captures).0, 1);
    }

    #[tokio::test]
    async fn a_repeat_is_answered_though_what_it_asks_for_cannot_be_done_any_more() {
        let shop = Shop::open().await;
        let first = shop.pay_once("order-1").await.unwrap();
        for failure in [Error::Unavailable, Error::TokenUsed] {
            let caller = shop.caller("POST /v1/payments").await;
            let fails = async |_| Err::<(), _>(failure.clone());
            let answered = shop.once(&caller, "order-1", fails).await.unwrap_err();
            assert!(matches!(answered, Error::Answered(answer) if answer.body == first));
        }
    }

    #[tokio::test]
    async fn nothing_is_done_for_a_repeat_that_is_remembered() {
        let shop = Shop::open().await;
        shop.pay_once("order-1").await.unwrap();
        let caller = shop.caller("POST /v1/payments").await;
        let done = async |_| -> Result<(), Error> { panic!("it was done again") };
        let fresh = shop.fresh(&caller, "order-1");
        let answered = shop.engine.once(fresh, done).await.unwrap_err();
        assert!(matches!(answered, Error::Answered(_)));
    }

    #[tokio::test]
    async fn who_failed_after_its_own_claim_does_not_wait_for_itself() {
        let shop = Shop::open().await;
        let caller = shop.caller("POST /v1/payments").await;
        let fails = async |fresh: Fresh| {
            let claim = fresh.claim("pay_1", shop.engine.now());
            shop.engine.db().transact(claim).await?;
            Err::<(), _>(Error::Unavailable)
        };
        let failed = shop.once(&caller, "order-1", fails).await.unwrap_err();
        assert_eq!(failed, Error::Unavailable);
    }

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
