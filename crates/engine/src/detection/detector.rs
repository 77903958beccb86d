//! The detector: is told what happened and when, and says what looks hostile and why. Pure: no clock, no store. Nothing of a
//! request stays in it but counts and keyed hashes, for so many addresses, keys and cards; of more, those seen least begin anew.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use coffer_core::{
    CardSummary, Timestamp,
    detection::{Policy, Signal},
    id::ApiKeyId,
    rate::Rate,
};
use coffer_net::contract::Place;
use quick_cache::sync::Cache;

/// Addresses that are watched at a time.
const ADDRESSES_MAX: usize = 50_000;
/// Keys, payers and cards whose declines are watched at a time.
const TESTERS_MAX: usize = 50_000;
/// What a stranger's new miss weighs. One of a key that works, or the same as just before, weighs 1: a client that is set up
/// wrongly repeats itself.
const NEW_MISS: i64 = 5;
/// The highest score.
pub(super) const SCORE_MAX: i64 = 10_000;

/// When something looks hostile, and what is done then. `[detection]` in `coffer.toml`.
#[derive(Debug, Clone, Copy)]
pub struct DetectionSettings {
    /// What is done about addresses from which no key speaks for an account.
    pub strangers: Policy,
    /// How long what was seen is remembered.
    pub window_ms: i64,
    /// Misses of a stranger within the window.
    pub scanning_misses: i64,
    /// Different keys that do not work, from one address within the window.
    pub stuffing_keys: usize,
    /// Declines within the window; one of a small amount counts twice.
    pub testing_declines: i64,
    /// Declines are usual as long as they are fewer than this share of what was tried, in per cent.
    pub testing_share: i64,
    /// What a small amount is, in minor units.
    pub testing_small: i64,
    /// How many times the busiest hour of the last week is unusual.
    pub rate_factor: i64,
    /// Calls in an hour below which nothing is unusual.
    pub rate_floor: i64,
    /// For how long a key is only learned.
    pub learning_ms: i64,
    /// What who is slowed gets done.
    pub slow: Rate,
    /// For how long.
    pub slow_ms: i64,
    /// For how long who is blocked gets nothing done.
    pub block_ms: i64,
}

/// Who or what looks hostile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A client's address (IPv6: a /64), whatever account it asks for.
    Address(IpAddr),
    /// A key.
    Key(ApiKeyId),
    /// An address at the checkout pages of an account and mode.
    Payer(Place, IpAddr),
    /// A card, as far as it may be known, at an account and mode.
    Card(Place, CardSummary),
}

/// Something that looks hostile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) signal: Signal,
    pub(crate) subject: Subject,
    /// 100 at the threshold, 200 at twice as much in the same time.
    pub(crate) score: i64,
    /// What was seen, and what would be usual.
    pub(crate) why: String,
}

/// What was seen of an address that did not get what it asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Miss {
    pub(crate) address: IpAddr,
    /// A keyed hash of what was asked for, to know a repetition.
    pub(crate) what: u64,
    /// A key that works asked.
    pub(crate) known: bool,
}

/// Sums over the window: of its half that lasts, and of the one before.
#[derive(Debug, Default, Clone, Copy)]
struct Sliding<T> {
    half: i64,
    sums: [T; 2],
    /// When the first of each was seen.
    since_ms: [i64; 2],
}

impl<T: Default + Copy> Sliding<T> {
    /// The sums that last at this time.
    fn at(&mut self, now: Timestamp, window_ms: i64) -> &mut T {
        let half = now.as_millis().div_euclid((window_ms / 2).max(1));
        let [last, _] = self.sums;
        let [since, _] = self.since_ms;
        match half.saturating_sub(self.half) {
            0 => {}
            1 => (self.sums, self.since_ms) = ([T::default(), last], [now.as_millis(), since]),
            _ => (self.sums, self.since_ms) = ([T::default(); 2], [now.as_millis(); 2]),
        }
        self.half = half;
        let [last, _] = &mut self.sums;
        last
    }

    /// How many times faster than the window allows it came to this: 100 is once.
    fn score(&self, now: Timestamp, window_ms: i64) -> i64 {
        let [last, before] = self.since_ms;
        let took = now.as_millis().saturating_sub(last.min(before)).max(1);
        let score = window_ms.saturating_mul(100).checked_div(took);
        score.unwrap_or(SCORE_MAX).clamp(100, SCORE_MAX)
    }
}

#[derive(Default)]
struct Watched {
    misses: Sliding<i64>,
    last_miss: Option<u64>,
    keys: Vec<u64>,
    keys_since: i64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tries {
    tries: i64,
    declines: i64,
    small: i64,
}

/// What is watched.
pub(crate) struct Detector {
    settings: DetectionSettings,
    addresses: Cache<IpAddr, Arc<Mutex<Watched>>>,
    testers: Cache<Subject, Arc<Mutex<Sliding<Tries>>>>,
}

/// What is under this key, held; as it was before anything was seen when there is nothing.
fn held<K: std::hash::Hash + Eq + Clone, V: Default, R>(
    cache: &Cache<K, Arc<Mutex<V>>>,
    key: &K,
    with: impl FnOnce(&mut V) -> R,
) -> R {
    let found = cache.get_or_insert_with(key, || Ok::<_, std::convert::Infallible>(Arc::default()));
    let found = match found {
        Ok(found) => found,
        Err(never) => match never {},
    };
    with(&mut coffer_net::lock(&found))
}

impl Detector {
    pub(crate) fn new(settings: DetectionSettings) -> Self {
        Self {
            settings,
            addresses: Cache::new(ADDRESSES_MAX),
            testers: Cache::new(TESTERS_MAX),
        }
    }

    pub(crate) const fn settings(&self) -> &DetectionSettings {
        &self.settings
    }

    /// Somebody did not get what it asked for: it is not there, or not for it.
    pub(crate) fn missed(&self, miss: Miss, now: Timestamp) -> Option<Finding> {
        let (window_ms, most) = (self.settings.window_ms, self.settings.scanning_misses);
        held(&self.addresses, &miss.address, |watched| {
            let repeated = watched.last_miss.replace(miss.what) == Some(miss.what);
            let weight = if miss.known || repeated { 1 } else { NEW_MISS };
            let points = watched.misses.at(now, window_ms);
            *points = points.saturating_add(weight);
            let points = watched
                .misses
                .sums
                .iter()
                .fold(0_i64, |sum, half| sum.saturating_add(*half));
            if points < most.saturating_mul(NEW_MISS) {
                return None;
            }
            let score = watched.misses.score(now, window_ms);
            watched.misses = Sliding::default();
            Some(Finding {
                signal: Signal::Scanning,
                subject: Subject::Address(miss.address),
                score,
                why: format!(
                    "{most} requests for what is not there or without a key that works, or {} of a key that works or the same again, within {}",
                    most.saturating_mul(NEW_MISS),
                    minutes(window_ms),
                ),
            })
        })
    }

    /// A key from this address does not work; `key` is a keyed hash of what was sent.
    pub(crate) fn wrong_key(&self, address: IpAddr, key: u64, now: Timestamp) -> Option<Finding> {
        let (window_ms, most) = (self.settings.window_ms, self.settings.stuffing_keys);
        held(&self.addresses, &address, |watched| {
            let age = now.as_millis().saturating_sub(watched.keys_since);
            if age > window_ms || watched.keys.is_empty() {
                watched.keys.clear();
                watched.keys_since = now.as_millis();
            }
            if watched.keys.contains(&key) {
                return None;
            }
            watched.keys.push(key);
            if watched.keys.len() < most {
                return None;
            }
            let age = now.as_millis().saturating_sub(watched.keys_since).max(1);
            let score = window_ms
                .saturating_mul(100)
                .checked_div(age)
                .unwrap_or(SCORE_MAX);
            watched.keys = Vec::new();
            Some(Finding {
                signal: Signal::CredentialStuffing,
                subject: Subject::Address(address),
                score: score.clamp(100, SCORE_MAX),
                why: format!(
                    "{most} different keys that do not work within {}",
                    minutes(window_ms)
                ),
            })
        })
    }

    /// A card was tried with a key, by a payer, or at all.
    pub(crate) fn tried(
        &self,
        tester: &Subject,
        (amount, declined): (i64, bool),
        now: Timestamp,
    ) -> Option<Finding> {
        let DetectionSettings {
            window_ms,
            testing_declines,
            testing_share,
            testing_small,
            ..
        } = self.settings;
        if !declined && self.testers.peek(tester).is_none() {
            // Where nothing was declined there is nothing to be watched.
            return None;
        }
        held(&self.testers, tester, |tries| {
            let last = tries.at(now, window_ms);
            last.tries = last.tries.saturating_add(1);
            last.declines = last.declines.saturating_add(i64::from(declined));
            last.small = last
                .small
                .saturating_add(i64::from(declined && amount <= testing_small));
            let sum = tries.sums.iter().fold(Tries::default(), |sum, half| Tries {
                tries: sum.tries.saturating_add(half.tries),
                declines: sum.declines.saturating_add(half.declines),
                small: sum.small.saturating_add(half.small),
            });
            let many = sum.declines.saturating_add(sum.small) >= testing_declines;
            let share = sum
                .declines
                .saturating_mul(100)
                .checked_div(sum.tries)
                .unwrap_or(0);
            if !many || share < testing_share {
                return None;
            }
            let score = tries.score(now, window_ms);
            *tries = Sliding::default();
            Some(Finding {
                signal: Signal::CardTesting,
                subject: tester.clone(),
                score,
                why: format!(
                    "{} of {} attempts were declined, {} of them of at most {testing_small} minor units, within {}",
                    sum.declines,
                    sum.tries,
                    sum.small,
                    minutes(window_ms),
                ),
            })
        })
    }

    /// What was lifted is watched anew.
    pub(crate) fn forget(&self, subject: &Subject) {
        self.testers.remove(subject);
        if let Subject::Address(address) = subject {
            self.addresses.remove(address);
        }
    }
}

fn minutes(window_ms: i64) -> String {
    format!("{} minutes", window_ms / 60_000)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::net::Ipv4Addr;

    use coffer_core::{Expiry, Last4, Mode, brand::Brand, id::AccountId};

    use super::{
        super::{
            baseline::{self, Network},
            tests::{MINUTE_MS, settings},
        },
        *,
    };

    fn address() -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))
    }

    /// What is found in so many of these, one every `every_ms`.
    fn found(
        count: u64,
        every_ms: i64,
        one: impl Fn(&Detector, u64, Timestamp) -> Option<Finding>,
    ) -> Vec<Finding> {
        let detector = Detector::new(settings());
        let times = (0..count).map(|at| (at, i64::try_from(at).unwrap() * every_ms));
        let found = times.filter_map(|(at, ms)| one(&detector, at, Timestamp::from_millis(ms)));
        found.collect()
    }

    fn miss(known: bool) -> impl Fn(&Detector, u64, Timestamp) -> Option<Finding> {
        move |detector, what, now| {
            detector.missed(
                Miss {
                    address: address(),
                    what,
                    known,
                },
                now,
            )
        }
    }

    #[test]
    fn a_storm_of_misses_is_scanning_and_the_same_slowly_is_not() {
        let storm = found(60, 1_000, miss(false));
        let [storm] = storm.as_slice() else {
            panic!("{storm:?}")
        };
        assert_eq!(
            (storm.signal, &storm.subject),
            (Signal::Scanning, &Subject::Address(address()))
        );
        assert_eq!(storm.score, 1_016, "60 in 59 seconds, where 600 are usual");
        assert!(storm.why.contains("within 10 minutes"), "{}", storm.why);
        assert_eq!(found(59, 1_000, miss(false)), []);
        assert_eq!(found(1_000, 11_000, miss(false)), []);
        assert_eq!(found(299, 100, miss(true)), []);
        assert_eq!(
            found(300, 100, miss(true)).len(),
            1,
            "a key that works, five times as much"
        );
        let repeated = |detector: &Detector, _, now| miss(false)(detector, 9, now);
        assert_eq!(found(250, 1_000, repeated), []);
    }

    #[test]
    fn many_different_keys_are_stuffing_and_one_wrong_key_is_a_mistake() {
        let different = |detector: &Detector, key, now| detector.wrong_key(address(), key, now);
        let stuffing = found(20, 500, different);
        assert_eq!(stuffing[0].signal, Signal::CredentialStuffing);
        assert!(
            stuffing[0].why.starts_with("20 different keys"),
            "{}",
            stuffing[0].why
        );
        assert_eq!(found(19, 500, different), []);
        assert_eq!(found(100, 60_000, different), []);
        let same = |detector: &Detector, _, now| detector.wrong_key(address(), 1, now);
        assert_eq!(found(1_000, 100, same), []);
    }

    #[test]
    fn many_declines_are_testing_unless_more_is_approved() {
        let place = Place {
            account: AccountId::from_bytes([1; 16]),
            mode: Mode::Live,
        };
        let card = CardSummary {
            brand: Brand::Visa,
            last4: Last4::from_digits([4, 2, 4, 2]).unwrap(),
            expiry: Expiry::new(12, 2030).unwrap(),
        };
        for tester in [
            Subject::Key(ApiKeyId::from_bytes([2; 16])),
            Subject::Payer(place, address()),
            Subject::Card(place, card),
        ] {
            let all = |amount, declined: fn(u64) -> bool| {
                let tester = tester.clone();
                move |detector: &Detector, at, now| {
                    detector.tried(&tester, (amount, declined(at)), now)
                }
            };
            let large = found(20, 1_000, all(5_000, |_| true));
            assert_eq!((large.len(), large[0].signal), (1, Signal::CardTesting));
            assert_eq!(large[0].subject, tester);
            let why = "20 of 20 attempts were declined, 0 of them of at most 200 minor units, within 10 minutes";
            assert_eq!(large[0].why, why);
            assert_eq!(
                found(10, 1_000, all(100, |_| true)).len(),
                1,
                "small amounts count twice"
            );
            assert_eq!(found(100, 1_000, all(5_000, |at| at % 2 == 0)).len(), 2);
            assert_eq!(found(1_000, 1_000, all(100, |at| at % 3 == 0)), []);
            assert_eq!(found(100, 61_000, all(5_000, |_| true)), []);
        }
    }

    #[test]
    fn an_hour_of_more_than_four_times_the_busiest_is_unusual_and_says_so() {
        let past: Vec<_> = (0..100).map(|hour| (hour, 250)).collect();
        let settings = settings();
        assert_eq!(baseline::unusual(&settings, (100, 1_000), &past), None);
        let (score, why) = baseline::unusual(&settings, (100, 2_500), &past).unwrap();
        assert_eq!(score, 250);
        assert_eq!(
            why,
            "2500 calls in this hour; the busiest hour of the week before had 250"
        );
        assert_eq!(
            baseline::unusual(&settings, (60, 10_000), &past[..60]),
            None,
            "learned for too short a time"
        );
        assert_eq!(
            baseline::unusual(&settings, (1_000, 10_000), &past),
            None,
            "nothing is known of the week"
        );
    }

    #[test]
    fn a_network_that_a_key_never_came_from_is_told_once_it_has_one_of_its_own() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        let known = [(network("203.0.113.7"), Timestamp::from_millis(0))];
        let days = |days: i64| Timestamp::from_millis(days * 24 * 60 * MINUTE_MS);
        let unlike = |text, day| baseline::unlike(&settings(), network(text), &known, days(day));
        assert_eq!(unlike("203.0.113.200", 30), None);
        assert_eq!(unlike("198.51.100.1", 2), None);
        let why = unlike("198.51.100.1", 30).unwrap();
        assert_eq!(
            why,
            "a call from 198.51.100.0/24; in 30 days it came from 1 other networks"
        );
        assert!(
            unlike("2001:db8:1:2::3", 30)
                .unwrap()
                .contains("2001:db8:1::/48")
        );
    }
}
