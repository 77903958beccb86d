//! One server, asked again and again what it accepts.

use std::{io, net::SocketAddr, time::Duration};

use coffer_crypto::random;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    Target,
    hello::{self, Chosen, Hello, RECORD_HEAD, RECORD_MAX, TLS12, TLS13, Version},
    suites::{GROUPS, MORE_GROUPS, Suite},
};

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The suites of TLS 1.2 whose key exchange has a group.
const WITH_GROUP: &[u16] = &[
    0xc02b, 0xc02c, 0xcca9, 0xc02f, 0xc030, 0xcca8, 0xc009, 0xc00a, 0xc013, 0xc014,
];

/// Where a server is.
pub(super) struct Probe<'a> {
    pub(super) target: &'a Target,
    pub(super) address: SocketAddr,
}

impl Probe<'_> {
    /// A connection.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = timeout(CONNECT_MAX, TcpStream::connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Which of these suites are accepted in this version, in the order in which the server chooses them.
    pub(super) async fn suites(
        &self,
        version: Version,
        table: &'static [Suite],
    ) -> io::Result<Vec<&'static Suite>> {
        let groups = GROUPS.iter().map(|(id, _)| *id);
        let groups: Vec<u16> = groups.chain(MORE_GROUPS.iter().copied()).collect();
        let mut rest: Vec<&Suite> = table.iter().collect();
        let mut accepted = Vec::new();
        while !rest.is_empty() {
            let offered: Vec<u16> = rest.iter().map(|suite| suite.id).collect();
            let chosen = self.ask(version, &offered, &groups).await?;
            let place = chosen.and_then(|chosen| {
                let right = chosen.version == version;
                rest.iter()
                    .position(|suite| right && suite.id == chosen.suite)
            });
            let Some(place) = place else {
                break;
            };
            accepted.push(rest.remove(place));
        }
        Ok(accepted)
    }

    /// Whether a key exchange in this group is accepted.
    pub(super) async fn group(&self, version: Version, group: u16) -> io::Result<bool> {
        let suites: &[u16] = if version == TLS13 {
            &[0x1301, 0x1302, 0x1303]
        } else {
            WITH_GROUP
        };
        let chosen = self.ask(version, suites, &[group]).await?;
        Ok(chosen.is_some_and(|chosen| {
            chosen.version == version && (version == TLS12 || chosen.group == Some(group))
        }))
    }

    /// What the server chooses, or nothing when it refuses.
    async fn ask(
        &self,
        version: Version,
        suites: &[u16],
        groups: &[u16],
    ) -> io::Result<Option<Chosen>> {
        let hello = Hello {
            version,
            suites,
            groups,
            host: self.target.name(),
            random: random().map_err(|_| io::Error::other("no randomness"))?,
        };
        let mut stream = self.connect().await?;
        let answered = timeout(ANSWER_MAX, exchange(&mut stream, &hello.record())).await;
        // A server may refuse in many ways: an alert, a reset, silence.
        Ok(answered.ok().and_then(Result::ok).flatten())
    }
}

async fn exchange(stream: &mut TcpStream, record: &[u8]) -> io::Result<Option<Chosen>> {
    stream.write_all(record).await?;
    let mut answer = Vec::with_capacity(1024);
    while answer.len() < RECORD_HEAD + RECORD_MAX {
        if let Some(read) = hello::read(&answer) {
            return Ok(read.ok());
        }
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(None)
}
