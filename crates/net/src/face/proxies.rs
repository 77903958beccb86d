//! Whom to believe who the client is. A proxy from a configured network may say it, by PROXY protocol v2 before the first
//! byte or by a header of each request; from anyone else neither means anything.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use coffer_core::{network::canonical, words};
use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
};

/// Begins a PROXY preamble (PROXY protocol 2, 2.2). Neither TLS nor HTTP begins like this.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// So much of it is told from an empty HTTP request.
const SIGNATURE_TELLS: usize = 5;
const VERSION_LOCAL: u8 = 0x20;
const VERSION_PROXY: u8 = 0x21;
const TCP_IPV4: u8 = 0x11;
const TCP_IPV6: u8 = 0x21;
/// The longest list of addresses and additions after the preamble's head.
const PREAMBLE_REST_MAX: usize = 1024;
/// Addresses of a header that are looked at; more proxies stand before nobody.
const HOPS_MAX: usize = 32;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

words! {
    /// The header by which proxies say for whom they ask. The other one is whatever the client made it.
    pub enum ClientHeader {
        /// A list of addresses.
        XForwardedFor = "x-forwarded-for",
        /// RFC 7239.
        Forwarded = "forwarded",
    }
}

/// The proxies before a face.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ClientHeader,
}

impl TrustedProxies {
    /// Proxies in these networks, which say by this header for whom they ask.
    #[must_use]
    pub fn new(networks: Vec<IpNet>, header: ClientHeader) -> Self {
        let networks = networks.iter().map(|network| canonical(*network)).collect();
        Self { networks, header }
    }

    /// Nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            networks: Vec::new(),
            header: ClientHeader::XForwardedFor,
        }
    }

    pub(super) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The client for whom a trusted `peer` sent this request: the last address on the way that is not a trusted proxy's.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let lines = match self.header {
            ClientHeader::XForwardedFor => headers.get_all(X_FORWARDED_FOR),
            ClientHeader::Forwarded => headers.get_all(FORWARDED),
        };
        let mut client = peer;
        let hops = lines.iter().rev().flat_map(hops_backwards);
        for hop in hops.take(HOPS_MAX) {
            let hop = match self.header {
                ClientHeader::XForwardedFor => address_of(hop),
                ClientHeader::Forwarded => forwarded_for(hop),
            };
            // What a proxy could not name is not guessed from what stands before it.
            let Some(hop) = hop else {
                return client;
            };
            client = hop;
            if !self.trust(hop.ip()) {
                return client;
            }
        }
        client
    }
}

fn hops_backwards(line: &HeaderValue) -> impl Iterator<Item = &str> {
    // A line that is no text names nobody.
    line.to_str().unwrap_or("?").rsplit(',').map(str::trim)
}

/// `for=…` of one element of `Forwarded` (RFC 7239, 4 and 6).
fn forwarded_for(element: &str) -> Option<SocketAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let named = name.trim().eq_ignore_ascii_case("for");
        named.then(|| address_of(quoted.unwrap_or(value))).flatten()
    })
}

/// An address, perhaps with a port.
fn address_of(text: &str) -> Option<SocketAddr> {
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => {
            let bare = text
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            SocketAddr::new(bare.unwrap_or(text).parse().ok()?, 0)
        }
    };
    Some(plain(address))
}

/// An IPv4 address that was mapped into IPv6 is what it was.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether the connection begins with a preamble. Reads nothing.
pub(super) async fn begins_with_preamble(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; SIGNATURE.len()];
    let count = stream.peek(&mut first).await?;
    let first = first.get(..count).unwrap_or_default();
    Ok(count >= SIGNATURE_TELLS && SIGNATURE.starts_with(first))
}

/// Reads a preamble. None when the proxy asks for itself.
pub(crate) async fn read_preamble(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let [signature @ .., version, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if signature != *SIGNATURE || length > PREAMBLE_REST_MAX {
        return Err(not_a_preamble());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (version, family) {
        (VERSION_LOCAL, _) => Ok(None),
        (VERSION_PROXY, TCP_IPV4) => source::<4>(&rest, 4).map(Some),
        (VERSION_PROXY, TCP_IPV6) => source::<16>(&rest, 16).map(Some),
        _ => Err(not_a_preamble()),
    }
}

/// Source and destination address, then their ports.
fn source<const N: usize>(rest: &[u8], skip: usize) -> io::Result<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let address = rest.first_chunk::<N>();
    let port = rest
        .get(N.saturating_add(skip)..)
        .and_then(|rest| rest.first_chunk::<2>());
    match (address, port) {
        (Some(address), Some(port)) => Ok(plain(SocketAddr::new(
            IpAddr::from(*address),
            u16::from_be_bytes(*port),
        ))),
        (Some(_) | None, _) => Err(not_a_preamble()),
    }
}

fn not_a_preamble() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a PROXY v2 preamble")
}

/// The preamble of a connection that `client` made, for whoever it is passed on to.
pub(crate) fn preamble(client: SocketAddr) -> Vec<u8> {
    let mut preamble = SIGNATURE.to_vec();
    preamble.push(VERSION_PROXY);
    let port = client.port().to_be_bytes();
    // The destination is what the receiver knows anyway.
    let addresses = match client.ip().to_canonical() {
        IpAddr::V4(address) => {
            preamble.extend([TCP_IPV4, 0, 12]);
            [address.octets(), Ipv4Addr::UNSPECIFIED.octets()].concat()
        }
        IpAddr::V6(address) => {
            preamble.extend([TCP_IPV6, 0, 36]);
            [address.octets(), Ipv6Addr::UNSPECIFIED.octets()].concat()
        }
    };
    preamble.extend(addresses);
    preamble.extend(port);
    preamble.extend([0, 0]);
    preamble
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: ClientHeader) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "2001:db8::/32", "::ffff:192.168.0.0/120"];
        TrustedProxies::new(networks.map(|one| one.parse().unwrap()).to_vec(), header)
    }

    fn client(header: ClientHeader, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, line.parse().unwrap());
        }
        let peer = "10.0.0.1:1000".parse().unwrap();
        let client = proxies(header).client(peer, &headers);
        client.ip().to_string()
    }

    #[test]
    fn a_mapped_address_is_the_address_and_a_mapped_network_the_network() {
        let proxies = proxies(ClientHeader::XForwardedFor);
        for trusted in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "2001:db8::1",
            "192.168.0.9",
            "::ffff:192.168.0.9",
        ] {
            assert!(proxies.trust(trusted.parse().unwrap()), "{trusted}");
        }
        for other in [
            "11.0.0.1",
            "::ffff:11.0.0.1",
            "192.168.1.1",
            "::1",
            "127.0.0.1",
        ] {
            assert!(!proxies.trust(other.parse().unwrap()), "{other}");
        }
        assert!(!TrustedProxies::none().trust("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_client_is_the_last_on_the_way_who_is_no_proxy() {
        let of = |lines: &[&str]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            client(ClientHeader::XForwardedFor, &lines)
        };
        assert_eq!(of(&[]), "10.0.0.1");
        assert_eq!(of(&["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of(&["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(of(&["[2001:db9::1]:4711"]), "2001:db9::1");
        assert_eq!(of(&["::ffff:203.0.113.9"]), "203.0.113.9");
        // What the client wrote itself stands to the left.
        assert_eq!(
            of(&["127.0.0.1, 1.2.3.4, 203.0.113.9, 10.0.0.7"]),
            "203.0.113.9"
        );
        assert_eq!(of(&["127.0.0.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(of(&["10.0.0.9, 10.0.0.8"]), "10.0.0.9");
        // A proxy that cannot say who it was is taken for the client.
        assert_eq!(of(&["203.0.113.9, unknown"]), "10.0.0.1");
        assert_eq!(of(&["203.0.113.9, , 10.0.0.7"]), "10.0.0.7");
        assert_eq!(of(&["\"203.0.113.9\""]), "10.0.0.1");
        let long = "10.0.0.2, ".repeat(HOPS_MAX + 1);
        assert_eq!(of(&[&format!("203.0.113.9, {long}10.0.0.2")]), "10.0.0.2");
    }

    #[test]
    fn only_the_configured_header_counts() {
        let lines = [
            (
                "forwarded",
                "proto=https;For=\"[2001:db9::1]:4711\", for=10.0.0.3",
            ),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(client(ClientHeader::Forwarded, &lines), "2001:db9::1");
        assert_eq!(client(ClientHeader::XForwardedFor, &lines), "203.0.113.9");
        for nobody in ["for=_hidden", "for=unknown", "by=203.0.113.9", "for", ""] {
            let lines = [("forwarded", nobody)];
            assert_eq!(
                client(ClientHeader::Forwarded, &lines),
                "10.0.0.1",
                "{nobody}"
            );
        }
    }

    #[tokio::test]
    async fn a_preamble_says_who_the_client_is() {
        for address in ["203.0.113.9:4711", "[2001:db9::1]:4711"] {
            let client: SocketAddr = address.parse().unwrap();
            let mut bytes = preamble(client);
            bytes.extend(b"\x16\x03\x01");
            let mut stream = bytes.as_slice();
            let read = read_preamble(&mut stream).await.unwrap();
            assert_eq!(read, Some(client));
            assert_eq!(stream, b"\x16\x03\x01");
        }
        let mut mapped = preamble("[2001:db9::1]:1".parse().unwrap());
        mapped[16..32].copy_from_slice(&"::ffff:1.2.3.4".parse::<Ipv6Addr>().unwrap().octets());
        let read = read_preamble(&mut mapped.as_slice()).await.unwrap();
        assert_eq!(read.unwrap().ip().to_string(), "1.2.3.4");
    }

    #[tokio::test]
    async fn what_is_no_preamble_is_not_read_as_one() {
        let fine = preamble("203.0.113.9:4711".parse().unwrap());
        for (place, byte) in [
            (0, b'x'),
            (11, b'x'),
            (12, 0x11),
            (12, 0x22),
            (13, 0x12),
            (13, 0),
            (14, 0xff),
        ] {
            let mut wrong = fine.clone();
            wrong[place] = byte;
            assert!(
                read_preamble(&mut wrong.as_slice()).await.is_err(),
                "{place} {byte}"
            );
        }
        let mut short = fine.clone();
        short[15] = 9;
        assert!(read_preamble(&mut short.as_slice()).await.is_err());
        for cut in 0..fine.len() {
            assert!(read_preamble(&mut &fine[..cut]).await.is_err());
        }
        let mut local = fine;
        local[12] = VERSION_LOCAL;
        assert_eq!(read_preamble(&mut local.as_slice()).await.unwrap(), None);
    }
}
