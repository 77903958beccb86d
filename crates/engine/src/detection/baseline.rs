//! What is usual for a key, learned from what it did: the networks that it calls from, and its busiest hour. Pure.

use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, MutexGuard},
};

use coffer_core::Timestamp;

use super::{DetectionSettings, detector::SCORE_MAX};

/// A key that is used from more networks than this has none of its own.
const NETWORKS_FEW: usize = 16;
/// Networks of a key that a node remembers.
const NETWORKS_KNOWN: usize = 256;
/// Hours that are looked back.
pub(super) const HOURS: i64 = 7 * 24;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Where an address belongs: IPv4 a /24, IPv6 a /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                IpAddr::from([a, b, c, 0])
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
            }
        })
    }
}

/// Networks of a key that this node need not look up again.
#[derive(Default)]
pub(crate) struct Networks(Mutex<Vec<Network>>);

impl Networks {
    fn known(&self) -> MutexGuard<'_, Vec<Network>> {
        coffer_net::lock(&self.0)
    }

    /// Those of these addresses that have to be looked up.
    pub(super) fn unknown(&self, addresses: impl Iterator<Item = IpAddr>) -> Vec<Network> {
        let known = self.known();
        let mut new = Vec::new();
        for network in addresses.map(Network::of) {
            if !known.contains(&network) && !new.contains(&network) {
                new.push(network);
            }
        }
        new
    }

    /// They were looked up.
    pub(super) fn learn(&self, looked: Vec<Network>) {
        let mut known = self.known();
        if known.len() > NETWORKS_KNOWN {
            known.clear();
        }
        known.extend(looked);
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address) = self;
        write!(f, "{address}/{}", if address.is_ipv4() { 24 } else { 48 })
    }
}

/// Why a call from this network is unlike what a key did so far; `known` tells from where it was used, and since when.
pub(crate) fn unlike(
    settings: &DetectionSettings,
    network: Network,
    known: &[(Network, Timestamp)],
    now: Timestamp,
) -> Option<String> {
    let mut networks: Vec<Network> = Vec::new();
    for (one, _) in known {
        if !networks.contains(one) {
            networks.push(*one);
        }
    }
    let first = known.iter().map(|(_, first)| *first).min()?;
    let learned = now.since(first) >= settings.learning_ms;
    if !learned || networks.len() > NETWORKS_FEW || networks.contains(&network) {
        return None;
    }
    let (days, count) = (now.since(first) / (24 * HOUR_MS), networks.len());
    Some(format!(
        "a call from {network}; in {days} days it came from {count} other networks"
    ))
}

/// Why so many calls in this hour are unlike what a key did so far, and how much so. `past` holds hours, counted from 1970, and
/// the calls in them.
pub(crate) fn unusual(
    settings: &DetectionSettings,
    (hour, calls): (i64, i64),
    past: &[(i64, i64)],
) -> Option<(i64, String)> {
    let past = past
        .iter()
        .filter(|(one, _)| *one < hour && *one >= hour.saturating_sub(HOURS));
    let first = past.clone().map(|(one, _)| *one).min()?;
    let busiest = past.map(|(_, calls)| *calls).max()?;
    let learned = hour.saturating_sub(first).saturating_mul(HOUR_MS) >= settings.learning_ms;
    let most = busiest
        .saturating_mul(settings.rate_factor)
        .max(settings.rate_floor);
    if !learned || calls <= most {
        return None;
    }
    let score = calls
        .saturating_mul(100)
        .checked_div(most)
        .unwrap_or(SCORE_MAX);
    let why =
        format!("{calls} calls in this hour; the busiest hour of the week before had {busiest}");
    Some((score.clamp(100, SCORE_MAX), why))
}
