//! Where requests may go. Decided for the resolved address and not for the name, so no spelling of it makes a difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses that hand out a machine's credentials to whoever asks from it, in the larger clouds.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Which addresses may be connected to: public ones, and exceptions that the operator listed.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    allow_networks: Vec<IpNet>,
}

impl AddressPolicy {
    /// Public addresses and those in these networks. Link-local, multicast and metadata addresses stay refused whatever
    /// is listed.
    #[must_use]
    pub const fn new(allow_networks: Vec<IpNet>) -> Self {
        Self { allow_networks }
    }

    /// Public addresses alone.
    #[must_use]
    pub const fn public_only() -> Self {
        Self::new(Vec::new())
    }

    /// Whether this address may be connected to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // A translator on the way would turn such an address into the one inside, so that one must pass as well.
        let inside = embedded(address);
        if is_never(address) || inside.is_some_and(|inside| is_never(IpAddr::V4(inside))) {
            return false;
        }
        self.allow_networks
            .iter()
            .any(|network| network.contains(&address))
            || is_public(address)
    }
}

fn is_never(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    local || address.is_multicast() || METADATA.contains(&address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Not in the IANA registry of special-purpose addresses (RFC 6890) and neither multicast nor reserved.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        [169, 254, ..] | [192, 168, ..] => true,
        [172, second, ..] => (16..32).contains(&second),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        [first, ..] => first >= 224,
    };
    !special
}

/// Global unicast (2000::/3) without what is reserved in it: protocol assignments and Teredo (2001::/23), documentation
/// (2001:db8::/32, 3fff::/20), 6to4 (2002::/16). NAT64 and unique local addresses are outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x2002, ..] => false,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// The IPv4 address inside an IPv6 address of a transition mechanism: NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056),
/// IPv4-compatible (RFC 4291).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x2002, high, low, ..] => of(high, low),
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => of(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const NEVER: &[&str] = &[
        "0.0.0.0",
        "169.254.169.254",
        "169.254.1.1",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "::169.254.169.254",
    ];

    const NOT_PUBLIC: &[&str] = &[
        "10.0.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "240.0.0.1",
        "::1",
        "fc00::1",
        "fdff::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::7f00:1",
        "64:ff9b::8.8.8.8",
        "64:ff9b::7f00:1",
        "2002:808:808::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "5f00::1",
        "4000::1",
        "fec0::1",
    ];

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "100.63.0.1",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00::1",
        "::ffff:8.8.8.8",
    ];

    #[test]
    fn only_public_addresses_are_allowed_by_default() {
        let policy = AddressPolicy::public_only();
        for text in NEVER.iter().chain(NOT_PUBLIC) {
            assert!(!policy.allows(address(text)), "{text}");
        }
        for text in PUBLIC {
            assert!(policy.allows(address(text)), "{text}");
        }
    }

    #[test]
    fn no_list_allows_link_local_or_metadata_addresses() {
        let policy =
            AddressPolicy::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        for text in NEVER {
            assert!(!policy.allows(address(text)), "{text}");
        }
        for text in NOT_PUBLIC.iter().chain(PUBLIC) {
            assert!(policy.allows(address(text)), "{text}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_its_neighbour_is_not() {
        let policy = AddressPolicy::new(vec!["10.1.0.0/16".parse().unwrap()]);
        assert!(policy.allows(address("10.1.2.3")));
        assert!(policy.allows(address("::ffff:10.1.2.3")));
        assert!(!policy.allows(address("10.2.0.1")));
        assert!(!policy.allows(address("127.0.0.1")));
    }
}
