//! Networks from which something may be called: addresses and CIDR blocks, IPv4 and IPv6.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

use crate::{Malformed, limits::ADDRESSES_MAX};

/// Bits before the IPv4 address in an IPv4-mapped IPv6 one (`::ffff:0:0/96`, RFC 4291, 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// One network, such as `203.0.113.0/24`, or one address. Written in its shortest form, bits beyond the prefix cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// The network of one address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }

    /// Whether the address is in it. An IPv4 address is the same whichever way it is written.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether everything in `other` is in it.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map(|network| Self(canonical(network)))
            .map_err(|_| Malformed {
                expected: "addresses or networks such as 203.0.113.7 or 2001:db8::/32",
            })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// The same network as connections are judged by: IPv4 as itself and not mapped into IPv6, nothing beyond the prefix.
#[must_use]
pub fn canonical(network: IpNet) -> IpNet {
    let unmapped = match network {
        IpNet::V6(v6) => v6
            .prefix_len()
            .checked_sub(MAPPED_PREFIX)
            .and_then(|length| Ipv4Net::new(v6.addr().to_ipv4_mapped()?, length).ok())
            .map(IpNet::V4),
        IpNet::V4(_) => None,
    };
    unmapped.unwrap_or(network).trunc()
}

/// Where something may be called from. No networks at all means from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// From anywhere.
    #[must_use]
    pub const fn anywhere() -> Self {
        Self(Vec::new())
    }

    /// From these; from anywhere when there are none.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new(mut networks: Vec<Network>) -> Result<Self, Malformed> {
        networks.sort_unstable();
        networks.dedup();
        if networks.len() <= ADDRESSES_MAX {
            Ok(Self(networks))
        } else {
            Err(Malformed {
                expected: "at most 50 addresses or networks",
            })
        }
    }

    /// Whether the address may call.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(address))
    }

    /// Whether whoever may call by these may also call by `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        other.0.is_empty()
            || (!self.0.is_empty()
                && self
                    .0
                    .iter()
                    .all(|inner| other.0.iter().any(|outer| outer.includes(inner))))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

/// The stored form: separated by spaces.
impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, network) in self.0.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{network}")?;
        }
        Ok(())
    }
}

impl FromStr for Networks {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let networks = text.split_ascii_whitespace().map(str::parse);
        Self::new(networks.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    fn permits(list: &str, address: &str) -> bool {
        networks(list).permit(address.parse().unwrap())
    }

    #[test]
    fn only_what_is_listed_may_call() {
        let list = "203.0.113.0/24 2001:db8::/32 198.51.100.7";
        for inside in ["203.0.113.255", "2001:db8:ffff::1", "198.51.100.7"] {
            assert!(permits(list, inside), "{inside}");
        }
        for outside in ["203.0.114.0", "2001:db9::", "198.51.100.8", "::1"] {
            assert!(!permits(list, outside), "{outside}");
        }
        assert!(permits("", "192.0.2.1"), "nothing listed is anywhere");
    }

    #[test]
    fn ipv4_is_the_same_however_it_is_written() {
        assert!(permits("203.0.113.0/24", "::ffff:203.0.113.9"));
        assert!(permits("::ffff:203.0.113.0/120", "203.0.113.9"));
        assert!(!permits("::ffff:203.0.113.0/120", "203.0.114.9"));
        // Not a mapped address: the deprecated form without ffff is an address of IPv6.
        assert!(!permits("203.0.113.9", "::203.0.113.9"));
        // All of IPv6 is not all of IPv4.
        assert!(!permits("::/0", "203.0.113.9"));
    }

    #[test]
    fn a_list_reads_back_in_its_shortest_form_without_repetitions() {
        let list = networks("2001:0db8::/32 203.0.113.77/24 203.0.113.0/24 192.0.2.1/32");
        assert_eq!(list.to_string(), "192.0.2.1 203.0.113.0/24 2001:db8::/32");
        assert_eq!(list.to_string().parse(), Ok(list));
        for wrong in [
            "203.0.113.0/33",
            "shop.example",
            "203.0.113",
            "1.2.3.4:80",
            "fe80::1%eth0",
        ] {
            assert!(wrong.parse::<Networks>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_is_within_another_when_it_lets_in_nobody_else() {
        for (inner, outer, within) in [
            ("203.0.113.7", "203.0.113.0/24", true),
            ("203.0.113.0/24", "203.0.113.7", false),
            ("203.0.113.7 192.0.2.1", "203.0.113.0/24", false),
            ("203.0.113.7", "", true),
            ("", "203.0.113.0/24", false),
            ("", "", true),
        ] {
            let is = networks(inner).within(&networks(outer));
            assert_eq!(is, within, "{inner:?} within {outer:?}");
        }
    }
}
