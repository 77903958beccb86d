//! The edges' parsers of foreign bytes, for the fuzz targets (`crates/fuzz`): one line for each, and nothing else.

use std::{
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    face::{self, ClientHeader, TrustedProxies},
    link::pack,
    outbound,
};

/// The answer to plain HTTP that a redirecting face gives to this head of a request.
#[must_use]
pub fn plain_http(to: &str, head: &[u8]) -> String {
    face::plain_http::redirected(to, head)
}

/// Where a request to this URL goes: its host, the path that is asked for, and the `Host` header.
#[must_use]
pub fn outbound_url(url: &str) -> Option<(String, String, String)> {
    let (target, path, header) = outbound::target::parse(url)?;
    Some((
        target.host,
        path.to_string(),
        header.to_str().ok()?.to_owned(),
    ))
}

/// Where the head of a request ends when its bytes come in pieces of this size; none if it is refused before.
#[must_use]
pub fn head_end(bytes: &[u8], piece: usize) -> Option<Option<usize>> {
    let (mut seen, mut come) = (0, 0);
    loop {
        come = bytes.len().min(piece.saturating_add(come));
        let end = face::head::end(bytes.get(..come)?, &mut seen).ok()?;
        if end.is_some() || come == bytes.len() {
            return Some(end);
        }
    }
}

/// Whether a complete head is accepted.
#[must_use]
pub fn head_is_accepted(head: &[u8]) -> bool {
    face::head::framing(head).is_ok()
}

/// The client that a `peer` says it asks for, by this header, when `peer` and nobody else is trusted.
#[must_use]
pub fn client(header: ClientHeader, peer: SocketAddr, line: HeaderValue) -> SocketAddr {
    let name = HeaderName::from_static(header.as_str());
    TrustedProxies::new(vec![peer.ip().into()], header)
        .client(peer, &HeaderMap::from_iter([(name, line)]))
}

/// The client that a PROXY preamble names, and the preamble that names it to the next server.
#[must_use]
pub fn preamble(mut bytes: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
    let mut context = Context::from_waker(Waker::noop());
    let read = pin!(face::proxies::read_preamble(&mut bytes)).poll(&mut context);
    let Poll::Ready(Ok(Some(client))) = read else {
        return None;
    };
    Some((client, face::proxies::preamble(client)))
}

/// A pack of calls, read and written again.
#[must_use]
pub fn calls(bytes: &[u8]) -> Option<Vec<u8>> {
    let calls = pack::read_calls(bytes).ok()?;
    Some(pack::write_calls(&calls).ok()?.to_vec())
}

/// The answer to a pack of `count` calls, read and written again.
#[must_use]
pub fn outcomes(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    let outcomes = pack::read_outcomes(bytes, count).ok()?;
    Some(pack::write_outcomes(outcomes).ok()?.to_vec())
}
