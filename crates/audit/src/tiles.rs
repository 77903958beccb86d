//! Reading tiles: the right edge to append to, and the subtrees that a proof is made of.

use std::collections::HashMap;

use coffer_db::{Database, params};

use crate::{
    Error, Hash,
    edge::{Edge, TILE_HASHES, TILE_HEIGHT, nodes},
    merkle::perfect_root,
    proof::Node,
    store::TILE_READ,
};

const HASH_BYTES: usize = 32;

/// The hashes of one stored tile; none when there is no such tile.
pub(crate) async fn tile(db: &Database, level: u32, index: u64) -> Result<Vec<Hash>, Error> {
    let index =
        i64::try_from(index).map_err(|_| Error::Damaged("a tile's index is out of range"))?;
    match db.read_optional(&TILE_READ, params![level, index]).await? {
        Some(row) => decode(row.bytes("hashes")?),
        None => Ok(Vec::new()),
    }
}

/// The bytes of a tile as they are stored.
pub(crate) fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

fn decode(bytes: &[u8]) -> Result<Vec<Hash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || hashes.len() > TILE_HASHES {
        return Err(Error::Damaged("a tile has an impossible length"));
    }
    Ok(hashes.to_vec())
}

/// The right edge of a tree of this size.
pub(crate) async fn edge(db: &Database, size: u64) -> Result<Edge, Error> {
    let mut levels = Vec::new();
    for level in 0.. {
        let count = nodes(size, level);
        if count == 0 {
            break;
        }
        levels.push(partial(db, level, count).await?);
    }
    Ok(Edge::new(size, levels))
}

/// The hashes of the rightmost tile of a level of `count` nodes. The stored tile may have grown since.
async fn partial(db: &Database, level: u32, count: u64) -> Result<Vec<Hash>, Error> {
    let index = nodes(count, 1);
    let wanted = offset(count);
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let mut hashes = tile(db, level, index).await?;
    if hashes.len() < wanted {
        return Err(Error::Damaged(
            "a tile at the right edge is missing or too short",
        ));
    }
    hashes.truncate(wanted);
    Ok(hashes)
}

/// The place in its tile of the node with this number.
fn offset(node: u64) -> usize {
    usize::try_from(node).unwrap_or(usize::MAX) % TILE_HASHES
}

/// Reads subtrees, each tile only once.
pub(crate) struct Subtrees<'d> {
    db: &'d Database,
    tiles: HashMap<(u32, u64), Vec<Hash>>,
}

impl<'d> Subtrees<'d> {
    pub(crate) fn new(db: &'d Database) -> Self {
        Self {
            db,
            tiles: HashMap::new(),
        }
    }

    /// The root of a perfect subtree.
    pub(crate) async fn root(&mut self, node: Node) -> Result<Hash, Error> {
        let level = node.height / TILE_HEIGHT;
        let above = node.height % TILE_HEIGHT;
        let first = node.index << above;
        let key = (level, nodes(first, 1));
        if !self.tiles.contains_key(&key) {
            self.tiles.insert(key, tile(self.db, key.0, key.1).await?);
        }
        let start = offset(first);
        self.tiles
            .get(&key)
            .and_then(|hashes| hashes.get(start..start + (1_usize << above)))
            .and_then(perfect_root)
            .ok_or(Error::Damaged("a tile is missing or too short"))
    }
}
