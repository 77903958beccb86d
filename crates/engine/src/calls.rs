//! The record of calls that changed nothing: what was read, and what was refused. A change is recorded by its own transaction;
//! these are recorded in packs, a moment later, or before the answer where the installation or the route asks for that.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use coffer_audit::{Actor, ActorKind, Entry, Outcome};
use coffer_core::{Timestamp, words};
use coffer_net::{Gather, Missed, task};

use crate::{Caller, Engine, Error};

/// Calls that may wait to be recorded; beyond, no more is answered until they are.
const WAITING_MAX: usize = 65_536;
/// Calls that are recorded by one transaction.
pub(crate) const TOGETHER_MAX: usize = 4_096;
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

    fn entry(&self) -> (Timestamp, Entry) {
        let caller = &self.caller;
        let (place, origin) = (caller.place(), &caller.origin);
        let actor = Actor::new(ActorKind::ApiKey, caller.api_key());
        let entry = Entry::new(actor, self.operation)
            .place(place.account, place.mode)
            .route(origin.route)
            .request(origin.request_id)
            .address(origin.address)
            .tls(origin.tls_version)
            .outcome(self.outcome)
            .latency_ms(self.latency_ms);
        let entry = self.object.iter().fold(entry, Entry::object);
        (self.came, caller.proofs().fold(entry, Entry::object))
    }
}

/// Calls in the order in which they came, in packs as they are recorded: none is moved again, however many there are.
#[derive(Default)]
struct Waiting {
    packs: VecDeque<Vec<Called>>,
    calls: usize,
}

impl Waiting {
    /// True when this filled a pack.
    fn push(&mut self, called: Called) -> bool {
        self.calls = self.calls.saturating_add(1);
        let room = |pack: &&mut Vec<Called>| pack.len() < TOGETHER_MAX;
        match self.packs.back_mut().filter(room) {
            Some(pack) => {
                pack.push(called);
                pack.len() == TOGETHER_MAX
            }
            None => {
                self.packs.push_back(vec![called]);
                false
            }
        }
    }

    fn next(&mut self) -> Option<Vec<Called>> {
        let pack = self.packs.pop_front()?;
        self.calls = self.calls.saturating_sub(pack.len());
        Some(pack)
    }

    fn again(&mut self, pack: Vec<Called>) {
        self.calls = self.calls.saturating_add(pack.len());
        self.packs.push_front(pack);
    }
}

/// What waits to be recorded on this node.
pub(crate) struct Calls {
    reads: ReadRecords,
    waiting: Mutex<Waiting>,
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

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        coffer_net::lock(&self.waiting)
    }
}

impl Engine {
    /// Whether what is answered now can be recorded in time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too much waits, because the store cannot be written.
    pub fn can_record(&self) -> Result<(), Error> {
        if self.0.calls.waiting().calls < WAITING_MAX {
            Ok(())
        } else {
            Err(Error::Unavailable)
        }
    }

    /// Has a call recorded: before this returns when it, or the installation, is strict; within a second otherwise, or when there
    /// is a pack full of them.
    ///
    /// # Errors
    /// When it must be on record now and cannot be.
    pub async fn record_call(&self, called: Called, strict: bool) -> Result<(), Error> {
        let calls = &self.0.calls;
        if !strict && calls.reads == ReadRecords::Grouped {
            if calls.waiting().push(called) {
                let engine = self.clone();
                // What it cannot record goes on waiting for the task that does this all the time, and that reports it.
                task::spawn("record of calls", async move { engine.write_calls().await });
            }
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

    /// Records what waits now. What cannot be recorded goes on waiting.
    pub(crate) async fn write_calls(&self) -> Result<(), Error> {
        let waiting = self.0.calls.waiting().packs.len();
        for _ in 0..waiting {
            let Some(pack) = self.0.calls.waiting().next() else {
                break;
            };
            if let Err((unwritten, error)) = self.write(pack).await {
                self.0.calls.waiting().again(unwritten);
                return Err(error);
            }
        }
        Ok(())
    }

    /// By one transaction.
    async fn write(&self, pack: Vec<Called>) -> Result<(), (Vec<Called>, Error)> {
        let entries = pack.iter().map(Called::entry).collect();
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
