//! Which server is meant: a host, by name or by address, and a port.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use coffer_core::Malformed;
use rustls_pki_types::ServerName;

use crate::outbound::resolve;

const HTTPS: u16 = 443;

/// A server to be checked: `pay.shop.eu`, `pay.shop.eu:8444`, `[2001:db8::1]:443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl FromStr for Target {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "a host and perhaps a port, such as pay.shop.eu:443",
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: address.ip().to_string(),
                port: address.port(),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self {
                host: ip.to_string(),
                port: HTTPS,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| malformed)?),
            None => (text, HTTPS),
        };
        ServerName::try_from(host).map_err(|_| malformed)?;
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Target {
    /// The name to ask for: none for an address (RFC 6066, 3).
    pub(super) fn name(&self) -> Option<&str> {
        Some(self.host.as_str()).filter(|host| host.parse::<IpAddr>().is_err())
    }

    /// As a request's Host header has it.
    pub(super) fn authority(&self) -> String {
        let text = self.to_string();
        let without_port = text.strip_suffix(":443").map(str::to_owned);
        without_port.unwrap_or(text)
    }

    pub(super) fn server_name(&self) -> io::Result<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).map_err(io::Error::other)
    }

    /// Its addresses.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        resolve(&self.host, self.port).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_perhaps_a_port() {
        let shown = |text: &str| text.parse::<Target>().map(|target| target.to_string()).ok();
        for (text, expected) in [
            ("Pay.shop.eu", "pay.shop.eu:443"),
            ("localhost:8443", "localhost:8443"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("127.0.0.1", "127.0.0.1:443"),
            ("::1", "[::1]:443"),
            ("[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for wrong in [
            "",
            ":443",
            "a b",
            "host:port",
            "https://pay.shop.eu",
            "host:99999",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
