//! Port 80: an authority's challenge files, and for everything else what the faces themselves say to plain HTTP.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpListener, TcpStream};

use super::Challenges;
use crate::{
    Tasks,
    accept::{Accepted, Acceptor},
    face::{
        PlainPolicy,
        plain_http::{self, Reply},
    },
};

/// Authorities, and people who typed a host without https.
const CONNECTIONS_MAX: usize = 256;
const CHALLENGES: &str = "/.well-known/acme-challenge/";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n";

/// A face by the host under which people know it.
#[derive(Clone)]
pub struct Site {
    /// The host, without a port.
    pub host: String,
    /// What its face says to plain HTTP.
    pub plain: PlainPolicy,
}

/// Serves until the process stops.
pub async fn serve_plain(
    listener: TcpListener,
    challenges: Challenges,
    sites: Vec<Site>,
    tasks: Tasks,
) {
    let acceptor = Acceptor::new(listener, CONNECTIONS_MAX, tasks.clone());
    let sites: Arc<[Site]> = sites.into();
    while let Some(Accepted {
        stream,
        peer,
        _room,
    }) = acceptor.next().await
    {
        let (challenges, sites) = (challenges.clone(), Arc::clone(&sites));
        tasks.spawn("plain connection", async move {
            if let Err(error) = answer(stream, peer, &challenges, &sites).await {
                tracing::debug!(%error, peer.address = %peer, "a plain connection ended");
            }
            drop(_room);
        });
    }
}

async fn answer(
    mut stream: TcpStream,
    peer: SocketAddr,
    challenges: &Challenges,
    sites: &[Site],
) -> io::Result<()> {
    let head = plain_http::head(&mut stream).await?;
    plain_http::respond(stream, reply_of(&head, peer, challenges, sites)).await
}

fn reply_of(head: &[u8], peer: SocketAddr, challenges: &Challenges, sites: &[Site]) -> Reply {
    let lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii());
    let mut lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
    let request = lines.next().unwrap_or_default();
    let token = request
        .strip_prefix("GET ")
        .and_then(|rest| rest.split(' ').next())
        .and_then(|path| path.strip_prefix(CHALLENGES));
    if let Some(token) = token {
        let found = challenges.authorization(token);
        return Reply::of(found.map_or_else(|| NOT_FOUND.to_owned(), |text| file(&text)));
    }
    let host = lines.find_map(host).unwrap_or_default();
    let site = sites
        .iter()
        .find(|site| site.host.eq_ignore_ascii_case(host));
    site.map_or_else(
        || Reply::of(NOT_FOUND.to_owned()),
        |site| plain_http::reply_of(&site.plain, head, peer),
    )
}

/// The host of a Host header, without its port.
fn host(line: &str) -> Option<&str> {
    let (name, value) = line.split_once(':')?;
    let value = Some(value.trim()).filter(|_| name.eq_ignore_ascii_case("host"))?;
    let port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    let without_port = value.rsplit_once(':').filter(port);
    Some(without_port.map_or(value, |(host, _)| host))
}

fn file(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(request: &str) -> String {
        let challenges = Challenges::default();
        challenges.put_http("token", "token.thumb");
        let site = |host: &str, plain| Site {
            host: host.to_owned(),
            plain,
        };
        let page = "about:blank".to_owned();
        let to = "pay.test".to_owned();
        let sites = [
            site(
                "api.test",
                PlainPolicy::Refuse403 {
                    page,
                    overheard: None,
                },
            ),
            site("pay.test", PlainPolicy::Redirect308 { to }),
        ];
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let reply = reply_of(request.as_bytes(), peer, &challenges, &sites);
        reply.text.strip_prefix("HTTP/1.1 ").unwrap().to_owned()
    }

    #[test]
    fn nothing_is_served_but_open_challenges() {
        let path = "/.well-known/acme-challenge";
        let open = answered(&format!("GET {path}/token HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert!(open.starts_with("200") && open.ends_with("token.thumb"));
        for other in ["", "/", "/tokens", "/../token", "/token?x"] {
            let answer = answered(&format!("GET {path}{other} HTTP/1.1\r\nhost: x\r\n\r\n"));
            assert!(answer.starts_with("404"), "{other}: {answer}");
        }
        let posted = answered(&format!("POST {path}/token HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert!(posted.starts_with("404"), "{posted}");
    }

    #[test]
    fn a_known_host_gets_what_its_face_says_and_no_other_is_redirected() {
        let to = |host: &str| answered(&format!("GET /c/1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(to("api.test:80").starts_with("403"));
        let page = to("PAY.test");
        assert!(page.starts_with("308") && page.contains("location: https://pay.test/c/1\r\n"));
        for unknown in ["evil.test", "", "pay.test.evil.test", "[::1]:80"] {
            assert!(to(unknown).starts_with("404"), "{unknown}");
        }
        assert!(answered("\u{0}\u{1}").starts_with("404"));
    }
}
