//! The right edge of the tree: what is needed to append a leaf and to know the root, a few kilobytes for any size.
//!
//! Tiles are those of C2SP tlog-tiles: a tile of level 0 holds 256 leaf hashes, one of the next level 256 roots of full
//! tiles below it.

use crate::{
    Hash,
    merkle::{empty_root, join, perfect_root},
};

/// Hashes in a full tile.
pub(crate) const TILE_HASHES: usize = 256;
/// The height of a tile: 256 is 2 to the 8th.
pub(crate) const TILE_HEIGHT: u32 = 8;

/// A tile: full, or partial at the right edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) level: u32,
    pub(crate) index: u64,
    pub(crate) hashes: Vec<Hash>,
}

/// The partial tiles of every level.
pub(crate) struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    pub(crate) const fn empty() -> Self {
        Self {
            size: 0,
            levels: Vec::new(),
        }
    }

    /// The edge of a tree of this size; `levels` are the hashes of its partial tiles, level 0 first.
    pub(crate) const fn new(size: u64, levels: Vec<Vec<Hash>>) -> Self {
        Self { size, levels }
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; the answer is the tiles that became full by it, which the edge forgets.
    pub(crate) fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        self.size = self.size.saturating_add(1);
        let mut full = Vec::new();
        let mut rising = Some(leaf);
        let mut level = 0;
        while let Some(hash) = rising.take() {
            let hashes = self.level(level);
            hashes.push(hash);
            if hashes.len() == TILE_HASHES {
                let hashes = std::mem::take(hashes);
                rising = perfect_root(&hashes);
                let level = depth(level);
                full.push(Tile {
                    level,
                    index: nodes(self.size, level + 1).saturating_sub(1),
                    hashes,
                });
            }
            level += 1;
        }
        full
    }

    /// The partial tiles that are not empty.
    pub(crate) fn partial(&self) -> Vec<Tile> {
        let tile = |(level, hashes): (usize, &Vec<Hash>)| {
            let level = depth(level);
            Tile {
                level,
                index: nodes(self.size, level + 1),
                hashes: hashes.clone(),
            }
        };
        self.levels
            .iter()
            .enumerate()
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(tile)
            .collect()
    }

    /// The root of the whole tree.
    pub(crate) fn root(&self) -> Hash {
        // From the left: the highest level's perfect subtrees first, the largest of each level first.
        let subtrees: Vec<Hash> = self
            .levels
            .iter()
            .rev()
            .flat_map(|hashes| perfect_roots(hashes))
            .collect();
        join(&subtrees).unwrap_or_else(empty_root)
    }

    fn level(&mut self, level: usize) -> &mut Vec<Hash> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        #[expect(clippy::indexing_slicing, reason = "the line above made it")]
        &mut self.levels[level]
    }
}

/// How many nodes a tree of this many leaves has at the bottom of a tile level.
pub(crate) fn nodes(size: u64, level: u32) -> u64 {
    size.checked_shr(level.saturating_mul(TILE_HEIGHT))
        .unwrap_or(0)
}

fn depth(level: usize) -> u32 {
    u32::try_from(level).unwrap_or(u32::MAX)
}

/// The roots of the largest perfect subtrees that these nodes fall into, from the left.
fn perfect_roots(mut nodes: &[Hash]) -> Vec<Hash> {
    let mut roots = Vec::new();
    while !nodes.is_empty() {
        let (subtree, rest) = nodes.split_at(1 << nodes.len().ilog2());
        roots.extend(perfect_root(subtree));
        nodes = rest;
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf_hash;

    #[test]
    fn full_tiles_leave_the_edge_with_their_place() {
        let mut edge = Edge::empty();
        let full: Vec<Tile> = (0..65_536_u64)
            .flat_map(|n| edge.push(leaf_hash(&n.to_be_bytes())))
            .collect();
        assert_eq!(full.len(), 257);
        assert_eq!(
            full.iter()
                .filter(|tile| tile.level == 0)
                .map(|tile| tile.index)
                .collect::<Vec<_>>(),
            (0..256).collect::<Vec<_>>()
        );
        assert_eq!(
            full.last().map(|tile| (tile.level, tile.index)),
            Some((1, 0))
        );
        assert_eq!(
            edge.partial()
                .iter()
                .map(|tile| (tile.level, tile.index))
                .collect::<Vec<_>>(),
            [(2, 0)]
        );
    }

    #[test]
    fn an_edge_put_together_again_goes_on_alike() {
        let mut edge = Edge::empty();
        for n in 0..300_u64 {
            let _ = edge.push(leaf_hash(&n.to_be_bytes()));
        }
        let levels = edge.levels.clone();
        let mut again = Edge::new(300, levels);
        assert_eq!(again.push([1; 32]), edge.push([1; 32]));
        assert_eq!(again.root(), edge.root());
    }
}
