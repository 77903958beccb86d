//! Packs: many entries of one account in one leaf, so that what happens often costs one record in the log.
//!
//! The public part says of each entry all that a leaf of its own would say, its time too; what neighbours have in common is
//! written once. The personal values of a pack are sealed, and erased, together. A pack is proven, and found changed, as
//! any other leaf; [`read`] lists what is in either kind.

use std::{borrow::Cow, collections::BTreeMap};

use coffer_core::{
    Mode, Timestamp,
    id::{AccountId, LeafId, RequestId},
};
use coffer_db::Transaction;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Audit, Entry, Error, Outcome,
    entry::{PUBLIC_MAX_BYTES, PUBLIC_VERSION, PUBLIC_VERSION_FIRST, Personal, Public},
    leaf::Leaf,
};

/// Entries in one pack; what is more goes into the next.
pub const PACK_ENTRIES_MAX: usize = 256;
/// The longest public part of a pack, as if each of its entries were a leaf of its own: as much as sixteen of the longest.
const PACK_PUBLIC_MAX_BYTES: usize = 16 * PUBLIC_MAX_BYTES;
/// The format of the public part of a pack.
const PACK_VERSION: u8 = 2;

/// Entries that follow each other and say the same of all but their objects, their request and their time.
#[derive(Serialize, Deserialize)]
struct Group {
    actor: Actor,
    action: Cow<'static, str>,
    route: Cow<'static, str>,
    outcome: Outcome,
    mode: Option<Mode>,
    tls: Cow<'static, str>,
    items: Vec<Item>,
}

/// What an entry says for itself.
#[derive(Serialize, Deserialize)]
struct Item {
    time: i64,
    objects: Vec<String>,
    request: Option<RequestId>,
    latency_ms: i64,
}

/// The public part of an entry in its first format.
#[derive(Deserialize)]
struct First {
    actor: Actor,
    action: String,
    route: String,
    outcome: Outcome,
    objects: Vec<String>,
    mode: Option<Mode>,
    request: Option<RequestId>,
    latency_ms: i64,
}

impl From<First> for Public {
    fn from(first: First) -> Self {
        let First {
            actor,
            action,
            route,
            outcome,
            objects,
            mode,
            request,
            latency_ms,
        } = first;
        Self {
            actor,
            action: action.into(),
            route: route.into(),
            outcome,
            objects,
            mode,
            request,
            latency_ms,
            tls: Cow::default(),
        }
    }
}

/// The personal values of a pack: each once, and which of them is which entry's. Without Debug, as they are.
#[derive(Default, Serialize, Deserialize)]
struct Personals {
    values: Vec<Personal>,
    /// For each entry the place of its values, from 1; 0 when it has none.
    of: Vec<usize>,
}

/// One entry as the log says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When it happened.
    pub time: Timestamp,
    /// What it says.
    pub public: Public,
}

impl std::ops::Deref for Recorded {
    type Target = Public;
    fn deref(&self) -> &Public {
        &self.public
    }
}

/// The entries of a leaf, one or a pack of them, from its public part and the time at which the leaf was recorded.
///
/// # Errors
/// `Damaged` when it is neither.
pub fn read(recorded: Timestamp, public: &[u8]) -> Result<Vec<Recorded>, Error> {
    const UNREADABLE: Error = Error::Damaged("an entry cannot be read");
    let (version, body) = public.split_first().ok_or(UNREADABLE)?;
    match *version {
        PUBLIC_VERSION => {
            let public = postcard::from_bytes(body).map_err(|_| UNREADABLE)?;
            let time = recorded;
            Ok(vec![Recorded { time, public }])
        }
        PUBLIC_VERSION_FIRST => {
            let first: First = postcard::from_bytes(body).map_err(|_| UNREADABLE)?;
            let (time, public) = (recorded, first.into());
            Ok(vec![Recorded { time, public }])
        }
        PACK_VERSION => {
            let groups: Vec<Group> = postcard::from_bytes(body).map_err(|_| UNREADABLE)?;
            Ok(groups.into_iter().flat_map(Group::into_recorded).collect())
        }
        _ => Err(UNREADABLE),
    }
}

impl Group {
    fn into_recorded(self) -> impl Iterator<Item = Recorded> {
        let Self {
            actor,
            action,
            route,
            outcome,
            mode,
            tls,
            items,
        } = self;
        items.into_iter().map(move |item| Recorded {
            time: Timestamp::from_millis(item.time),
            public: Public {
                actor: actor.clone(),
                action: action.clone(),
                route: route.clone(),
                outcome,
                objects: item.objects,
                mode,
                request: item.request,
                latency_ms: item.latency_ms,
                tls: tls.clone(),
            },
        })
    }

    fn new(public: Public, time: Timestamp) -> Self {
        let Public {
            actor,
            action,
            route,
            outcome,
            objects,
            mode,
            request,
            latency_ms,
            tls,
        } = public;
        let item = Item {
            time: time.as_millis(),
            objects,
            request,
            latency_ms,
        };
        Self {
            actor,
            action,
            route,
            outcome,
            mode,
            tls,
            items: vec![item],
        }
    }

    fn has_in_common(&self, public: &Public) -> bool {
        self.actor == public.actor
            && self.action == public.action
            && self.route == public.route
            && self.outcome == public.outcome
            && self.mode == public.mode
            && self.tls == public.tls
    }
}

/// The entries of one account that one leaf will hold.
#[derive(Default)]
struct Pack {
    account: Option<AccountId>,
    groups: Vec<Group>,
    personals: Personals,
    bytes: usize,
}

impl Pack {
    fn takes(&self, bytes: usize) -> bool {
        self.personals.of.len() < PACK_ENTRIES_MAX
            && self.bytes.saturating_add(bytes) <= PACK_PUBLIC_MAX_BYTES
    }

    fn push(&mut self, time: Timestamp, entry: Entry, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        let personal = entry
            .personal()
            .map_or(0, |personal| self.personals.place(personal));
        self.personals.of.push(personal);
        let common = |group: &&mut Group| group.has_in_common(&entry.public);
        match self.groups.last_mut().filter(common) {
            Some(group) => group.items.push(Item {
                time: time.as_millis(),
                objects: entry.public.objects,
                request: entry.public.request,
                latency_ms: entry.public.latency_ms,
            }),
            None => self.groups.push(Group::new(entry.public, time)),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        postcard::to_extend(&self.groups, vec![PACK_VERSION])
            .map_err(|_| Error::Refused("it cannot be encoded"))
    }
}

impl Personals {
    fn place(&mut self, personal: &Personal) -> usize {
        let known = self.values.iter().position(|known| known == personal);
        let place = known.unwrap_or_else(|| {
            self.values.push(personal.clone());
            self.values.len().saturating_sub(1)
        });
        place.saturating_add(1)
    }

    fn encode(&self) -> Result<Option<Vec<u8>>, Error> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let bytes = postcard::to_allocvec(self);
        bytes
            .map(Some)
            .map_err(|_| Error::Refused("it cannot be encoded"))
    }
}

/// The personal values of each entry of a leaf, from its public part and what was sealed with it.
pub(crate) fn personal_values(public: &[u8], opened: &[u8]) -> Result<Vec<Personal>, Error> {
    const UNREADABLE: Error = Error::Damaged("personal values cannot be read");
    if public.first() != Some(&PACK_VERSION) {
        let personal = postcard::from_bytes(opened).map_err(|_| UNREADABLE)?;
        return Ok(vec![personal]);
    }
    let Personals { values, of } = postcard::from_bytes(opened).map_err(|_| UNREADABLE)?;
    let of_entry = |place: usize| match place.checked_sub(1) {
        None => Ok(Personal::default()),
        Some(at) => values.get(at).cloned().ok_or(UNREADABLE),
    };
    of.into_iter().map(of_entry).collect()
}

impl Audit {
    /// The steps that record all of these entries, each with the time at which it happened, in as few leaves as there are
    /// accounts among them. One that is alone in its leaf is written as [`Audit::leaf`] would write it at its time.
    ///
    /// # Errors
    /// As [`Audit::leaf`], for the whole of them.
    pub fn pack(
        &self,
        now: Timestamp,
        mut id: impl FnMut() -> LeafId,
        entries: Vec<(Timestamp, Entry)>,
    ) -> Result<Transaction, Error> {
        let mut accounts: BTreeMap<Option<AccountId>, Vec<(Timestamp, Entry)>> = BTreeMap::new();
        for (time, entry) in entries {
            accounts
                .entry(entry.account)
                .or_default()
                .push((time, entry));
        }
        let mut steps = Transaction::new();
        for (account, mut entries) in accounts {
            if entries.len() == 1
                && let Some((time, entry)) = entries.pop()
            {
                steps = steps.append(self.leaf(time, id(), entry)?);
                continue;
            }
            for pack in packs(account, entries)? {
                steps = steps.append(self.packed(now, id(), &pack)?);
            }
        }
        Ok(steps)
    }

    fn packed(&self, now: Timestamp, id: LeafId, pack: &Pack) -> Result<Transaction, Error> {
        let leaf = Leaf::of(id, now, pack.account, pack.encode()?);
        let leaf = leaf.sealing(pack.personals.encode()?, self.key())?;
        Ok(leaf.insert())
    }
}

/// The entries of one account, packed.
fn packs(account: Option<AccountId>, entries: Vec<(Timestamp, Entry)>) -> Result<Vec<Pack>, Error> {
    let empty = || Pack {
        account,
        ..Pack::default()
    };
    let mut packs = Vec::new();
    let mut pack = empty();
    for (time, entry) in entries {
        let bytes = entry.checked_size()?;
        if !pack.takes(bytes) {
            packs.push(std::mem::replace(&mut pack, empty()));
        }
        pack.push(time, entry, bytes);
    }
    packs.push(pack);
    Ok(packs)
}
