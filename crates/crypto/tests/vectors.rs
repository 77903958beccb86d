//! Published vectors, and values computed once with other implementations (pyca/cryptography and the
//! reference Argon2), which pin the stored formats: a change here makes old data unreadable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use coffer_crypto::{
    Context, Key, MacKey, SecretBytes, SigningKey, Stretch, digest, mac, mac_bytes, open, stretch,
    unwrap,
};
use data_encoding::HEXLOWER;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn counting_key() -> Key {
    Key::from_slice(&(0..32).collect::<Vec<u8>>()).unwrap()
}

fn context() -> Context {
    Context::new("test/record")
        .text("acct_1")
        .number(-7)
        .bytes(&[0x00, 0xff])
}

#[test]
fn context_encoding_is_fixed() {
    let expected = "01000000000000000b746573742f7265636f7264010000000000000006616363745f31\
                    020000000000000008fffffffffffffff903000000000000000200ff";
    assert_eq!(context().as_bytes(), hex(expected));
}

#[test]
fn value_sealed_elsewhere_opens() {
    let sealed = hex("016465666768696a6b6c6d6e6f02559ff9f7b297a1497b30a77c3b38c031dbf7c15cd58077");
    let opened = open(&counting_key(), &context(), &sealed).unwrap();
    assert_eq!(opened.expose(), b"4 apples");
}

#[test]
fn key_wrapped_elsewhere_unwraps() {
    let wrapped = hex(
        "026465666768696a6b6c6d6e6fb83c63ccc4eefae8de2d0e35300d461708dd842441ef76547c53dbe6\
         39894ac52637755dd869aef525920fb9b7c9ab8b",
    );
    let key = unwrap(&counting_key(), &context(), &wrapped).unwrap();
    assert_eq!(key.expose(), &[9; 32]);
}

#[test]
fn derivation_is_hkdf_sha256() {
    let expected = hex("bff23a828f2838b484a202a8acafc9685f4bc79459a81fb70a1769ac8d844cdf");
    assert_eq!(counting_key().derive(&context()).expose()[..], expected);
}

#[test]
fn mac_is_hmac_sha256_of_the_context() {
    let expected = hex("31f84918ca8c65a4a18658ff010288b49e02c26b904a21205eb6e6e8ac210d49");
    assert_eq!(mac(&counting_key(), &context()).as_bytes()[..], expected);
    let prepared = MacKey::new(&counting_key());
    for _ in 0..2 {
        assert_eq!(prepared.mac(&context()).as_bytes()[..], expected);
    }
}

#[test]
fn stretching_is_argon2id() {
    let salt: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let passphrase = SecretBytes::from_vec(b"correct horse".to_vec());
    let key = stretch(&passphrase, &salt, Stretch::QUICK).unwrap();
    let expected = hex("d00b90c40f918cf889780d7d3a9ec3c2b1719df87dc5e4d4d93ea6163db04e17");
    assert_eq!(key.expose()[..], expected);
}

#[test]
fn hmac_of_rfc_4231() {
    let long_key = [0xaa; 131];
    let cases: [(&[u8], &[u8], &str); 4] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            &long_key,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, message, expected) in cases {
        assert_eq!(mac_bytes(key, &[message]).as_bytes()[..], hex(expected));
    }
}

#[test]
fn sha256_of_fips_180() {
    let expected = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(digest(&[b"a", b"bc"])[..], expected);
    let empty = hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(digest(&[])[..], empty);
}

#[test]
fn ed25519_of_rfc_8032() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
             c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e\
             458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    for (seed, public, message, signature) in cases {
        let key = SigningKey::from_seed(&Key::from_slice(&hex(seed)).unwrap()).unwrap();
        assert_eq!(key.public().as_bytes()[..], hex(public));
        assert_eq!(key.sign(&hex(message))[..], hex(signature));
        let outcome = key.public().verify(&hex(message), &hex(signature));
        assert_eq!(outcome, Ok(()));
    }
}
