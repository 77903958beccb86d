//! The clock, and the ids that begin with its time. The one place that asks the machine what time it is.

use std::{
    cell::RefCell,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use coffer_core::{
    Timestamp,
    id::{Id, Kind},
};

/// Of each id, so much is random.
const RANDOM: usize = 10;
/// Random bytes for so many ids are drawn at once: what it costs to draw hardly depends on how many.
const IDS: usize = 64;

thread_local! {
    static DRAWN: RefCell<Vec<[u8; RANDOM]>> = const { RefCell::new(Vec::new()) };
}

/// Tells the time at the edges; everything inside takes it as an argument.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock for tests, which stands still until [`Clock::advance`] moves it. Its clones move together.
    #[must_use]
    pub fn fixed(now: Timestamp) -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(now.as_millis()))))
    }

    /// The time. A machine whose clock stands before 1970 is in 1970.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is told to ask"
    )]
    pub fn now(&self) -> Timestamp {
        let millis = match &self.0 {
            Source::System => {
                let since_epoch = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
            }
            Source::Fixed(millis) => millis.load(Ordering::SeqCst),
        };
        Timestamp::from_millis(millis)
    }

    /// Microseconds since some instant, which nobody sets back: for measuring how long, not for telling when.
    #[must_use]
    pub fn ticks_us(&self) -> i64 {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Source::System => i64::try_from(BEGAN.elapsed().as_micros()).unwrap_or(i64::MAX),
            Source::Fixed(millis) => millis.load(Ordering::SeqCst).saturating_mul(1000),
        }
    }

    /// Moves a fixed clock; the machine's cannot be moved.
    pub fn advance(&self, ms: i64) {
        match &self.0 {
            Source::System => {}
            Source::Fixed(millis) => {
                millis.fetch_add(ms, Ordering::SeqCst);
            }
        }
    }

    /// A new id of this kind. What will be random in the next ones is in memory already, so nothing may rest on nobody
    /// knowing an id before it is given.
    #[must_use]
    pub fn id<K: Kind>(&self) -> Id<K> {
        let drawn = DRAWN.with_borrow_mut(|drawn| {
            if drawn.is_empty() {
                let fresh: [u8; RANDOM * IDS] = random();
                drawn.extend_from_slice(fresh.as_chunks().0);
            }
            drawn.pop()
        });
        Id::from_parts(self.now(), drawn.unwrap_or_else(random))
    }
}

/// The kernel's generator fails only before it was first seeded, at boot, so this asks again until it answers: an id that
/// could be guessed would be worse than a late one.
fn random<const N: usize>() -> [u8; N] {
    loop {
        if let Ok(bytes) = coffer_crypto::random() {
            return bytes;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use coffer_core::id::PaymentId;

    use super::*;

    #[test]
    fn clones_of_a_fixed_clock_move_together() {
        let clock = Clock::fixed(Timestamp::from_millis(1_000));
        let clone = clock.clone();
        clone.advance(234);
        assert_eq!(clock.now(), Timestamp::from_millis(1_234));
    }

    #[test]
    fn ids_of_one_instant_differ() {
        let clock = Clock::fixed(Timestamp::from_millis(1_000));
        let ids: BTreeSet<PaymentId> = (0..=IDS).map(|_| clock.id()).collect();
        assert_eq!(ids.len(), IDS + 1);
    }
}
