//! Names of payment providers, as configured by the operator.

use crate::Malformed;

/// The longest name of a provider.
pub const PROVIDER_NAME_MAX: usize = 32;

/// The name of a configured payment provider: 1–32 of `a-z 0-9 _`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Provider(String);

impl Provider {
    /// The simulator, the only provider of test mode.
    #[must_use]
    pub fn simulator() -> Self {
        Self("simulator".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Provider {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        let shape = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if (1..=PROVIDER_NAME_MAX).contains(&text.len()) && text.bytes().all(shape) {
            Ok(Self(text))
        } else {
            Err(Malformed {
                expected: "a provider's name: 1 to 32 of a-z, 0-9 and _",
            })
        }
    }
}

impl From<Provider> for String {
    fn from(provider: Provider) -> Self {
        provider.0
    }
}
