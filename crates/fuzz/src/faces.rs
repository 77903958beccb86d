//! What reaches a public face before the application: heads of requests, and what proxies say about the client.

use std::net::SocketAddr;

use coffer_net::face::ClientHeader;
use http::HeaderValue;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A head ends at one place however it is cut; one that is accepted has whole lines and one way to end its body.
pub(crate) fn head(bytes: &[u8]) {
    let end = coffer_net::fuzzing::head_end(bytes, usize::MAX);
    for piece in [1, 7] {
        assert_eq!(coffer_net::fuzzing::head_end(bytes, piece), end, "cut");
    }
    let Some(head) = end.flatten().map(|end| &bytes[..end]) else {
        return;
    };
    if !coffer_net::fuzzing::head_is_accepted(head) {
        return;
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let lines: Vec<&str> = text.trim_end_matches("\r\n").split("\r\n").collect();
    assert!(!lines.iter().any(|line| line.contains(['\r', '\n', '\0'])));
    assert!(!lines.iter().any(|line| line.starts_with([' ', '\t'])));
    let lengths = lines.iter().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().trim();
        ["content-length", "transfer-encoding"].contains(&name)
    });
    assert!(lengths.count() <= 1, "two ways to end a body");
}

/// What a client writes before the words of a trusted proxy changes nothing; a preamble is read as it is written.
pub(crate) fn client(bytes: &[u8]) {
    let peer = SocketAddr::from(([10, 0, 0, 1], 1));
    let said = SocketAddr::from(([203, 0, 113, 9], 0));
    for (header, word) in [
        (ClientHeader::XForwardedFor, ""),
        (ClientHeader::Forwarded, "for="),
    ] {
        let line = [bytes, format!(",{word}{}", said.ip()).as_bytes()].concat();
        // A line that is no text names nobody.
        let text = bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            let client = coffer_net::fuzzing::client(header, peer, line);
            assert_eq!(client, if text { said } else { peer }, "a forged client");
        }
    }
    for preamble in [bytes, &[SIGNATURE, bytes].concat()] {
        if let Some((client, written)) = coffer_net::fuzzing::preamble(preamble) {
            assert!(preamble.starts_with(SIGNATURE));
            let again = coffer_net::fuzzing::preamble(&written);
            assert_eq!(again, Some((client, written)));
        }
    }
}
