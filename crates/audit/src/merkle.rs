//! The arithmetic of a Merkle tree (RFC 6962 section 2.1): hashes, and checking that one tree continues another.
//!
//! Nothing here reads a store; [`crate::Audit`] makes the proofs.

use coffer_crypto::digest;

/// A node of the tree.
pub type Hash = [u8; 32];

const LEAF: &[u8] = &[0];
const INTERIOR: &[u8] = &[1];

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    digest(&[LEAF, data])
}

/// The hash of an interior node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    digest(&[INTERIOR, left, right])
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    digest(&[])
}

/// Joins roots of neighbouring subtrees, the leftmost and largest first, into the root above them all.
pub(crate) fn join(subtrees: &[Hash]) -> Option<Hash> {
    let (last, rest) = subtrees.split_last()?;
    Some(
        rest.iter()
            .rev()
            .fold(*last, |right, left| node_hash(left, &right)),
    )
}

/// The root of a perfect subtree over these nodes, whose number is a power of two.
pub(crate) fn perfect_root(nodes: &[Hash]) -> Option<Hash> {
    let mut row = nodes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect::<Option<Vec<Hash>>>()?;
    }
    row.first().copied()
}

/// A tree's size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
}

impl Tree {
    /// The tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            size: 0,
            root: empty_root(),
        }
    }
}

/// Whether `proof` shows that `new` begins with exactly the leaves of `old` (RFC 9162 section 2.1.4.2).
#[must_use]
pub fn consistent(old: &Tree, new: &Tree, proof: &[Hash]) -> bool {
    if old.size == 0 {
        return proof.is_empty()
            && old.root == empty_root()
            && (new.size > 0 || new.root == empty_root());
    }
    if old.size == new.size {
        return proof.is_empty() && old.root == new.root;
    }
    if old.size > new.size {
        return false;
    }
    // A perfect old tree is a node of the new one, and the proof leaves it out.
    let (seed, path) = if old.size.is_power_of_two() {
        (old.root, proof)
    } else {
        match proof.split_first() {
            Some((first, path)) => (*first, path),
            None => return false,
        }
    };
    climb(old, new, seed, path) == Some((old.root, new.root))
}

/// Both roots as the path makes them; nothing when it is too short or too long.
fn climb(old: &Tree, new: &Tree, seed: Hash, path: &[Hash]) -> Option<(Hash, Hash)> {
    let shared = old.size.trailing_zeros();
    let mut node = (old.size - 1) >> shared;
    let mut last = (new.size - 1) >> shared;
    let (mut old_root, mut new_root) = (seed, seed);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            old_root = node_hash(sibling, &old_root);
            new_root = node_hash(sibling, &new_root);
            // A rightmost node without a sibling rises until it is a right child. It is not 0, since `last` is not.
            let rise = node.trailing_zeros();
            node = node.checked_shr(rise)?;
            last = last.checked_shr(rise)?;
        } else {
            new_root = node_hash(&new_root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((old_root, new_root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{edge::Edge, proof};

    /// The definition of the RFC, word for word, to compare with.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(many.len().div_ceil(2).next_power_of_two());
                node_hash(&root(left), &root(right))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn tree(leaves: &[Hash]) -> Tree {
        Tree {
            size: u64::try_from(leaves.len()).unwrap(),
            root: root(leaves),
        }
    }

    fn prove(leaves: &[Hash], old: usize) -> Vec<Hash> {
        let at = |n: u64| usize::try_from(n).unwrap();
        let new = u64::try_from(leaves.len()).unwrap();
        proof::ranges(u64::try_from(old).unwrap(), new)
            .iter()
            .map(|r| root(&leaves[at(r.start)..at(r.end)]))
            .collect()
    }

    fn hex(text: &str) -> Hash {
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .unwrap()
            .try_into()
            .unwrap()
    }

    /// The vectors of the Certificate Transparency reference implementation.
    const VECTORS: [(&str, &str); 8] = [
        (
            "",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        ),
        (
            "00",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        ),
        (
            "10",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ),
        (
            "2021",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
        (
            "3031",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        ),
        (
            "40414243",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        ),
        (
            "5051525354555657",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ),
        (
            "606162636465666768696a6b6c6d6e6f",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ),
    ];

    fn vector_leaves() -> Vec<Hash> {
        let decode = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        VECTORS
            .iter()
            .map(|(data, _)| leaf_hash(&decode(data)))
            .collect()
    }

    #[test]
    fn roots_are_those_of_the_reference_vectors() {
        let mut edge = Edge::empty();
        assert_eq!(
            edge.root(),
            hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        );
        for (leaf, (_, expected)) in vector_leaves().iter().zip(VECTORS) {
            assert!(edge.push(*leaf).is_empty());
            assert_eq!(edge.root(), hex(expected));
        }
    }

    #[test]
    fn proofs_are_those_of_the_reference_vectors() {
        let leaves = vector_leaves();
        let one_to_eight = [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ];
        assert_eq!(prove(&leaves, 1), one_to_eight.map(hex));
        let six_to_eight = [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(prove(&leaves, 6), six_to_eight.map(hex));
    }

    #[test]
    fn every_tree_continues_its_beginnings_and_nothing_else() {
        for size in 0..=20 {
            let leaves = leaves(size);
            let new = tree(&leaves);
            for old_size in 0..=leaves.len() {
                let old = tree(&leaves[..old_size]);
                let proof = if old_size == 0 {
                    Vec::new()
                } else {
                    prove(&leaves, old_size)
                };
                assert!(consistent(&old, &new, &proof), "{old_size} to {size}");
                let other = Tree {
                    root: [9; 32],
                    ..old
                };
                assert!(
                    !consistent(&other, &new, &proof),
                    "{old_size} to {size}, another past"
                );
                let longer = [proof.clone(), vec![[0; 32]]].concat();
                assert!(
                    !consistent(&old, &new, &longer),
                    "{old_size} to {size}, a longer proof"
                );
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(
                        !consistent(&old, &new, shorter),
                        "{old_size} to {size}, a shorter proof"
                    );
                    assert!(!consistent(
                        &old,
                        &Tree {
                            root: [9; 32],
                            ..new
                        },
                        &proof
                    ));
                }
            }
        }
    }

    #[test]
    fn a_shorter_tree_continues_nothing() {
        let leaves = leaves(9);
        let proof = prove(&leaves, 5);
        assert!(!consistent(&tree(&leaves), &tree(&leaves[..5]), &proof));
        assert!(!consistent(&tree(&leaves), &Tree::empty(), &[]));
    }

    #[test]
    fn the_edge_gives_the_same_roots_across_tiles() {
        let leaves = leaves(600);
        let mut edge = Edge::empty();
        for (index, leaf) in leaves.iter().enumerate() {
            let _ = edge.push(*leaf);
            if index % 37 == 0 || index > 590 || (250..260).contains(&index) {
                assert_eq!(edge.root(), root(&leaves[..=index]), "{index}");
            }
        }
    }
}
