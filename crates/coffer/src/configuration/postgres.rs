//! `[postgres]`: the server that keeps the roles' data. Without this section they keep it in files of their own.

use std::{fmt, net::IpAddr, str::FromStr};

use coffer_core::Malformed;
use serde::Deserialize;

use super::PublicFile;
use crate::directory::Role;

/// The longest NAMES; with a role's name behind it, it stays within what PostgreSQL takes.
const NAMES_MAX: usize = 41;
/// The longest host name (RFC 1035, 2.3.4).
const HOST_MAX: usize = 253;

/// `[postgres]`: where the server is, and what is the roles' there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgres {
    /// The server.
    pub(crate) address: Server,
    /// What the databases and users are called, before the role.
    #[serde(default)]
    pub(crate) names: Names,
    /// The certificates of the authorities that the server's certificate may come from, in `public/`. Connections are
    /// encrypted if it is set.
    pub(crate) ca_file: Option<PublicFile>,
}

impl Postgres {
    /// The beginning of an installation at this server.
    pub(crate) fn at(address: Server, names: Names) -> Self {
        let ca_file = (!address.is_this_machine()).then(PublicFile::of_postgres);
        Self {
            address,
            names,
            ca_file,
        }
    }

    /// A role's database, and its user there.
    pub(crate) fn name_of(&self, role: Role) -> String {
        format!("{}_{role}", self.names)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.address
            .check_authority("postgres", self.ca_file.as_ref())
    }
}

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Server {
    host: String,
    port: u16,
}

impl Server {
    /// Its name or address, an IPv6 address without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Its address, where the host is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether the file of the authorities that vouch for it may be missing in this section of the settings.
    pub(super) fn check_authority(
        &self,
        section: &str,
        ca_file: Option<&PublicFile>,
    ) -> Result<(), String> {
        if ca_file.is_none() && !self.is_this_machine() {
            return Err(format!(
                "[{section}] ca_file is missing: {self} is another machine, whose certificate must be verified"
            ));
        }
        Ok(())
    }

    /// Whether no network lies between.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.ip()
            .map_or(self.host == "localhost", |ip| ip.is_loopback())
    }
}

impl FromStr for Server {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            expected: "a host and a port, such as db.shop.eu:5432",
        };
        let (host, port) = text.rsplit_once(':').ok_or(malformed)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_host(host),
        };
        let port = port.parse().ok().filter(|port| *port != 0);
        match (is_host, port) {
            (true, Some(port)) => Ok(Self {
                host: bracketed.unwrap_or(host).to_owned(),
                port,
            }),
            (true, None) | (false, Some(_) | None) => Err(malformed),
        }
    }
}

fn is_host(text: &str) -> bool {
    let shape = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    (1..=HOST_MAX).contains(&text.len()) && text.bytes().all(shape)
}

impl TryFrom<String> for Server {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What databases and users are called, before the role. PostgreSQL takes it as it is, without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Names(String);

impl Default for Names {
    fn default() -> Self {
        Self("coffer".to_owned())
    }
}

impl FromStr for Names {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let shape = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
        if begins && text.len() <= NAMES_MAX && text.bytes().all(shape) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed {
                expected: "a small letter, then at most 40 of a-z, 0-9 and _",
            })
        }
    }
}

impl TryFrom<String> for Names {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for text in ["127.0.0.1:5432", "db-1.shop.eu:5432", "[::1]:5432"] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "db",
            "db:",
            ":5432",
            "db:0",
            "db:65536",
            "db:5432/coffer",
            "::1:5432",
            "[db]:5432",
            "user@db:5432",
            "/run/postgresql:5432",
        ] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_statement() {
        for right in ["c", "coffer", "t1_2", &format!("a{}", "b".repeat(40))] {
            assert!(right.parse::<Names>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            "1st",
            "_c",
            "Coffer",
            "a-b",
            "a b",
            "a;b",
            "a\"",
            "ä",
            &format!("a{}", "b".repeat(41)),
        ] {
            assert!(wrong.parse::<Names>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_machine_is_verified() {
        let section = |address: &str, ca_file: Option<&str>| Postgres {
            address: address.parse().unwrap(),
            names: Names::default(),
            ca_file: ca_file.map(|name| name.parse().unwrap()),
        };
        for local in ["127.0.0.1:5432", "[::1]:5432", "localhost:5432"] {
            section(local, None).check().unwrap();
            section(local, Some("ca.pem")).check().unwrap();
        }
        for remote in ["10.0.0.1:5432", "db.shop.eu:5432", "localhost.shop.eu:5432"] {
            assert!(section(remote, None).check().is_err(), "{remote}");
            section(remote, Some("ca.pem")).check().unwrap();
        }
        for elsewhere in ["", "../keys/key.pem", "/etc/ca.pem", ".ca"] {
            let text = format!("address = \"db.shop.eu:5432\"\nca_file = \"{elsewhere}\"");
            assert!(toml::from_str::<Postgres>(&text).is_err(), "{elsewhere}");
        }
    }
}
