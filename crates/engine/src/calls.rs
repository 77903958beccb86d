//! The record of calls that changed nothing: what was read, and what was refused. A change is recorded by its own transaction;
//! these are recorded in packs, a moment later, or before the answer where the installation or the route asks for that.

use std::sync::{Mutex, MutexGuard};

use coffer_audit::{Actor, ActorKind, Entry, Outcome};
use coffer_core::{Timestamp, words};
use coffer_net::{Gather, Missed};

use crate::{Caller, Engine, Error};

/// Calls that may wait to be recorded; beyond, no more is answered until they are.
const WAITING_MAX: usize = 65_536;
/// Calls that are recorded by one transaction.
const TOGETHER_MAX: usize = 4_096;
/// The longest name of an object that is recorded.
const OBJECT_MAX: usize = 64;

words! {
    /// When what was read is on record.
    pub enum ReadRecords {
        /// Within a second.
        Grouped = "grouped",
        /// Before the answer.
        Strict = "strict",
    }
}

/// What is to be recorded of a call.
#[derive(Clone)]
pub struct Called {
    /// Who called.
    pub caller: Caller,
    /// The operation's name.
    pub operation: &'static str,
    /// What it named in its path, if that can be an id.
    pub object: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it came.
    pub came: Timestamp,
    /// How long it took.
    pub latency_ms: i64,
}

impl Called {
    /// What may be recorded of the name in a path: nothing that could be more than an id.
    #[must_use]
    pub fn object(name: &str) -> Option<String> {
        let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let fits = (1..=OBJECT_MAX).contains(&name.len()) && name.bytes().all(is_id);
        fits.then(|| name.to_owned())
    }

    fn into_entry(self) -> (Timestamp, Entry) {
        let Self {
            caller,
            operation,
            object,
            outcome,
            came,
            latency_ms,
        } = self;
        let (place, origin) = (caller.place(), &caller.origin);
        let entry = Entry::new(Actor::new(ActorKind::ApiKey, caller.api_key()), operation)
            .place(place.account, place.mode)
            .route(origin.route)
            .request(origin.request_id)
            .address(origin.address)
            .tls(origin.tls_version)
            .outcome(outcome)
            .latency_ms(latency_ms);
        let entry = match object {
            Some(object) => entry.object(object),
            None => entry,
        };
        (came, caller.proofs().fold(entry, Entry::object))
    }
}

/// What waits to be recorded on this node.
pub(crate) struct Calls {
    reads: ReadRecords,
    waiting: Mutex<Vec<Called>>,
    strict: Gather<Called, Result<(), Error>>,
}

impl Calls {
    pub(crate) fn new(reads: ReadRecords) -> Self {
        Self {
            reads,
            waiting: Mutex::default(),
            strict: Gather::new(TOGETHER_MAX, WAITING_MAX),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Called>> {
        coffer_net::lock(&self.waiting)
    }
}

impl Engine {
    /// Whether what is answered now can be recorded in time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too much waits, because the store cannot be written.
    pub fn can_record(&self) -> Result<(), Error> {
        if self.0.calls.waiting().len() < WAITING_MAX {
            Ok(())
        } else {
            Err(Error::Unavailable)
        }
    }

    /// Has a call recorded: before this returns when it, or the installation, is strict; within a second otherwise.
    ///
    /// # Errors
    /// When it must be on record now and cannot be.
    pub async fn record_call(&self, called: Called, strict: bool) -> Result<(), Error> {
        let calls = &self.0.calls;
        if !strict && calls.reads == ReadRecords::Grouped {
            calls.waiting().push(called);
            return Ok(());
        }
        // Apart: it is much larger than a call that is recorded later, which most are.
        Box::pin(self.record_now(called)).await
    }

    async fn record_now(&self, called: Called) -> Result<(), Error> {
        let engine = self.clone();
        let work = move |pack: Vec<Called>| {
            let engine = engine.clone();
            async move {
                let count = pack.len();
                let written = engine.write(pack).await.map_err(|(_, error)| error);
                vec![written; count]
            }
        };
        match self.0.calls.strict.join(called, work).await {
            Ok(written) => written,
            Err(Missed::Full | Missed::Lost) => Err(Error::Unavailable),
        }
    }

    /// Records what waits. What cannot be recorded goes on waiting.
    pub(crate) async fn write_calls(&self) -> Result<(), Error> {
        loop {
            let mut some = std::mem::take(&mut *self.0.calls.waiting());
            if some.is_empty() {
                return Ok(());
            }
            let rest = some.split_off(some.len().min(TOGETHER_MAX));
            let last = rest.is_empty();
            self.wait_again(rest);
            if let Err((unwritten, error)) = self.write(some).await {
                self.wait_again(unwritten);
                return Err(error);
            }
            if last {
                return Ok(());
            }
        }
    }

    fn wait_again(&self, mut first: Vec<Called>) {
        if !first.is_empty() {
            let mut waiting = self.0.calls.waiting();
            first.append(&mut waiting);
            *waiting = first;
        }
    }

    /// By one transaction.
    async fn write(&self, pack: Vec<Called>) -> Result<(), (Vec<Called>, Error)> {
        let entries = pack.iter().cloned().map(Called::into_entry).collect();
        let clock = &self.0.clock;
        let steps = match self.0.audit.pack(clock.now(), || clock.id(), entries) {
            Ok(steps) => steps,
            Err(error) => return Err((pack, error.into())),
        };
        match self.db().transact(steps).await {
            Ok(_) => Ok(()),
            Err(error) => Err((pack, error.into())),
        }
    }
}
