//! What plain HTTP gets at a port for HTTPS: one answer, the same but for its id. Nothing of the request is interpreted but, for a redirect,
//! a path of harmless characters; whatever else it carries, a key above all, has no effect.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use coffer_core::id::RequestId;

use super::PlainPolicy;
use crate::Clock;

/// Of the request line and headers, no more than this is read.
const HEAD_MAX: usize = 16 * 1024;
const READ_MAX: Duration = Duration::from_secs(5);
/// What the client still sends after the answer is read and dropped, or the machine would reset the connection and the
/// client might not see the answer.
const LINGER_BYTES_MAX: u64 = 64 * 1024;
const LINGER_MAX: Duration = Duration::from_secs(2);
const PATH_MAX: usize = 1024;

/// Reads the head of the request, answers, closes.
pub(super) async fn answer(mut stream: TcpStream, policy: &PlainPolicy) -> io::Result<()> {
    let head = timeout(READ_MAX, read_head(&mut stream)).await??;
    let answer = match policy {
        PlainPolicy::Refuse403 { page } => refusal(page, Clock::system().id()),
        PlainPolicy::Redirect308 { to } => redirect(to, path(&head)),
    };
    timeout(READ_MAX, stream.write_all(answer.as_bytes())).await??;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES_MAX);
    timeout(
        LINGER_MAX,
        tokio::io::copy(&mut rest, &mut tokio::io::sink()),
    )
    .await??;
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    let mut limited = stream.take(u64::try_from(HEAD_MAX).unwrap_or(u64::MAX));
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if limited.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

fn refusal(page: &str, id: RequestId) -> String {
    let body = serde_json::json!({
        "type": page,
        "title": "The API answers over HTTPS only",
        "status": 403,
        "code": "https_required",
        "detail": "Use https://, and replace a key that was sent without it: it has been exposed.",
        "request_id": id.to_string(),
    });
    let body = body.to_string();
    format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\ncoffer-request-id: {id}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str, path: &str) -> String {
    format!(
        "HTTP/1.1 308 Permanent Redirect\r\nlocation: https://{to}{path}\r\ncontent-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    )
}

/// The request's path if it is harmless to repeat, else the root. A query is not: it may be a secret.
fn path(head: &[u8]) -> &str {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let target = words
        .nth(1)
        .and_then(|target| std::str::from_utf8(target).ok());
    let harmless =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    target
        .filter(|path| path.len() <= PATH_MAX && path.starts_with('/') && !path.starts_with("//"))
        .filter(|path| path.bytes().all(harmless))
        .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_harmless_path_is_repeated() {
        for target in [
            "//evil.test/",
            "/a?client_secret=s",
            "http://evil.test/",
            "/%0d%0ax:y",
            "/a\"b",
            "*",
            "",
            "/caf\u{e9}",
            "/a#b",
            "/a@b",
        ] {
            assert_eq!(
                path(format!("GET {target} HTTP/1.1\r\n").as_bytes()),
                "/",
                "{target}"
            );
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(PATH_MAX));
        assert_eq!(path(long.as_bytes()), "/");
        assert_eq!(path(b"\x00\xff"), "/");
        assert_eq!(
            path(b"GET /c/chk_06aj-x HTTP/1.1\r\nhost: x\r\n\r\n"),
            "/c/chk_06aj-x"
        );
    }
}
