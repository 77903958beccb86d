//! A whole handshake as a modern client makes it, to see the certificate and the first answer.
//!
//! Here alone a certificate that is not valid is accepted, so that it can be described. Nothing is sent but a request for
//! `/` without any credential.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::Target;
use crate::tls::{self, ALPN_HTTP1};

const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(10);
const HEAD_MAX: u64 = 16 * 1024;

/// What the server showed.
#[derive(Default)]
pub(super) struct Peer {
    /// Its certificates (DER), its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// What a client that trusts the roots says to them.
    pub(super) verdict: Option<Error>,
    /// Whether the handshake succeeded.
    pub(super) connected: bool,
    /// The Strict-Transport-Security of its answer.
    pub(super) hsts: Option<String>,
}

/// Connects and looks.
pub(super) async fn look(stream: TcpStream, target: &Target, roots: RootCertStore) -> Peer {
    let Ok(inner) =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build()
    else {
        return Peer::default();
    };
    let recorder = Arc::new(Recorder {
        inner,
        seen: Mutex::default(),
    });
    let outcome = converse(stream, target, Arc::clone(&recorder)).await;
    let seen = crate::lock(&recorder.seen);
    let (chain, verdict) = seen.clone().unwrap_or_default();
    Peer {
        chain,
        verdict,
        connected: outcome.is_ok(),
        hsts: outcome.ok().flatten(),
    }
}

async fn converse(
    stream: TcpStream,
    target: &Target,
    recorder: Arc<Recorder>,
) -> io::Result<Option<String>> {
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(recorder)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    let connecting = TlsConnector::from(Arc::new(config)).connect(target.server_name()?, stream);
    let mut stream = timeout(HANDSHAKE_MAX, connecting).await??;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nuser-agent: coffer-tls-check\r\nconnection: close\r\n\r\n",
        target.authority()
    );
    let answered = timeout(ANSWER_MAX, async {
        stream.write_all(request.as_bytes()).await?;
        head(stream).await
    });
    // A server that speaks something else over TLS is no failure of its TLS.
    Ok(answered
        .await
        .ok()
        .and_then(Result::ok)
        .and_then(|head| hsts(&head)))
}

async fn head(stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    let mut limited = stream.take(HEAD_MAX);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if limited.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

fn hsts(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("strict-transport-security")
            .then(|| value.trim().to_owned())
    })
}

type Seen = (Vec<CertificateDer<'static>>, Option<Error>);

/// Remembers what a strict verifier says, and goes on.
#[derive(Debug)]
struct Recorder {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<Seen>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.inner.verify_server_cert(own, others, name, ocsp, now);
        let chain = std::iter::once(own).chain(others);
        let chain = chain.map(|one| one.clone().into_owned()).collect();
        let mut seen = crate::lock(&self.seen);
        *seen = Some((chain, verdict.err()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
