//! What a request leaves in the buffers of its connection. Memory that is given back is wiped, but rustls and hyper keep theirs
//! for the next request, with what the last one did not overwrite. After a request that held something confidential, all of it
//! is overwritten before they read on, which they do as soon as its answer is written.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::ReadBuf;
use zeroize::Zeroize as _;

/// Goes into the extensions of an answer whose request held what must not stay in memory: over HTTP/1.1 the connection's buffers
/// are overwritten, over HTTP/2, whose streams share them, it ends.
#[derive(Debug, Clone, Copy)]
pub struct Confidential;

/// More in one piece, and hyper reads the next into another part of a larger buffer.
const PIECE_MAX: usize = 4 * 1024;

/// Whether the buffers of a connection are overwritten, and whether they can be.
#[derive(Default)]
pub(super) struct Residue {
    overwrites: AtomicBool,
    outgrown: AtomicBool,
}

impl Residue {
    /// Overwrites from now on; whether that reaches all that may be left.
    pub(super) fn overwrite_from_now_on(&self) -> bool {
        self.overwrites.store(true, Ordering::Relaxed);
        !self.outgrown.load(Ordering::Relaxed)
    }

    /// hyper was given so many bytes at once.
    pub(super) fn gave(&self, count: usize) {
        if count > PIECE_MAX {
            self.outgrown.store(true, Ordering::Relaxed);
        }
    }

    /// Before something is read to there.
    pub(super) fn overwrite(&self, to: &mut ReadBuf<'_>) {
        if self.overwrites.load(Ordering::Relaxed) {
            to.initialize_unfilled().zeroize();
        }
    }
}
