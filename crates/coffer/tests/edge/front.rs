//! One address for all faces: the host in the handshake decides, and the vault's connections are passed on unopened.

use std::fs;

use coffer_testkit::{Coffer, dial};
use tokio::io::AsyncWriteExt as _;

use crate::{BINARY, rest};

/// With a listener before all faces.
async fn with_front() -> Coffer {
    Coffer::start_prepared(BINARY, async |installation| {
        let path = installation.directory().join("coffer.toml");
        let settings = fs::read_to_string(&path).unwrap();
        let listen = "[faces]\nlisten = \"127.0.0.1:0\"\n";
        fs::write(&path, settings.replace("[faces]\n", listen)).unwrap();
    })
    .await
}

async fn get(coffer: &Coffer, host: &str, path: &str) -> std::io::Result<(String, Vec<u8>)> {
    let mut tls = dial(coffer.address("front"), host, b"http/1.1").await?;
    let certificate = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    Ok((rest(&mut tls).await, certificate))
}

#[tokio::test]
async fn every_face_is_reached_at_one_address_and_the_vault_keeps_its_own_key() {
    let coffer = with_front().await;
    let mut certificates = Vec::new();
    for (host, path, says) in [
        ("api.coffer.localhost", "/openapi.json", "\"openapi\""),
        ("localhost", "/openapi.json", "\"openapi\""),
        ("pay.coffer.localhost", "/robots.txt", "Disallow"),
        (
            "fields.coffer.localhost",
            "/.well-known/payment-fields.json",
            "fields.",
        ),
    ] {
        let (answer, certificate) = get(&coffer, host, path).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains(says),
            "{host}: {answer}"
        );
        certificates.push(certificate);
    }
    assert_eq!(certificates[0], certificates[2]);
    assert_ne!(
        certificates[0], certificates[3],
        "the api shows the vault's certificate"
    );
    for host in ["evil.test", "dashboard.coffer.localhost", "127.0.0.1"] {
        let refused = get(&coffer, host, "/").await.unwrap_err();
        assert!(
            refused.to_string().contains("UnrecognisedName"),
            "{host}: {refused}"
        );
    }
    let pay = dial(coffer.address("front"), "pay.coffer.localhost", b"http/1.1");
    let mut pay = pay.await.unwrap();
    let request = "GET /openapi.json HTTP/1.1\r\nhost: api.coffer.localhost\r\n\r\n";
    pay.write_all(request.as_bytes()).await.unwrap();
    let misplaced = rest(&mut pay).await;
    assert!(misplaced.starts_with("HTTP/1.1 400 "), "{misplaced}");
}
