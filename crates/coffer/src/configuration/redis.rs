//! `[redis]`: the server by which several nodes of `api` share their rates. Without this section each counts by itself.

use serde::Deserialize;

use super::{PublicFile, Server};

/// `[redis]`: where a Redis or Valkey server is. It keeps nothing that could not be lost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    /// The server.
    pub(crate) address: Server,
    /// The user there; the server's default one when there is none.
    pub(crate) user: Option<String>,
    /// The certificates of the authorities that the server's certificate may come from, in `public/`. Connections are
    /// encrypted if it is set.
    pub(crate) ca_file: Option<PublicFile>,
}

impl Redis {
    pub(super) fn check(&self) -> Result<(), String> {
        self.address.check_authority("redis", self.ca_file.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_verified() {
        let section = |lines: &str| toml::from_str::<Redis>(lines).unwrap().check();
        section("address = \"127.0.0.1:6379\"").unwrap();
        section("address = \"redis.shop.eu:6379\"\nca_file = \"redis-ca.pem\"").unwrap();
        assert!(section("address = \"redis.shop.eu:6379\"").is_err());
        let elsewhere = "address = \"127.0.0.1:6379\"\nca_file = \"../api/key.pem\"";
        assert!(toml::from_str::<Redis>(elsewhere).is_err());
    }
}
