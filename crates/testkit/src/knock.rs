//! A stranger at the door of a link: any certificate or none, any version of TLS; or at a face, to send what no client does.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};

/// The beginning of every HTTP/2 connection, with an empty frame of settings (RFC 9113 sections 3.4 and 6.5).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The place of the type in a frame, and the type of settings.
const SETTINGS: (usize, u8) = (3, 4);
const PATIENCE: Duration = Duration::from_secs(20);

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// 1.2
    V12,
    /// 1.3
    V13,
}

/// What came of knocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knocked {
    /// The knocker's port, by which a log knows it.
    pub port: u16,
    /// Whether the other side let it in: it spoke HTTP/2.
    pub admitted: bool,
}

/// Knocks with a certificate (chain and key, PEM) or without.
///
/// # Panics
/// When nobody listens there, or nothing comes of it in time.
pub async fn knock(address: SocketAddr, certificate: Option<(&str, &str)>, tls: Tls) -> Knocked {
    let tcp = TcpStream::connect(address).await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let version = match tls {
        Tls::V12 => &TLS12,
        Tls::V13 => &TLS13,
    };
    let connector = TlsConnector::from(Arc::new(config(certificate, version)));
    let name = ServerName::try_from("role.coffer.internal").unwrap();
    let spoken = async {
        let mut tls = connector.connect(name, tcp).await?;
        speak(&mut tls).await
    };
    let spoken = timeout(PATIENCE, spoken)
        .await
        .expect("an answer or a refusal");
    Knocked {
        port,
        admitted: spoken.unwrap_or(false),
    }
}

/// The certificate (DER) that is presented to whoever asks for this host, if any is. Nobody checks it here.
///
/// # Panics
/// When nobody listens there, or nothing comes of it in time.
pub async fn presented(address: SocketAddr, host: &str) -> Option<Vec<u8>> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config(None, &TLS13)));
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let handshake = timeout(PATIENCE, connector.connect(name, tcp)).await;
    let tls = handshake.expect("an answer or a refusal").ok()?;
    let (_, session) = tls.get_ref();
    Some(session.peer_certificates()?.first()?.to_vec())
}

/// Whether settings are answered. With TLS 1.3 a client learns only by reading that its certificate is refused.
async fn speak(tls: &mut TlsStream<TcpStream>) -> io::Result<bool> {
    tls.write_all(HELLO).await?;
    tls.flush().await?;
    let mut frame = [0; 9];
    tls.read_exact(&mut frame).await?;
    Ok(frame[SETTINGS.0] == SETTINGS.1)
}

/// A connection that asks for this host and speaks this protocol, to send it whatever bytes one likes.
///
/// # Errors
/// When the other side does not want it.
///
/// # Panics
/// When the host is none.
pub async fn dial(
    address: SocketAddr,
    host: &str,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let mut config = config(None, &TLS13);
    config.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

fn config(
    certificate: Option<(&str, &str)>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnyone));
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A stranger does not mind who opens.
#[derive(Debug)]
struct TrustAnyone;

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
