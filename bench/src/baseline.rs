//! The bare minimum of what Coffer's faces are made of: axum behind rustls, one fixed answer, no check; and in the same way
//! the least that a payment provider can be. This program runs itself again with [`COMMAND`] to serve it.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    http::header::CONTENT_TYPE,
    routing::{get, post},
    serve::Listener,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The first argument of the program when it is to be the baseline; then come address, certificate and key.
pub(crate) const COMMAND: &str = "serve-bare-axum";

const ANSWER: &str = r#"{"account":"acct_00000000000000000000000000","mode":"test"}"#;

/// What the simulator's protocol calls an approval.
const APPROVAL: &str = r#"{"id":"bare_1","status":"approved"}"#;

/// Serves until the process is ended.
pub(crate) async fn serve(address: &str, chain: &Path, key: &Path) {
    let chain = CertificateDer::pem_file_iter(chain).expect("a chain");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a chain");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let listener = Tls {
        tcp: TcpListener::bind(address).await.expect("the address"),
        tls: TlsAcceptor::from(Arc::new(tls)),
    };
    let answer = async || ([(CONTENT_TYPE, "application/json")], ANSWER);
    // The body is read, as a provider would have to.
    let approve = async |_: Bytes| ([(CONTENT_TYPE, "application/json")], APPROVAL);
    let app = Router::new()
        .route("/v1/ping", get(answer))
        .route("/v1/authorizations", post(approve));
    axum::serve(listener, app).await.expect("serving");
}

struct Tls {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, peer)) = self.tcp.accept().await else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            // One after another, which is enough for connections that stay. Whoever only looks whether this listens
            // hangs up.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
