//! The edges' parsers of foreign bytes, for the fuzz targets (`crates/fuzz`): one line for each, and nothing else.

use crate::{face, outbound};

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
