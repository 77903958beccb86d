//! Ordinary days, replayed: a week of shops, payers, mistakes and a sale, in which nothing may look hostile.

#![expect(clippy::arithmetic_side_effects, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};

use coffer_core::{
    CardSummary, Expiry, Last4, Mode, Timestamp,
    brand::Brand,
    id::{AccountId, ApiKeyId},
};
use coffer_net::contract::Place;

use super::{
    DetectionSettings, Detector, Finding, Miss, Subject,
    baseline::{Network, unlike, unusual},
    tests::settings,
};

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;
const DAYS: i64 = 7;
/// What passes between two looks at the clock.
const STEP_MS: i64 = 10 * SECOND_MS;

/// Numbers that look random and are the same each time (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn per_cent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    fn card(&mut self) -> CardSummary {
        let digits = self.next().to_le_bytes().map(|byte| byte % 10);
        CardSummary {
            brand: Brand::Visa,
            last4: Last4::from_digits([digits[0], digits[1], digits[2], digits[3]]).unwrap(),
            expiry: Expiry::new(i64::from(digits[4]) + 1, 2027 + i64::from(digits[5])).unwrap(),
        }
    }
}

struct World {
    detector: Detector,
    chance: Chance,
    now: Timestamp,
    found: Vec<Finding>,
}

const PLACE: Place = Place {
    account: AccountId::from_bytes([1; 16]),
    mode: Mode::Live,
};

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))
}

impl World {
    /// Somebody pays with a card of his own, of whom so many per cent are declined once and try again.
    fn pays(&mut self, testers: &[Subject], amount: i64, declined: u64) {
        let card = Subject::Card(PLACE, self.chance.card());
        let outcomes = if self.chance.per_cent(declined) {
            &[true, false][..]
        } else {
            &[false][..]
        };
        for declined in outcomes {
            for tester in testers.iter().chain([&card]) {
                let found = self.detector.tried(tester, (amount, *declined), self.now);
                self.found.extend(found);
            }
        }
    }

    fn misses(&mut self, address: IpAddr, what: u64, known: bool) {
        let miss = Miss {
            address,
            what,
            known,
        };
        self.found.extend(self.detector.missed(miss, self.now));
    }

    /// Ten seconds of everybody. `busy` is how much of the day's height it is, in per cent.
    fn step(&mut self, at_ms: i64, busy: u64) {
        let key = |byte| Subject::Key(ApiKeyId::from_bytes([byte; 16]));
        // A shop, and a parking service whose amounts are small.
        for (shop, amount, declined) in [(1, 4_990, 8), (2, 150, 5)] {
            if self.chance.per_cent(busy) {
                self.pays(&[key(shop)], amount, declined);
            }
        }
        // Subscriptions, all at once at three in the morning, of which many cards have run out.
        if (at_ms / HOUR_MS) % 24 == 3 && at_ms % HOUR_MS < 600 * SECOND_MS {
            for _ in 0..8 {
                self.pays(&[key(3)], 999, 18);
            }
        }
        // Payers at a checkout page, some of them behind one address of a mobile network.
        if self.chance.per_cent(busy / 2) {
            let own = address(u8::try_from(self.chance.next() % 200).unwrap());
            let shared = address(250);
            let from = if self.chance.per_cent(40) {
                shared
            } else {
                own
            };
            self.pays(&[key(4), Subject::Payer(PLACE, from)], 2_500, 12);
        }
        // A server with a key that was revoked, one with a key that was never right, and one that asks for what is gone.
        self.misses(address(251), 1, true);
        self.misses(address(252), 2, false);
        self.found
            .extend(self.detector.wrong_key(address(252), 2, self.now));
        let gone = self.chance.next();
        self.misses(address(253), gone, true);
        // A search engine, and a developer who mistypes a key now and then.
        if at_ms % (300 * SECOND_MS) == 0 {
            self.misses(address(254), gone, false);
            self.found
                .extend(self.detector.wrong_key(address(255), gone, self.now));
            self.misses(address(255), gone, false);
        }
    }
}

/// How busy an hour is: little at night, most in the evening.
fn busy(hour: i64) -> u64 {
    [
        5, 4, 3, 3, 3, 5, 10, 20, 35, 45, 50, 55, 60, 60, 55, 55, 60, 70, 85, 100, 95, 70, 40, 15,
    ][usize::try_from(hour.rem_euclid(24)).unwrap()]
}

#[test]
fn a_week_of_ordinary_days_alarms_nobody() {
    let mut world = World {
        detector: Detector::new(settings()),
        chance: Chance(0x9e37_79b9_7f4a_7c15),
        now: Timestamp::from_millis(0),
        found: Vec::new(),
    };
    let start = 1_795_305_600_000;
    for at_ms in (0..DAYS * 24 * HOUR_MS).step_by(usize::try_from(STEP_MS).unwrap()) {
        world.now = Timestamp::from_millis(start + at_ms);
        world.step(at_ms, busy(at_ms / HOUR_MS));
    }
    assert_eq!(world.found, []);
}

#[test]
fn an_ordinary_key_is_not_told_of_as_unusual_nor_is_its_first_week_nor_a_sale() {
    let settings: DetectionSettings = settings();
    let mut chance = Chance(7);
    let mut past: Vec<(i64, i64)> = Vec::new();
    for hour in 0..DAYS * 24 * 2 {
        let usual = i64::try_from(busy(hour) * 40 * (70 + chance.next() % 60) / 100).unwrap();
        // In one evening hour three times as much as in any before.
        let busiest = past.iter().map(|(_, calls)| *calls).max();
        let calls = match busiest {
            Some(busiest) if hour == 211 => 3 * busiest,
            _ => usual,
        };
        assert_eq!(
            unusual(&settings, (hour, calls), &past),
            None,
            "hour {hour}: {calls}"
        );
        past.push((hour, calls));
    }
}

#[test]
fn servers_that_come_and_go_in_their_networks_alarm_nobody() {
    let settings = settings();
    let mut chance = Chance(11);
    let mut known: Vec<(Network, Timestamp)> = Vec::new();
    for day in 0..60 {
        let now = Timestamp::from_millis(day * 24 * HOUR_MS);
        // Two networks from the first day on, any machine in them.
        for third in [7, 8] {
            let last = u8::try_from(chance.next() % 256).unwrap();
            let network = Network::of(IpAddr::V4(Ipv4Addr::new(203, 0, third, last)));
            assert_eq!(unlike(&settings, network, &known, now), None, "day {day}");
            known.push((network, now));
        }
    }
    // Functions in a cloud: another network every day, so that none is the key's own.
    let mut known = Vec::new();
    for day in 0..60 {
        let now = Timestamp::from_millis(day * HOUR_MS);
        let network = Network::of(IpAddr::V4(Ipv4Addr::new(
            100,
            64,
            u8::try_from(day).unwrap(),
            1,
        )));
        assert_eq!(unlike(&settings, network, &known, now), None, "hour {day}");
        known.push((network, now));
    }
}
