//! Exports for the owner of a signing key alone. The api seals them, part by part, so that nothing leaves it in the clear.

use coffer_core::id::SigningKeyId;
use coffer_engine::{Error, Recipient};

use crate::failure::Failure;

/// A part of an export as a JWE in a line of its own. Of nothing it is nothing: not everybody opens a message without content.
pub(crate) fn line(recipient: &Recipient, media_type: &str, part: &str) -> Result<String, Error> {
    if part.is_empty() {
        return Ok(String::new());
    }
    Ok(recipient.seal(media_type, part.as_bytes())? + "\n")
}

/// A running api that is older than this program does not know what `seal_to` is, and answers in the clear.
pub(crate) fn check(wanted: Option<SigningKeyId>, sealed: bool) -> Result<(), Failure> {
    if wanted.is_some() && !sealed {
        return Err(Failure::Operator(
            "the running api is older than this program and seals nothing: restart it".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_api_answers_in_the_clear_is_not_printed() {
        let wanted = Some(SigningKeyId::from_bytes([7; 16]));
        assert!(check(wanted, false).is_err());
        assert!(check(wanted, true).is_ok() && check(None, false).is_ok());
    }
}
