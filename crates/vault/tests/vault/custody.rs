//! A key server in memory: the contract's promises with real ciphers, and faults on demand.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use coffer_core::id::{AttemptId, RecordId};
use coffer_crypto::{Context, Key, mac, random_secret, unwrap, wrap};
use coffer_db::Database;
use coffer_net::contract::{
    Answer, Error, KeyOnLink, Place, Refusal,
    keys::{
        Class, Custody, DiskHistory, Fingerprint, Fingerprinted, GetCheckpoint, GetCustody,
        GetDisk, GetHeads, GetOrderKey, GetRevoked, Issue, Issued, IssuedKey, Keys, Open, Opened,
        OrderKey, RememberedCheckpoint, Renew, Renewed, Revoked, Rewrap, Seal, SignCheckpoint,
        SignedCheckpoint, SignedHeads, Subject, Unseal, WrappedKey,
    },
};

pub(crate) const ORDER_KEY_ID: &str = "0a";

pub(crate) struct FakeKeys {
    root: Key,
    pub(crate) sealed: AtomicBool,
    /// Never answers, like a machine that was frozen.
    pub(crate) frozen: AtomicBool,
    /// The vault's own store, which is gone after the next call.
    pub(crate) takes_along: Mutex<Option<Database>>,
    pub(crate) calls: AtomicUsize,
    opened: Mutex<HashSet<AttemptId>>,
}

impl FakeKeys {
    pub(crate) fn new() -> Self {
        Self {
            root: random_secret().unwrap(),
            sealed: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            takes_along: Mutex::default(),
            calls: AtomicUsize::new(0),
            opened: Mutex::default(),
        }
    }

    pub(crate) fn order_key(&self) -> Key {
        self.root.derive(&Context::new("order").text(ORDER_KEY_ID))
    }

    async fn enter(&self) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.frozen.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let taken = self.takes_along.lock().unwrap().take();
        if let Some(store) = taken {
            store.close().await;
        }
        if self.sealed.load(Ordering::SeqCst) {
            Err(Error::Sealed)
        } else {
            Ok(())
        }
    }

    fn parent(&self, place: Place, subject: Subject) -> Key {
        let context = Context::new("subject")
            .bytes(place.account.as_bytes())
            .text(place.mode.as_str());
        self.root.derive(&context.text(&subject.to_string()))
    }

    fn open_wrapped(
        &self,
        place: Place,
        subject: Subject,
        record: RecordId,
        wrapped: &WrappedKey,
    ) -> Result<Key, Error> {
        let context = wrapping(place, record, wrapped.parent_version);
        unwrap(&self.parent(place, subject), &context, &wrapped.bytes)
            .map_err(|_| Error::Refused(Refusal::WrappedKeyInvalid))
    }

    fn wrap_key(&self, place: Place, subject: Subject, record: RecordId, key: &Key) -> WrappedKey {
        let bytes = wrap(
            &self.parent(place, subject),
            &wrapping(place, record, 1),
            key,
        )
        .unwrap();
        WrappedKey {
            parent_version: 1,
            bytes,
        }
    }
}

fn wrapping(place: Place, record: RecordId, version: i64) -> Context {
    Context::new("wrapping")
        .bytes(place.account.as_bytes())
        .text(place.mode.as_str())
        .text(Class::Card.as_str())
        .bytes(record.as_bytes())
        .number(version)
}

impl Keys for FakeKeys {
    fn issue(&self, request: Issue) -> Answer<'_, Issued> {
        Box::pin(async move {
            self.enter().await?;
            let make = |record: RecordId| {
                let key = random_secret().unwrap();
                let wrapped = self.wrap_key(request.place, request.subject, record, &key);
                IssuedKey {
                    record,
                    key: KeyOnLink::new(key),
                    wrapped,
                }
            };
            Ok(Issued {
                keys: request.records.into_iter().map(make).collect(),
            })
        })
    }

    fn fingerprint(&self, request: Fingerprint) -> Answer<'_, Fingerprinted> {
        Box::pin(async move {
            self.enter().await?;
            let key = self.parent(request.place, Subject::Account);
            let print = *mac(&key, &Context::new("fingerprint").bytes(&request.inner)).as_bytes();
            Ok(Fingerprinted {
                versions: vec![(1, print)],
            })
        })
    }

    fn open(&self, request: Open) -> Answer<'_, Opened> {
        Box::pin(async move {
            self.enter().await?;
            let order = request
                .order
                .verify(&self.order_key())
                .ok_or(Error::Refused(Refusal::OrderInvalid))?;
            if !self.opened.lock().unwrap().insert(order.attempt) {
                return Err(Error::Refused(Refusal::OrderUsed));
            }
            let key =
                self.open_wrapped(order.place, request.subject, order.record, &request.wrapped)?;
            Ok(Opened {
                key: KeyOnLink::new(key),
            })
        })
    }

    fn rewrap(&self, request: Rewrap) -> Answer<'_, WrappedKey> {
        Box::pin(async move {
            self.enter().await?;
            let key = self.open_wrapped(
                request.place,
                request.from,
                request.record,
                &request.wrapped,
            )?;
            Ok(self.wrap_key(request.place, request.to, request.record, &key))
        })
    }

    fn order_key(&self, _: GetOrderKey) -> Answer<'_, OrderKey> {
        Box::pin(async move { Err(Error::NotAllowed) })
    }

    fn sign_checkpoint(&self, _: SignCheckpoint) -> Answer<'_, SignedCheckpoint> {
        Box::pin(async move { Err(Error::Away) })
    }

    fn checkpoint(&self, _: GetCheckpoint) -> Answer<'_, RememberedCheckpoint> {
        Box::pin(async move { Err(Error::Away) })
    }

    fn heads(&self, _: GetHeads) -> Answer<'_, SignedHeads> {
        Box::pin(async move { Err(Error::NotAllowed) })
    }

    fn renew(&self, _: Renew) -> Answer<'_, Renewed> {
        Box::pin(async move { Err(Error::Away) })
    }

    fn revoked(&self, _: GetRevoked) -> Answer<'_, Revoked> {
        Box::pin(async move {
            Ok(Revoked {
                serials: Vec::new(),
            })
        })
    }

    fn custody(&self, _: GetCustody) -> Answer<'_, Custody> {
        Box::pin(async move {
            Ok(Custody {
                sealed: self.sealed.load(Ordering::SeqCst),
            })
        })
    }

    fn disk(&self, _: GetDisk) -> Answer<'_, DiskHistory> {
        Box::pin(async move { Err(Error::Away) })
    }

    fn seal(&self, _: Seal) -> Answer<'_, Custody> {
        Box::pin(async move { Err(Error::NotAllowed) })
    }

    fn unseal(&self, _: Unseal) -> Answer<'_, Custody> {
        Box::pin(async move { Err(Error::NotAllowed) })
    }
}
