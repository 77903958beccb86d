//! Room that is kept for the moment at which the disk is full: given back then, so that what is under way is still recorded,
//! an operator is told, and the role can stop in order. It is made again by itself when there is room again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::RESERVE;

/// What is kept where there is much room.
const SIZE_MAX: u64 = 64 * 1024 * 1024;
/// Less than this helps nobody.
const SIZE_MIN: u64 = 256 * 1024;
/// Of the room that is free, at most one part in so many is kept.
const SHARE: u64 = 16;
/// It is made again when it would be at least such a part of what it was: not of what it has just given back.
const AGAIN: u64 = 2;
/// For file systems that cannot promise blocks without writing them. Not zeros, which some do not store.
static BLOCK: [u8; 64 * 1024] = [0x52; 64 * 1024];

/// The reserve of one database; its writer alone makes and frees it.
pub(super) struct Reserve {
    /// None where none is kept.
    path: Option<PathBuf>,
    held: AtomicU64,
    /// How large it was when it was held last.
    wanted: AtomicU64,
}

impl Reserve {
    /// For a database that is not a role's.
    pub(super) const fn none() -> Self {
        Self::at(None)
    }

    /// For this database; one that is there from before is held at once.
    pub(super) fn beside(database: &Path) -> Self {
        let path = database.with_extension(RESERVE);
        let there = fs::metadata(&path).map_or(0, |found| found.len());
        let reserve = Self::at(Some(path));
        reserve.holds(there);
        reserve
    }

    const fn at(path: Option<PathBuf>) -> Self {
        Self {
            path,
            held: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
        }
    }

    fn holds(&self, bytes: u64) {
        self.held.store(bytes, Ordering::Relaxed);
        self.wanted.store(bytes, Ordering::Relaxed);
    }

    /// The bytes that can be given back; none where no reserve is kept.
    pub(super) fn held(&self) -> Option<u64> {
        self.path
            .as_ref()
            .map(|_| self.held.load(Ordering::Relaxed))
    }

    /// Whether one should be made.
    pub(super) fn is_missing(&self) -> bool {
        self.held() == Some(0)
    }

    /// Gives it back. False when there is none.
    pub(super) fn free(&self) -> bool {
        let (Some(path), Some(bytes @ 1..)) = (&self.path, self.held()) else {
            return false;
        };
        if let Err(error) = fs::remove_file(path) {
            tracing::error!(%error, "the disk is full, and the reserve could not be given back");
            return false;
        }
        self.held.store(0, Ordering::Relaxed);
        tracing::error!(
            disk.reserve_bytes = bytes,
            "the disk is full: its reserve was given back; free some room"
        );
        true
    }

    /// Makes it, or makes it larger, if there is room.
    pub(super) fn make(&self) {
        let Some(path) = &self.path else { return };
        let size = available(path).map_or(0, |available| (available / SHARE).min(SIZE_MAX));
        let least = self.wanted.load(Ordering::Relaxed) / AGAIN;
        if size < least.max(SIZE_MIN) {
            return;
        }
        match allocate(path, size) {
            Ok(()) => {
                self.holds(size);
                tracing::info!(disk.reserve_bytes = size, "a reserve of the disk is kept");
            }
            Err(error) => {
                self.held.store(0, Ordering::Relaxed);
                // Part of one would be taken for all of it by the next start.
                let _ = fs::remove_file(path);
                tracing::warn!(%error, "no reserve of the disk could be made");
            }
        }
    }

    /// Whether there is so much room that it does not end at once: as much as the reserve had.
    pub(super) fn is_roomy(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed).max(SIZE_MIN);
        self.path
            .as_ref()
            .is_none_or(|path| available(path).is_some_and(|available| available >= wanted))
    }
}

/// The bytes that this user may still write beside this file.
fn available(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path.parent()?).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A file that has all its blocks.
fn allocate(path: &Path, size: u64) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(&file, size),
        done => done.map_err(io::Error::from),
    }
}

fn write(mut file: &File, size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = BLOCK.get(..piece).unwrap_or(&BLOCK);
        file.write_all(piece)?;
        left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(left));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn the_reserve_has_its_blocks_is_its_users_alone_and_is_given_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("t.db"));
        assert!(reserve.is_missing() && !reserve.free());
        reserve.make();
        let file = fs::metadata(folder.path().join("t.reserve")).unwrap();
        assert_eq!(reserve.held(), Some(file.len()));
        assert!((SIZE_MIN..=SIZE_MAX).contains(&file.len()));
        assert!(file.blocks() * 512 >= file.len());
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert!(reserve.free() && !reserve.free());
        assert!(!folder.path().join("t.reserve").exists());
    }

    #[test]
    fn a_reserve_from_before_is_held_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("t.db");
        Reserve::beside(&database).make();
        let again = Reserve::beside(&database);
        assert!(!again.is_missing());
        assert!(again.free());
    }

    #[test]
    fn no_reserve_is_made_of_the_room_that_it_gave_back() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("t.db"));
        reserve.wanted.store(u64::MAX, Ordering::Relaxed);
        reserve.make();
        assert!(reserve.is_missing() && !reserve.is_roomy());
    }

    #[test]
    fn a_file_system_that_promises_nothing_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("written")).unwrap();
        write(&file, SIZE_MIN + 1).unwrap();
        assert_eq!(file.metadata().unwrap().len(), SIZE_MIN + 1);
    }
}
