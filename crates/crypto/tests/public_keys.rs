//! Public keys: what is one, and what it verifies, by the published vectors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_crypto::{
    Error,
    public_key::{KeyType, PublicKey, generate_pair},
};
use data_encoding::BASE64;

fn base64(text: &str) -> Vec<u8> {
    BASE64.decode(text.as_bytes()).unwrap()
}

/// RFC 9421, B.1.4 and B.2.6.
#[test]
fn ed25519_is_the_one_of_rfc_9421() {
    let key = base64("MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
    let key = PublicKey::from_der(&key).unwrap();
    let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT
\"@method\": POST
\"@path\": /foo
\"@authority\": example.com
\"content-type\": application/json
\"content-length\": 18
\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
    let signature = base64(
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    );
    assert_eq!(key.verify(base.as_bytes(), &signature), Ok(()));
    assert_eq!(
        key.verify(&base.as_bytes()[1..], &signature),
        Err(Error::Refused)
    );
}

/// RFC 9421, B.1.2: RSA with 2048 bits, as that of the other examples.
const RSA_2048: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn a_small_rsa_key_is_none() {
    assert_eq!(PublicKey::from_pem(RSA_2048).err(), Some(Error::Malformed));
}

#[test]
fn what_was_made_reads_back_in_one_way_only() {
    for key_type in [KeyType::Rsa, KeyType::Ed25519] {
        let (private, public) = generate_pair(key_type).unwrap();
        let private = std::str::from_utf8(private.expose()).unwrap();
        assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(private.lines().all(|line| line.len() <= 64));
        let pem = public.pem();
        let again = PublicKey::from_pem(&pem).unwrap();
        assert_eq!((again.key_type(), again.pem()), (key_type, pem.clone()));
        let der = base64(
            &pem.lines()
                .filter(|line| !line.starts_with('-'))
                .collect::<String>(),
        );
        let longer = [der.as_slice(), &[0]].concat();
        for wrong in [&der[..der.len() - 1], &der[1..], &longer, &[]] {
            assert_eq!(PublicKey::from_der(wrong).err(), Some(Error::Malformed));
        }
        assert_eq!(PublicKey::from_pem(private).err(), Some(Error::Malformed));
    }
}
