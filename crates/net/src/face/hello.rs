//! The first message of a TLS handshake, read to learn which host it is for, and kept to be read again by whoever answers.

use std::io;

use bytes::{Bytes, BytesMut};
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The longest that is read; those of browsers have less than 2 KiB.
const HELLO_BYTES_MAX: usize = 16 * 1024;
/// A fatal alert `unrecognized_name` (RFC 6066, 3; RFC 8446, 5.1 and 6).
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// What a client says first.
pub(super) struct Hello {
    /// The host that it wants.
    pub(super) host: Option<String>,
    /// All that was read.
    pub(super) bytes: Bytes,
}

/// Reads it.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Hello> {
    let mut bytes = BytesMut::with_capacity(2 * 1024);
    let mut acceptor = Acceptor::default();
    loop {
        let before = bytes.len();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fresh = bytes.get(before..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let host = accepted.client_hello().server_name().map(str::to_owned);
                let bytes = bytes.freeze();
                return Ok(Hello { host, bytes });
            }
            Ok(None) if bytes.len() < HELLO_BYTES_MAX => {}
            Ok(None) => return Err(io::Error::other("its first message is too long")),
            Err((error, mut alert)) => {
                let mut refusal = Vec::new();
                alert.write_all(&mut refusal)?;
                refuse(stream, &refusal).await?;
                return Err(io::Error::other(error));
            }
        }
    }
}

/// Says that there is no such host here.
pub(super) async fn refuse_host(stream: &mut TcpStream) -> io::Result<()> {
    refuse(stream, &UNRECOGNIZED_NAME).await
}

async fn refuse(stream: &mut TcpStream, alert: &[u8]) -> io::Result<()> {
    stream.write_all(alert).await?;
    stream.shutdown().await
}
