//! Certificates say what the authority wrote down about their holder, and nothing that the holder wishes.

use coffer_crypto::pki::KeyPair;
use coffer_keys::{CERTIFICATE_LIFETIME_MS, Error};
use coffer_net::contract::{Peer, Refusal, Role, keys::Renew};

use crate::fixture::{Fixture, Service as _, leaf, refused, serial};

fn request() -> Vec<u8> {
    KeyPair::generate()
        .unwrap()
        .request()
        .unwrap()
        .as_der()
        .to_vec()
}

async fn renew(fixture: &Fixture, peer: &Peer) -> Option<Refusal> {
    refused(
        fixture
            .keys
            .service()
            .renew(peer, Renew { request: request() })
            .await,
    )
}

#[tokio::test]
async fn renewing_cannot_change_role_or_instance() {
    let fixture = Fixture::new().await;
    let other_role = Peer {
        role: Role::Vault,
        ..fixture.api.clone()
    };
    assert_eq!(
        renew(&fixture, &other_role).await,
        Some(Refusal::CertificateRefused)
    );
    let other_instance = Peer {
        instance: "vault-2".to_owned(),
        ..fixture.vault.clone()
    };
    assert_eq!(
        renew(&fixture, &other_instance).await,
        Some(Refusal::CertificateRefused)
    );
    let unknown = Peer {
        serial: "00".repeat(16),
        ..fixture.vault.clone()
    };
    assert_eq!(
        renew(&fixture, &unknown).await,
        Some(Refusal::CertificateRefused)
    );
}

#[tokio::test]
async fn a_revoked_certificate_or_a_broken_request_is_not_renewed() {
    let fixture = Fixture::new().await;
    let broken = fixture
        .keys
        .service()
        .renew(
            &fixture.vault,
            Renew {
                request: vec![1, 2, 3],
            },
        )
        .await;
    assert_eq!(refused(broken), Some(Refusal::CertificateRefused));
    fixture
        .keys
        .revoke_certificate(&fixture.vault.serial)
        .await
        .unwrap();
    assert_eq!(
        renew(&fixture, &fixture.vault).await,
        Some(Refusal::CertificateRefused)
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_the_same_but_younger() {
    let fixture = Fixture::new().await;
    fixture.clock.advance(CERTIFICATE_LIFETIME_MS / 2);
    let chain = fixture
        .keys
        .service()
        .renew(&fixture.vault, Renew { request: request() })
        .await
        .unwrap()
        .chain_pem;
    let renewed = leaf(&chain);
    assert_eq!(renewed.spiffe, ["spiffe://coffer/vault/vault-1"]);
    assert_eq!(renewed.dns, ["vault.example"]);
    let until = fixture.clock.now().plus_millis(CERTIFICATE_LIFETIME_MS);
    assert_eq!(renewed.not_after_s, until.as_seconds());
    let peer = Peer {
        serial: serial(&chain),
        ..fixture.vault.clone()
    };
    assert_eq!(
        renew(&fixture, &peer).await,
        None,
        "it can be renewed in its turn"
    );
    assert_eq!(fixture.recorded("certificate.renew").await, 2);
}

#[tokio::test]
async fn a_name_that_no_certificate_can_carry_is_refused() {
    let fixture = Fixture::new().await;
    let request = KeyPair::generate().unwrap().request().unwrap();
    for (instance, name) in [
        ("", "a.example"),
        ("a/b", "a.example"),
        ("a", "*.example"),
        ("a", "two words"),
    ] {
        let names = [name.to_owned()];
        let outcome = fixture
            .keys
            .issue_certificate(Role::Vault, instance, &names, &request, 1_000_000)
            .await;
        assert_eq!(
            outcome,
            Err(Error::Refused(Refusal::CertificateRefused)),
            "{instance} {name}"
        );
    }
}
