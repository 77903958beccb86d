//! The stack, where memory is given back without being wiped.

use std::hint::black_box;

use zeroize::Zeroize as _;

/// More of the stack than any computation of this crate uses but the stretching of passphrases, which has memory of its own.
const STACK_BYTES: usize = 8 * 1024;
/// Overwritten by so many at a time: byte by byte would take longer than most of what is computed.
const AT_ONCE: usize = size_of::<u128>();

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
    let mut stack = [0_u128; STACK_BYTES / AT_ONCE];
    stack.zeroize();
    black_box(&stack);
}
