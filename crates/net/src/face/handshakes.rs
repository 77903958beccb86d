//! How many handshakes one client may begin: of all that a stranger can ask for, they cost most.

use std::{collections::HashMap, net::IpAddr, sync::Mutex, time::Instant};

use coffer_core::rate::{Rate, Verdict};

use super::crowd::client_of;
use crate::{lock, metrics::Eviction};

/// Clients that are counted. When they are more, those are forgotten who have earned again what they took; or else all.
const CLIENTS_MAX: usize = 65_536;

/// The handshakes of one listener's clients, and the rate that each may begin them at.
pub(super) struct Handshakes {
    rate: Option<Rate>,
    began: Instant,
    /// When each client will have earned what it took, in microseconds since the beginning.
    earned_us: Mutex<HashMap<IpAddr, i64>>,
}

impl Handshakes {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            began: Instant::now(),
            earned_us: Mutex::default(),
        }
    }

    /// Whether the client at this address may begin one.
    pub(super) fn admit(&self, address: IpAddr) -> bool {
        let Some(rate) = self.rate else {
            return true;
        };
        let now_us = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let admitted = self.admit_at(rate, client_of(address), now_us);
        if !admitted {
            Eviction::Handshakes.count();
        }
        admitted
    }

    fn admit_at(&self, rate: Rate, client: IpAddr, now_us: i64) -> bool {
        let mut clients = lock(&self.earned_us);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            clients.retain(|_, earned_us| *earned_us > now_us);
            if clients.len() >= CLIENTS_MAX {
                clients.clear();
            }
        }
        let earned_us = clients.entry(client).or_default();
        match rate.decide(*earned_us, now_us, 1) {
            Verdict::Passed(left) => {
                *earned_us = left.earned_us;
                true
            }
            Verdict::Refused { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_client_begins_as_many_as_the_rate_lets_in_and_stops_no_other() {
        let rate = Rate::new(60, 5).unwrap();
        let handshakes = Handshakes::new(Some(rate));
        let [greedy, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let begun = |now_us| {
            (0..20)
                .filter(|_| handshakes.admit_at(rate, greedy, now_us))
                .count()
        };
        assert_eq!(begun(0), 5);
        assert!(handshakes.admit_at(rate, other, 0));
        assert_eq!(begun(2_000_000), 2);
    }

    #[test]
    fn addresses_are_forgotten_before_there_are_too_many() {
        let rate = Rate::new(60, 1).unwrap();
        let handshakes = Handshakes::new(Some(rate));
        for now_us in [0, 2_000_000, 2_000_000] {
            for number in 0..40_000_u32 {
                let address = Ipv4Addr::from_bits(number + u32::try_from(now_us).unwrap());
                handshakes.admit_at(rate, address.into(), now_us);
            }
            assert!(handshakes.earned_us.lock().unwrap().len() <= CLIENTS_MAX);
        }
    }
}
