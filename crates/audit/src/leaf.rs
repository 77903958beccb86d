//! One leaf of the log: its bytes, its hash, and its personal values, sealed apart.
//!
//! The hash covers the personal values only by a blinded digest, so that they can be erased and the log stays whole.

use coffer_core::{
    Timestamp,
    id::{AccountId, LeafId},
};
use coffer_crypto::{Context, Key, digest, open, random, seal};
use coffer_db::{Transaction, params};

use crate::{
    Error, Hash,
    entry::{Entry, Personal},
    merkle,
    store::LEAF_INSERT,
};

const BLIND_BYTES: usize = 32;

/// The digest of a leaf that never had personal values; one whose values were erased keeps its own.
const NOTHING_PERSONAL: Hash = [0; 32];

/// A leaf as it is stored.
pub(crate) struct Leaf {
    pub(crate) id: String,
    pub(crate) recorded: i64,
    pub(crate) account: String,
    pub(crate) public: Vec<u8>,
    pub(crate) personal_digest: Vec<u8>,
    pub(crate) sealed: Option<Vec<u8>>,
}

impl Leaf {
    pub(crate) fn new(
        id: LeafId,
        now: Timestamp,
        entry: &Entry,
        key: Option<&Key>,
    ) -> Result<Self, Error> {
        let personal = entry.personal().map(Personal::encode).transpose()?;
        Self::of(id, now, entry.account, entry.public.encode()?).sealing(personal, key)
    }

    /// A leaf without personal values.
    pub(crate) fn of(
        id: LeafId,
        now: Timestamp,
        account: Option<AccountId>,
        public: Vec<u8>,
    ) -> Self {
        Self {
            id: id.to_string(),
            recorded: now.as_millis(),
            account: account
                .map(|account| account.to_string())
                .unwrap_or_default(),
            public,
            personal_digest: NOTHING_PERSONAL.to_vec(),
            sealed: None,
        }
    }

    /// The same leaf with these personal values, if there are any.
    pub(crate) fn sealing(
        mut self,
        personal: Option<Vec<u8>>,
        key: Option<&Key>,
    ) -> Result<Self, Error> {
        if let Some(personal) = personal {
            let key = key.ok_or(Error::Refused("this log has no key for personal values"))?;
            self.seal(&personal, key)?;
        }
        Ok(self)
    }

    /// The step that stores it.
    pub(crate) fn insert(self) -> Transaction {
        let values = params![
            self.id,
            self.recorded,
            self.account,
            self.public,
            self.personal_digest,
            self.sealed
        ];
        Transaction::new().one(&LEAF_INSERT, values)
    }

    fn seal(&mut self, personal: &[u8], key: &Key) -> Result<(), Error> {
        let blind = random::<BLIND_BYTES>().map_err(|_| Error::Unavailable)?;
        let blinded = [blind.as_slice(), personal].concat();
        self.personal_digest = digest(&[&blinded]).to_vec();
        self.sealed = Some(seal(key, &self.place(), &blinded).map_err(|_| Error::Unavailable)?);
        Ok(())
    }

    /// Whether the sealed values, if there are any left, are those that the leaf was made with.
    pub(crate) fn personal_is_whole(&self, key: &Key) -> bool {
        self.sealed.as_ref().is_none_or(|sealed| {
            open(key, &self.place(), sealed)
                .is_ok_and(|blinded| digest(&[blinded.expose()]).as_slice() == self.personal_digest)
        })
    }

    /// The personal values, if there are any left and this key opens them.
    pub(crate) fn opened(&self, key: &Key) -> Option<Vec<u8>> {
        let blinded = open(key, &self.place(), self.sealed.as_ref()?).ok()?;
        // Exposed to be read by whoever may read the log.
        blinded.expose().get(BLIND_BYTES..).map(<[u8]>::to_vec)
    }

    /// The leaf's hash in the tree (RFC 6962 section 2.1). Each field is preceded by its kind and length, so that no two
    /// leaves have the same bytes.
    pub(crate) fn hash(&self) -> Hash {
        let data = Context::new("coffer audit leaf v1")
            .text(&self.id)
            .number(self.recorded)
            .text(&self.account)
            .bytes(&self.public)
            .bytes(&self.personal_digest);
        merkle::leaf_hash(data.as_bytes())
    }

    fn place(&self) -> Context {
        Context::new("coffer audit personal v1")
            .text(&self.id)
            .text(&self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, ActorKind};

    fn leaf(id: u8, entry: &Entry, key: Option<&Key>) -> Result<Leaf, Error> {
        Leaf::new(
            LeafId::from_bytes([id; 16]),
            Timestamp::from_millis(7),
            entry,
            key,
        )
    }

    fn entry() -> Entry {
        Entry::new(Actor::new(ActorKind::Member, "mem_1"), "key.reveal")
    }

    #[test]
    fn personal_values_need_a_key_and_are_not_in_clear() {
        let named = entry().name("Ada Lovelace");
        assert!(matches!(leaf(1, &named, None), Err(Error::Refused(_))));
        let key = Key::from_array([1; 32]);
        let leaf = leaf(1, &named, Some(&key)).unwrap();
        let stored = [leaf.public, leaf.sealed.unwrap()].concat();
        assert!(!stored.windows(3).any(|window| window == b"Ada"));
    }

    #[test]
    fn personal_values_of_another_leaf_are_not_whole() {
        let key = Key::from_array([1; 32]);
        let mut one = leaf(1, &entry().name("Ada"), Some(&key)).unwrap();
        let two = leaf(2, &entry().name("Ada"), Some(&key)).unwrap();
        assert!(one.personal_is_whole(&key));
        assert_ne!(
            one.personal_digest, two.personal_digest,
            "a digest must not tell who is the same person"
        );
        one.sealed = two.sealed;
        assert!(!one.personal_is_whole(&key));
    }

    #[test]
    fn erasing_personal_values_keeps_the_hash() {
        let key = Key::from_array([1; 32]);
        let mut leaf = leaf(1, &entry().name("Ada"), Some(&key)).unwrap();
        let before = leaf.hash();
        leaf.sealed = None;
        assert!(leaf.personal_is_whole(&key));
        assert_eq!(leaf.hash(), before);
    }

    #[test]
    fn every_field_counts_in_the_hash() {
        let base = || leaf(1, &entry(), None).unwrap();
        let hash = base().hash();
        assert_ne!(
            Leaf {
                id: "leaf_x".to_owned(),
                ..base()
            }
            .hash(),
            hash
        );
        assert_ne!(
            Leaf {
                recorded: 8,
                ..base()
            }
            .hash(),
            hash
        );
        assert_ne!(
            Leaf {
                account: "acct_x".to_owned(),
                ..base()
            }
            .hash(),
            hash
        );
        assert_ne!(
            Leaf {
                public: vec![1],
                ..base()
            }
            .hash(),
            hash
        );
        assert_ne!(
            Leaf {
                personal_digest: vec![1; 32],
                ..base()
            }
            .hash(),
            hash
        );
    }
}
