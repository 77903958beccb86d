//! The stack, where memory is given back without being wiped.

use std::hint::black_box;

use zeroize::Zeroize as _;

/// More of the stack than any computation of this crate uses but the stretching of passphrases, which has memory of its own.
const STACK: usize = 8 * 1024;

/// Computes something of what is secret, and overwrites the part of the stack that it used: the last block that was hashed, keys
/// that were expanded, and what was copied on its way would stay there until the thread happens to come as deep again.
pub fn scrubbed<T>(compute: impl FnOnce() -> T) -> T {
    let computed = apart(compute);
    overwrite();
    computed
}

/// What it uses lies below the caller's frame, as in [`overwrite`].
#[inline(never)]
fn apart<T>(compute: impl FnOnce() -> T) -> T {
    compute()
}

#[inline(never)]
fn overwrite() {
    let mut stack = [0_u8; STACK];
    stack.zeroize();
    black_box(&stack);
}
