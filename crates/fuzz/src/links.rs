//! What roles send each other.

use coffer_crypto::pki::{CertificateRequest, inspect, pem_to_der};
use coffer_net::{
    contract::{self, Error, Method},
    fuzzing,
};

type Rewrite = fn(&str, bool, &[u8]) -> Option<Vec<u8>>;

/// A message of the key server's is refused, or is the same when it is written and read again.
pub(crate) fn keys(bytes: &[u8]) {
    message(bytes, contract::keys::METHODS, |method, answer, body| {
        contract::keys::rewrite(method, answer, body)
            .ok()
            .map(|bytes| bytes.to_vec())
    });
}

/// A message of the vault's is refused, or is the same when it is written and read again.
pub(crate) fn vault(bytes: &[u8]) {
    message(bytes, contract::vault::METHODS, |method, answer, body| {
        contract::vault::rewrite(method, answer, body)
            .ok()
            .map(|bytes| bytes.to_vec())
    });
}

/// The first byte chooses the method, and whether it is a request or an answer.
fn message(bytes: &[u8], methods: &[Method], rewrite: Rewrite) {
    let Some((&choice, body)) = bytes.split_first() else {
        return;
    };
    let method = methods[usize::from(choice >> 1) % methods.len()].name;
    let answer = choice & 1 == 1;
    if let Some(written) = rewrite(method, answer, body) {
        // A number may come in more bytes than it needs; what is written is never longer, and final.
        assert!(written.len() <= body.len(), "{method} grew");
        assert_eq!(
            rewrite(method, answer, &written).as_ref(),
            Some(&written),
            "{method} changed"
        );
    }
    let _ = coffer_net::link::decode::<Error>(body);
}

/// A pack of calls is refused, or is the same when it is written again; so is the answer to one, of as many calls as the
/// first byte says, but that an error in it may be written shorter.
pub(crate) fn pack(bytes: &[u8]) {
    let Some((&count, body)) = bytes.split_first() else {
        return;
    };
    if let Some(written) = fuzzing::calls(body) {
        assert_eq!(written, body, "calls changed");
    }
    let count = usize::from(count);
    if let Some(written) = fuzzing::outcomes(body, count) {
        assert!(written.len() <= body.len(), "outcomes grew");
        assert_eq!(
            fuzzing::outcomes(&written, count),
            Some(written),
            "outcomes changed"
        );
    }
}

/// A request for a certificate is refused or kept byte by byte; certificates are read in one way.
pub(crate) fn certificate(bytes: &[u8]) {
    if let Ok(request) = CertificateRequest::from_der(bytes) {
        assert_eq!(request.as_der(), bytes);
    }
    let _ = inspect(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        for der in pem_to_der(text).unwrap_or_default() {
            let _ = inspect(&der);
        }
    }
}
