//! Links: how one role calls another. HTTP/2 over mutually authenticated TLS 1.3, `POST /{role}/v1/{method}`, postcard.
//!
//! The client is [`Link`], the server [`serve`] with its [`Door`]; both prove who they are by a certificate of the internal
//! authority that names their role (`spiffe://coffer/<role>/<instance>`). Host names prove nothing here.

use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use bytes::{Buf as _, Bytes};
use coffer_core::limits::LINK_BODY_MAX;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::contract::{Error, Refusal};

mod call;
mod client;
mod door;
mod handler;
mod identity;
pub(crate) mod pack;

pub use client::Link;
pub use door::{Door, serve};
pub use handler::{Handler, KeysHandler, MeasuredHandler, VaultHandler};
pub use identity::Identity;

/// The serials of certificates that count for nothing any more, in lowercase hex; replaced when it is polled.
pub type Revoked = Arc<ArcSwap<HashSet<String>>>;

/// The version of messages that this build speaks; it understands the one before, too.
const WIRE_VERSION: u16 = 1;
const WIRE_HEADER: &str = "coffer-wire";
/// How long the caller waits, in milliseconds from now: clocks of two machines differ.
const DEADLINE_HEADER: &str = "deadline-ms";

/// A message as it travels. It is measured before it is written, so that the buffer has its final size at once: a buffer that
/// grows leaves copies behind, and one of the largest size would be wiped for every small message.
///
/// # Errors
/// `Refused(Malformed)` for a message over the limit.
pub fn encode<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, Error> {
    let size = postcard::serialize_with_flavor(message, postcard::ser_flavors::Size::default());
    let size = size.ok().filter(|size| *size <= LINK_BODY_MAX);
    let mut buffer = Zeroizing::new(vec![0; size.ok_or_else(malformed)?]);
    postcard::to_slice(message, &mut buffer).map_err(|_| malformed())?;
    Ok(buffer)
}

/// A message from its bytes, all of them.
///
/// # Errors
/// `Refused(Malformed)` for bytes that are no such message, over the limit, or followed by more.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.len() > LINK_BODY_MAX {
        return Err(malformed());
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(malformed()),
    }
}

/// All of a limited body, in a buffer that need not grow.
async fn collect<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
) -> Result<Zeroizing<Vec<u8>>, B::Error> {
    let expected = body
        .size_hint()
        .upper()
        .and_then(|size| usize::try_from(size).ok());
    let capacity = expected.unwrap_or(LINK_BODY_MAX).min(LINK_BODY_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(data.chunk());
        }
    }
    Ok(bytes)
}

const fn malformed() -> Error {
    Error::Refused(Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_the_limit_or_with_trailing_bytes_is_malformed() {
        let fits = vec![7_u8; LINK_BODY_MAX - 3];
        let bytes = encode(&fits).unwrap();
        assert_eq!(bytes.len(), LINK_BODY_MAX);
        assert_eq!(decode::<Vec<u8>>(&bytes), Ok(fits));

        assert_eq!(encode(&vec![7_u8; LINK_BODY_MAX - 2]), Err(malformed()));
        let long = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode::<Vec<u8>>(&long), Err(malformed()));
        let trailing = [encode(&1_u8).unwrap().as_slice(), &[0]].concat();
        assert_eq!(decode::<u8>(&trailing), Err(malformed()));
        assert_eq!(decode::<Vec<u8>>(&[5, 1]), Err(malformed()));
    }
}
