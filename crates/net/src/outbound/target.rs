//! Where one request goes: its URL, taken apart, and the path to it as a connection.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use coffer_core::limits::URL_MAX;
use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{AddressPolicy, OutboundErrorKind};

/// How many addresses of one host are tried.
const ADDRESSES_MAX: usize = 4;
/// How long one address may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Whose connection a request may use: equal targets share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(super) tls: bool,
    pub(crate) host: String,
    port: u16,
}

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Reads a URL: http or https, a host, no user name or password in it.
pub(crate) fn parse(url: &str) -> Option<(Target, Uri, HeaderValue)> {
    if url.len() > URL_MAX {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let host_header = HeaderValue::from_str(authority.as_str()).ok()?;
    // Not `authority.port()`: it is none for a number that is too large, as if there were no port.
    let port = match authority.as_str().strip_prefix(authority.host())? {
        "" if tls => 443,
        "" => 80,
        given => given
            .strip_prefix(':')?
            .parse()
            .ok()
            .filter(|&port| port > 0)?,
    };
    let host = authority.host().to_ascii_lowercase();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = path.parse().ok()?;
    Some((Target { tls, host, port }, path, host_header))
}

impl Target {
    /// Connects to exactly an address that the policy allows, and over TLS checks the certificate for the host.
    pub(super) async fn connect(
        &self,
        policy: &AddressPolicy,
        tls: &Arc<ClientConfig>,
    ) -> Result<Box<dyn Stream>, OutboundErrorKind> {
        let tcp = self.reach(policy).await.map_err(|error| {
            // The reason stays in the log: a merchant must not learn from it what is in our network.
            tracing::info!(outbound.host = self.host, outbound.port = self.port, %error, "a host cannot be reached");
            OutboundErrorKind::Unreachable
        })?;
        if !self.tls {
            return Ok(Box::new(tcp));
        }
        let stream = self.secure(tcp, tls).await.map_err(|error| {
            tracing::info!(outbound.host = self.host, outbound.port = self.port, %error, "a TLS handshake failed");
            OutboundErrorKind::Certificate
        })?;
        Ok(Box::new(stream))
    }

    async fn reach(&self, policy: &AddressPolicy) -> io::Result<TcpStream> {
        let resolved = self.resolve().await?;
        let allowed = resolved
            .iter()
            .filter(|address| policy.allows(address.ip()));
        let mut outcome = Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "no address of it is allowed",
        ));
        for address in allowed.take(ADDRESSES_MAX) {
            outcome = connect(*address).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        resolve(self.plain_host(), self.port).await
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        tls: &Arc<ClientConfig>,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let host = self.plain_host();
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await
    }

    /// Without the brackets of an IPv6 address.
    fn plain_host(&self) -> &str {
        let inner = self
            .host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        inner.unwrap_or(&self.host)
    }
}

/// The addresses of a host. A name below `localhost` is this machine, whatever a resolver says (RFC 6761, 6.3).
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.ends_with(".localhost") {
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = timeout(CONNECT_MAX, TcpStream::connect(address)).await??;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_not_plainly_http_is_refused() {
        let long = format!("https://shop.test/{}", "a".repeat(URL_MAX));
        for url in [
            "",
            "shop.test",
            "/path",
            "ftp://shop.test/",
            "file:///etc/passwd",
            "https://",
            "https://user@shop.test/",
            "https://user:secret@shop.test/",
            "https://shop.test:99999/",
            "https://shop.test:/",
            "https://shop.test:0/",
            "https://shop.test/ x",
            "javascript:alert(1)",
            &long,
        ] {
            assert!(parse(url).is_none(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_below_localhost_is_this_machine() {
        let (target, ..) = parse("https://pay.coffer.localhost:8444/").unwrap();
        let resolved = target.resolve().await.unwrap();
        assert!(!resolved.is_empty());
        assert!(
            resolved
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 8444)
        );
    }

    #[test]
    fn a_url_gives_the_host_the_port_and_the_path() {
        let (target, path, host) = parse("https://Shop.test/hooks?a=b#part").unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.tls),
            ("shop.test", 443, true)
        );
        assert_eq!(path.to_string(), "/hooks?a=b");
        assert_eq!(host, "Shop.test");
        let (target, path, host) = parse("http://[::1]:8080").unwrap();
        assert_eq!(
            (target.plain_host(), target.port, target.tls),
            ("::1", 8080, false)
        );
        assert_eq!(path.to_string(), "/");
        assert_eq!(host, "[::1]:8080");
    }
}
