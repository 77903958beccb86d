//! What the audit log is verified by: its leaves, the proofs that it grew, the heads that were kept elsewhere.

use coffer_audit::{
    Anchor, Hash,
    merkle::{Tree, consistent, leaf_hash, node_hash},
};
use coffer_core::Timestamp;

/// Leaves of the larger tree.
const LEAVES: u8 = 32;
/// Parts of a proof, more than any between trees of so few leaves has.
const PATH_MAX: usize = 16;

/// A leaf says no more than it has bytes for, so that a changed one cannot fill the memory of whoever verifies.
pub(crate) fn leaf(bytes: &[u8]) {
    let recorded = Timestamp::from_millis(1);
    if let Ok(entries) = coffer_audit::read(recorded, bytes) {
        assert!(entries.len() <= bytes.len(), "entries out of nothing");
    }
}

/// No proof of subtrees of either log shows that a log continues one from which it differs in a leaf.
pub(crate) fn proof(bytes: &[u8]) {
    let Some((&[old, new, fork, sizes, spread], path)) = bytes.split_first_chunk::<5>() else {
        return;
    };
    let (old, new) = (1 + old % LEAVES, 1 + new % LEAVES);
    let fork = fork % old;
    let path: Vec<Hash> = path
        .chunks_exact(2)
        .take(PATH_MAX)
        .map(|node| subtree(node[0], 1 << (node[1] % 6), fork + LEAVES * (node[1] >> 7)))
        .collect();
    let one = Tree {
        size: claimed(old, sizes & 15, spread),
        root: subtree(0, old, LEAVES),
    };
    let other = Tree {
        size: claimed(new, sizes >> 4, spread),
        root: subtree(0, new, fork),
    };
    assert!(fork >= new || !consistent(&one, &other, &path), "a fork");
}

/// The size, or what is said instead of it.
fn claimed(size: u8, choice: u8, said: u8) -> u64 {
    u64::from(if choice < 12 { size } else { said })
}

/// The root over `count` leaves from `start`, as RFC 6962 defines it, in a log whose leaf `fork` differs.
fn subtree(start: u8, count: u8, fork: u8) -> Hash {
    let Some(below) = count.checked_sub(1).and_then(|last| last.checked_ilog2()) else {
        return leaf_hash(&[start, u8::from(start == fork)]);
    };
    let left = 1 << below;
    node_hash(
        &subtree(start, left, fork),
        &subtree(start.wrapping_add(left), count - left, fork),
    )
}

/// A head that was kept is read as it was written, and its root is a hash.
pub(crate) fn anchor(bytes: &[u8]) {
    let Ok(anchor) = serde_json::from_slice::<Anchor>(bytes) else {
        return;
    };
    let line = anchor.line();
    assert!(line.ends_with('\n') && line.trim_end().lines().count() == 1);
    let again: Anchor = serde_json::from_str(&line).expect("what was written");
    assert_eq!(again.line(), line);
    assert_eq!(again.tree(), anchor.tree());
}
