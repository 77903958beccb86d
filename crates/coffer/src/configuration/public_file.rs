//! Files that every role may read: the certificates of authorities.

use std::{fmt, path::PathBuf, str::FromStr};

use coffer_core::Malformed;
use serde::Deserialize;

use crate::directory::Directory;

/// The name of a file in `public/`, and nothing that leads out of there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PublicFile(String);

impl PublicFile {
    /// Where the authority of a PostgreSQL server on another machine is looked for unless told otherwise.
    pub(crate) fn of_postgres() -> Self {
        Self("postgres-ca.pem".to_owned())
    }

    /// Where it is.
    pub(crate) fn path(&self, directory: &Directory) -> PathBuf {
        directory.public().join(&self.0)
    }
}

impl FromStr for PublicFile {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if text.is_empty() || text.starts_with('.') || !text.bytes().all(plain) {
            return Err(Malformed {
                expected: "the name of a file in public/, of letters, digits and . - _",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PublicFile {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl fmt::Display for PublicFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_file_cannot_be_anywhere_else() {
        for right in ["ca.pem", "acme-ca_2.pem"] {
            assert!(right.parse::<PublicFile>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            ".",
            "..",
            ".ca.pem",
            "../api/key.pem",
            "/ca.pem",
            "a b",
            "ca\0",
        ] {
            assert!(wrong.parse::<PublicFile>().is_err(), "{wrong:?}");
        }
    }
}
