//! Chance that can be repeated: a test that fails names its seed, and the same seed chooses the same again.

use std::hash::{BuildHasher as _, RandomState};

/// A sequence of choices (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A seed that nobody chose.
    #[must_use]
    pub fn seed() -> u64 {
        RandomState::new().hash_one("seed")
    }

    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence, which follows from this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below `limit`.
    ///
    /// # Panics
    /// When the limit is zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        let place = self.below(u64::try_from(among.len()).unwrap());
        among[usize::try_from(place).unwrap()]
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            let other = self.below(u64::try_from(end).unwrap() + 1);
            all.swap(end, usize::try_from(other).unwrap());
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
