//! What plain HTTP gets at a port for HTTPS: one answer, the same but for its id. Nothing of the request is interpreted but,
//! for a redirect, a path of harmless characters. A key that it carries is told to whoever wants to know that it was exposed,
//! after the answer: neither its words nor its time tell whether the key is one.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

use coffer_core::id::RequestId;

use crate::Clock;

/// Of the request line and headers, no more than this is read.
const HEAD_MAX: usize = 16 * 1024;
const READ_MAX: Duration = Duration::from_secs(5);
/// What the client still sends after the answer is read and dropped, or the machine would reset the connection and the
/// client might not see the answer.
const LINGER_BYTES_MAX: u64 = 64 * 1024;
const LINGER_MAX: Duration = Duration::from_secs(2);
const PATH_MAX: usize = 1024;
const AUTHORIZATION: &[u8] = b"authorization:";

/// What plain HTTP is answered.
#[derive(Clone)]
pub enum PlainPolicy {
    /// 403 with code `https_required`: for the API, whose clients must not get used to it.
    Refuse403 {
        /// The address of the code's page, or `about:blank` (RFC 9457).
        page: String,
        /// Who wants to know which keys were exposed.
        overheard: Option<Overheard>,
    },
    /// 308 to the same path over HTTPS: for pages.
    Redirect308 {
        /// The host, with the port if it is not 443.
        to: String,
    },
}

/// Is told of every `Authorization` that came over plain HTTP.
pub type Overheard =
    Arc<dyn Fn(PlainCall) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A request that came over plain HTTP with something that may be a key.
pub struct PlainCall {
    /// The value of its `Authorization`, which anybody on the way could read.
    pub authorization: Zeroizing<String>,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The id that its answer has.
    pub request_id: RequestId,
}

/// Reads the head of the request, answers, closes.
pub(super) async fn answer(
    mut stream: TcpStream,
    policy: &PlainPolicy,
    peer: SocketAddr,
) -> io::Result<()> {
    let head = head(&mut stream).await?;
    respond(stream, reply_of(policy, &head, peer)).await
}

/// What a request gets, and who is told of it afterwards.
pub(crate) struct Reply {
    pub(crate) text: String,
    overheard: Option<(Overheard, PlainCall)>,
}

impl Reply {
    /// A text, of which nobody is told.
    pub(crate) const fn of(text: String) -> Self {
        Self {
            text,
            overheard: None,
        }
    }
}

/// The head of a request, as far as it came.
pub(crate) async fn head(stream: &mut TcpStream) -> io::Result<Zeroizing<Vec<u8>>> {
    timeout(READ_MAX, read_head(stream)).await?
}

/// What this request gets.
pub(crate) fn reply_of(policy: &PlainPolicy, head: &[u8], peer: SocketAddr) -> Reply {
    let request_id = Clock::system().id();
    match policy {
        PlainPolicy::Refuse403 { page, overheard } => {
            let call = authorization(head).map(|authorization| PlainCall {
                authorization,
                peer,
                request_id,
            });
            Reply {
                text: refusal(page, request_id),
                overheard: overheard.clone().zip(call),
            }
        }
        PlainPolicy::Redirect308 { to } => Reply::of(redirected(to, head)),
    }
}

/// Answers and closes.
pub(crate) async fn respond(mut stream: TcpStream, reply: Reply) -> io::Result<()> {
    timeout(READ_MAX, stream.write_all(reply.text.as_bytes())).await??;
    stream.shutdown().await?;
    if let Some((overheard, call)) = reply.overheard {
        overheard(call).await;
    }
    let mut rest = stream.take(LINGER_BYTES_MAX);
    timeout(
        LINGER_MAX,
        tokio::io::copy(&mut rest, &mut tokio::io::sink()),
    )
    .await??;
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> io::Result<Zeroizing<Vec<u8>>> {
    // Of its final size at once: a buffer that grows leaves copies behind.
    let mut head = Zeroizing::new(Vec::with_capacity(HEAD_MAX));
    let mut limited = stream.take(u64::try_from(HEAD_MAX).unwrap_or(u64::MAX));
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if limited.read_buf(&mut *head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

/// The value of the first such header.
fn authorization(head: &[u8]) -> Option<Zeroizing<String>> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(AUTHORIZATION.len())?;
        let value = std::str::from_utf8(value).ok()?.trim();
        name.eq_ignore_ascii_case(AUTHORIZATION)
            .then(|| Zeroizing::new(value.to_owned()))
    })
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

/// The answer to this head of a request at a face that redirects.
pub(crate) fn redirected(to: &str, head: &[u8]) -> String {
    redirect(to, path(head))
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
    fn a_key_is_found_however_its_header_is_written() {
        for header in [
            "Authorization: Bearer k",
            "AUTHORIZATION:Bearer k ",
            "authorization:\tBearer k",
        ] {
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n");
            assert_eq!(
                authorization(head.as_bytes()).unwrap().as_str(),
                "Bearer k",
                "{header}"
            );
        }
        for without in [
            "GET / HTTP/1.1\r\nx-authorization: k\r\n\r\n",
            "authorization",
            "",
        ] {
            assert!(authorization(without.as_bytes()).is_none());
        }
    }

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
