//! Rules of the internal certificate authority: who gets a certificate, and what it may say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::net::{IpAddr, Ipv4Addr};

use coffer_crypto::pki::{
    Authority, Certificate, CertificateRequest, KeyPair, Profile, inspect, pem_to_der,
};
use coffer_crypto::{Error, SecretBytes};
use rcgen::{CertificateParams, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};

const NOW_S: i64 = 1_795_000_000;
const DAY_S: i64 = 86_400;
const VAULT: &str = "spiffe://coffer/vault/1";

fn authority() -> Authority {
    Authority::create("Coffer internal", NOW_S).unwrap()
}

fn request() -> CertificateRequest {
    KeyPair::generate().unwrap().request().unwrap()
}

fn profile() -> Profile {
    Profile {
        spiffe: Some(VAULT.to_owned()),
        dns: vec!["localhost".to_owned()],
        ips: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        client: true,
        server: true,
        not_before_s: NOW_S,
        not_after_s: NOW_S + 30 * DAY_S,
        serial: [0xff; 16],
    }
}

fn issue(profile: &Profile) -> Result<Certificate, Error> {
    let chain = authority().issue(&request(), profile, NOW_S)?;
    inspect(&pem_to_der(&chain).unwrap()[0])
}

/// The tags around the signed part and the signature are read leniently and decide nothing, so they
/// are the only bytes left out.
#[test]
fn request_with_a_changed_bit_in_contents_or_signature_is_not_accepted() {
    let der = request().as_der().to_vec();
    let (_, parsed) = X509CertificationRequest::from_der(&der).unwrap();
    let contents = parsed.certification_request_info.raw;
    let start = contents.as_ptr().addr() - der.as_ptr().addr();
    // The tag of the contents, too, is signed: the range begins with it.
    let signed = start..start + contents.len();
    let signature = der.len() - parsed.signature_value.data.len()..der.len();
    assert!(signed.len() > 90 && signature.len() > 60);
    for at in signed.chain(signature) {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            let outcome = CertificateRequest::from_der(&changed);
            assert!(outcome.is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn request_with_a_broken_signature_is_refused() {
    let mut der = request().as_der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let outcome = CertificateRequest::from_der(&der);
    assert_eq!(outcome.err(), Some(Error::Refused));
}

#[test]
fn request_with_something_after_it_is_malformed() {
    let mut der = request().as_der().to_vec();
    der.push(0);
    let outcome = CertificateRequest::from_der(&der);
    assert_eq!(outcome.err(), Some(Error::Malformed));
}

#[test]
fn request_with_another_kind_of_key_is_malformed() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let foreign = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let outcome = CertificateRequest::from_der(foreign.der());
        assert_eq!(outcome.err(), Some(Error::Malformed));
    }
}

#[test]
fn names_in_the_request_are_ignored() {
    let key = rcgen::KeyPair::generate().unwrap();
    let wanted = vec!["keys.coffer.localhost".to_owned()];
    let csr = CertificateParams::new(wanted)
        .unwrap()
        .serialize_request(&key)
        .unwrap();
    let request = CertificateRequest::from_der(csr.der()).unwrap();
    let chain = authority().issue(&request, &profile(), NOW_S).unwrap();
    let issued = inspect(&pem_to_der(&chain).unwrap()[0]).unwrap();
    assert_eq!(issued.dns, ["localhost"]);
}

#[test]
fn profile_without_a_name_or_a_use_is_malformed() {
    let nameless = Profile {
        spiffe: None,
        dns: Vec::new(),
        ips: Vec::new(),
        ..profile()
    };
    let useless = Profile {
        client: false,
        server: false,
        ..profile()
    };
    assert_eq!(issue(&nameless), Err(Error::Malformed));
    assert_eq!(issue(&useless), Err(Error::Malformed));
}

#[test]
fn profile_with_an_invalid_name_is_malformed() {
    for spiffe in [
        "",
        "spiffe://",
        "https://coffer/vault/1",
        "spiffe://coffer/vault/1?role=keys",
        "spiffe://coffer/vault/1\n",
        "spiffe://coffer/väult/1",
    ] {
        let wrong = Profile {
            spiffe: Some(spiffe.to_owned()),
            ..profile()
        };
        assert_eq!(issue(&wrong), Err(Error::Malformed), "{spiffe:?}");
    }
    for dns in [
        "",
        "*.coffer.localhost",
        "a b",
        "a..b",
        "läden.example",
        "a\0b",
    ] {
        let wrong = Profile {
            dns: vec![dns.to_owned()],
            ..profile()
        };
        assert_eq!(issue(&wrong), Err(Error::Malformed), "{dns:?}");
    }
}

#[test]
fn profile_with_an_impossible_time_or_serial_is_malformed() {
    let wrong = [
        Profile {
            not_after_s: NOW_S,
            ..profile()
        },
        Profile {
            not_before_s: NOW_S + 31 * DAY_S,
            ..profile()
        },
        Profile {
            not_before_s: -1,
            ..profile()
        },
        Profile {
            not_after_s: NOW_S + 3651 * DAY_S,
            ..profile()
        },
        Profile {
            not_after_s: i64::MAX,
            ..profile()
        },
        Profile {
            serial: [0; 16],
            ..profile()
        },
    ];
    for profile in &wrong {
        assert_eq!(issue(profile), Err(Error::Malformed), "{profile:?}");
    }
}

#[test]
fn authority_out_of_force_issues_nothing() {
    let authority = authority();
    for now_s in [NOW_S - DAY_S, NOW_S + 3651 * DAY_S, i64::MIN, i64::MAX] {
        let outcome = authority.issue(&request(), &profile(), now_s);
        assert_eq!(outcome.err(), Some(Error::Malformed), "{now_s}");
    }
}

#[test]
fn authority_with_an_impossible_name_or_time_is_malformed() {
    let long = "x".repeat(65);
    for (name, now_s) in [
        ("", NOW_S),
        (long.as_str(), NOW_S),
        ("Coffer", i64::MAX),
        ("Coffer", i64::MIN),
    ] {
        let outcome = Authority::create(name, now_s);
        assert_eq!(outcome.err(), Some(Error::Malformed));
    }
}

#[test]
fn authority_is_not_restored_with_a_foreign_key_or_certificate() {
    let one = authority();
    let other = authority();
    let outcome = Authority::restore(one.certificate_pem(), &other.key_secret());
    assert_eq!(outcome.err(), Some(Error::Refused));

    let key = KeyPair::generate().unwrap();
    let leaf = one
        .issue(&key.request().unwrap(), &profile(), NOW_S)
        .unwrap();
    let outcome = Authority::restore(&leaf, &one.key_secret());
    assert_eq!(outcome.err(), Some(Error::Malformed));

    let garbage = SecretBytes::from_vec(vec![1; 121]);
    let outcome = Authority::restore(one.certificate_pem(), &garbage);
    assert_eq!(outcome.err(), Some(Error::Malformed));
}

#[test]
fn names_serial_and_times_survive_inspection() {
    let issued = issue(&profile()).unwrap();
    assert_eq!(issued.spiffe, [VAULT]);
    assert_eq!(issued.dns, ["localhost"]);
    assert_eq!(issued.serial, [0xff; 16]);
    assert_eq!(issued.not_before_s, NOW_S);
    assert_eq!(issued.not_after_s, NOW_S + 30 * DAY_S);
}

#[test]
fn serial_with_leading_zeros_survives_inspection() {
    let mut serial = [0; 16];
    serial[2] = 0x80;
    let issued = issue(&Profile {
        serial,
        ..profile()
    })
    .unwrap();
    assert_eq!(issued.serial, serial);
}

#[test]
fn restored_authority_issues_what_the_first_one_signs() {
    let first = authority();
    let restored = Authority::restore(first.certificate_pem(), &first.key_secret()).unwrap();
    let chain = restored.issue(&request(), &profile(), NOW_S).unwrap();
    let ders = pem_to_der(&chain).unwrap();
    assert_eq!(ders.len(), 2);
    assert_eq!(ders[1], pem_to_der(first.certificate_pem()).unwrap()[0]);
    let (_, leaf) = X509Certificate::from_der(&ders[0]).unwrap();
    let (_, root) = X509Certificate::from_der(&ders[1]).unwrap();
    leaf.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
}

#[test]
fn certificate_says_only_what_its_profile_allows() {
    let server_only = Profile {
        client: false,
        ..profile()
    };
    let chain = authority().issue(&request(), &server_only, NOW_S).unwrap();
    let ders = pem_to_der(&chain).unwrap();
    let (_, leaf) = X509Certificate::from_der(&ders[0]).unwrap();
    let uses = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.server_auth && !uses.client_auth && !uses.any);
    assert!(!leaf.is_ca());
    let (_, root) = X509Certificate::from_der(&ders[1]).unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
}

#[test]
fn inspecting_a_damaged_certificate_is_malformed() {
    let der = pem_to_der(authority().certificate_pem()).unwrap().remove(0);
    for length in 0..der.len() {
        assert_eq!(inspect(&der[..length]), Err(Error::Malformed));
    }
    let mut longer = der;
    longer.push(0);
    assert_eq!(inspect(&longer), Err(Error::Malformed));
}

#[test]
fn file_without_a_certificate_is_malformed() {
    let key = KeyPair::generate().unwrap().pem();
    let key = std::str::from_utf8(key.expose()).unwrap();
    for pem in ["", "nothing", key, "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        assert_eq!(pem_to_der(pem), Err(Error::Malformed));
    }
}

#[test]
fn key_survives_its_file() {
    let key = KeyPair::generate().unwrap();
    let restored = KeyPair::from_pem(&key.pem()).unwrap();
    assert_eq!(key.pem().expose(), restored.pem().expose());
    let garbage = SecretBytes::from_vec(b"-----BEGIN PRIVATE KEY-----".to_vec());
    assert_eq!(KeyPair::from_pem(&garbage).err(), Some(Error::Malformed));
}
