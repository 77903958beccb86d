//! Public keys whose private half somebody else keeps: what they signed is verified, and answers are encrypted to them.
//!
//! Two types and no others: RSA from 3072 to 4096 bits (RFC 8017; signatures are RSASSA-PSS with SHA-512 and a salt as long as its
//! hash), and Ed25519 (RFC 8032).

use std::ops::RangeInclusive;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{self, KeySize, PublicEncryptingKey},
    signature::{
        ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PSS_2048_8192_SHA512,
        RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use data_encoding::{BASE64, HEXLOWER};
use x509_parser::{
    prelude::FromDer as _, public_key::PublicKey as Parsed, x509::SubjectPublicKeyInfo,
};
use zeroize::Zeroizing;

use crate::{Error, SecretBytes, digest};

/// What is strong enough for years (NIST SP 800-57), and what is verified in tens of microseconds.
const RSA_BITS: RangeInclusive<usize> = 3072..=4096;
/// The smallest public exponent (FIPS 186-5, A.1.1): 65537.
const RSA_EXPONENT_MIN: u32 = 65_537;
/// What stands before an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, 4).
const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ED25519_LEN: usize = 32;
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";
/// Characters in a line of PEM (RFC 7468, 3).
const PEM_LINE: usize = 64;

/// What a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Signs, and is encrypted to.
    Rsa,
    /// Signs.
    Ed25519,
}

/// A public key that was read completely and in one way.
pub struct PublicKey {
    key_type: KeyType,
    /// Its SubjectPublicKeyInfo.
    der: Box<[u8]>,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// The key in a SubjectPublicKeyInfo (RFC 5280, DER).
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is of another type or size, or not in its canonical form.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let key_type = match der.strip_prefix(&ED25519_PREFIX) {
            Some(key) if key.len() == ED25519_LEN => KeyType::Ed25519,
            Some(_) => return Err(Error::Malformed),
            None => check_rsa(der).map(|()| KeyType::Rsa)?,
        };
        let parsed = ParsedPublicKey::new(algorithm(key_type), der);
        Ok(Self {
            key_type,
            der: der.into(),
            parsed: parsed.map_err(|_| Error::Malformed)?,
        })
    }

    /// The key in a PEM text with one section, `PUBLIC KEY` (RFC 7468, 13).
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let inside = text
            .trim_ascii()
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"));
        let mut base64 = inside.ok_or(Error::Malformed)?.to_owned();
        base64.retain(|symbol| !symbol.is_ascii_whitespace());
        let der = BASE64.decode(base64.as_bytes());
        Self::from_der(&der.map_err(|_| Error::Malformed)?)
    }

    /// The RSA key with this modulus and public exponent, big-endian (RFC 7518, 6.3.1).
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, Error> {
        let components = RsaPublicKeyComponents {
            n: modulus,
            e: exponent,
        };
        let der = components.as_der().map_err(|_| Error::Malformed)?;
        Self::from_der(der.as_ref())
    }

    /// The Ed25519 key of these 32 bytes (RFC 8037, 2).
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn ed25519(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_der(&[&ED25519_PREFIX, bytes].concat())
    }

    /// What it can do.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// As PEM, for storing and publishing.
    #[must_use]
    pub fn pem(&self) -> String {
        String::from_utf8_lossy(&pem(PUBLIC, &self.der)).into_owned()
    }

    /// The SHA-256 of its DER in hexadecimal, by which people compare keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&digest(&[&self.der]))
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not this key's signature of this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let verified = self.parsed.verify_sig(message, signature);
        verified.map_err(|_| Error::Refused)
    }
}

fn algorithm(key_type: KeyType) -> &'static dyn VerificationAlgorithm {
    match key_type {
        KeyType::Rsa => &RSA_PSS_2048_8192_SHA512,
        KeyType::Ed25519 => &ED25519,
    }
}

fn check_rsa(der: &[u8]) -> Result<(), Error> {
    let key = PublicEncryptingKey::from_der(der).map_err(|_| Error::Malformed)?;
    let canonical = key.as_der().map_err(|_| Error::Malformed)?;
    let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| Error::Malformed)?;
    let exponent = match info.parsed() {
        Ok(Parsed::RSA(key)) => key.try_exponent(),
        Ok(_) | Err(_) => return Err(Error::Malformed),
    };
    let is_strong = RSA_BITS.contains(&key.key_size_bits())
        && exponent.is_ok_and(|exponent| exponent >= u64::from(RSA_EXPONENT_MIN));
    if is_strong && canonical.as_ref() == der {
        Ok(())
    } else {
        Err(Error::Malformed)
    }
}

/// A new pair: the private half as PEM (PKCS #8, RFC 5958), and the public one. RSA has 3072 bits, and takes a good part of a
/// second.
///
/// # Errors
/// [`Error::Unavailable`] when the machine has no randomness or memory to give.
pub fn generate_pair(key_type: KeyType) -> Result<(SecretBytes, PublicKey), Error> {
    let (private, public) = match key_type {
        KeyType::Rsa => {
            let pair = rsa::KeyPair::generate(KeySize::Rsa3072).map_err(|_| Error::Unavailable)?;
            let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Unavailable)?;
            let public = pair.public_key().as_der();
            let public = public.map_err(|_| Error::Unavailable)?;
            (
                pem(PRIVATE, private.as_ref()),
                PublicKey::from_der(public.as_ref())?,
            )
        }
        KeyType::Ed25519 => {
            let pair = Ed25519KeyPair::generate().map_err(|_| Error::Unavailable)?;
            // Version 1, which every library reads; the public half can be computed.
            let private = pair.to_pkcs8v1().map_err(|_| Error::Unavailable)?;
            let public = PublicKey::ed25519(pair.public_key().as_ref())?;
            (pem(PRIVATE, private.as_ref()), public)
        }
    };
    Ok((SecretBytes::from_zeroizing(private), public))
}

/// In a buffer that does not grow, as it may be secret.
fn pem(label: &str, der: &[u8]) -> Zeroizing<Vec<u8>> {
    let base64 = Zeroizing::new(BASE64.encode(der));
    let lines = base64.len().div_ceil(PEM_LINE);
    let around = label.len().saturating_mul(2).saturating_add(40);
    let room = base64.len().saturating_add(lines).saturating_add(around);
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| text.extend_from_slice(part));
        text.push(b'\n');
    };
    line(&[b"-----BEGIN ", label.as_bytes(), b"-----"]);
    base64
        .as_bytes()
        .chunks(PEM_LINE)
        .for_each(|part| line(&[part]));
    line(&[b"-----END ", label.as_bytes(), b"-----"]);
    text
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{rand::SystemRandom, signature::RSA_PSS_SHA512};

    use super::*;

    /// RFC 9421, B.1.2 and B.2.3. The key is too small to be registered, so only the algorithm is tried.
    #[test]
    fn rsa_pss_is_the_one_of_rfc_9421() {
        let key = BASE64.decode(
            b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB",
        );
        let signature = BASE64.decode(
            b"bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
        );
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT
\"@method\": POST
\"@path\": /foo
\"@query\": ?param=Value&Pet=dog
\"@authority\": example.com
\"content-type\": application/json
\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
\"content-length\": 18
\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"";
        let parsed = ParsedPublicKey::new(algorithm(KeyType::Rsa), key.unwrap()).unwrap();
        let (base, signature) = (base.as_bytes(), signature.unwrap());
        assert!(parsed.verify_sig(base, &signature).is_ok());
        assert!(parsed.verify_sig(&base[1..], &signature).is_err());
    }

    #[test]
    fn a_signature_is_of_one_message_one_key_and_one_algorithm() {
        let pair = rsa::KeyPair::generate(KeySize::Rsa3072).unwrap();
        let public = PublicKey::from_der(pair.public_key().as_der().unwrap().as_ref()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PSS_SHA512, &random, b"message", &mut signature)
            .unwrap();
        assert_eq!(public.verify(b"message", &signature), Ok(()));
        assert_eq!(public.verify(b"Message", &signature), Err(Error::Refused));
        let (_, other) = generate_pair(KeyType::Rsa).unwrap();
        assert_eq!(other.verify(b"message", &signature), Err(Error::Refused));
        let pkcs1 = &aws_lc_rs::signature::RSA_PKCS1_SHA512;
        pair.sign(pkcs1, &random, b"message", &mut signature)
            .unwrap();
        assert_eq!(public.verify(b"message", &signature), Err(Error::Refused));
    }

    #[test]
    fn an_rsa_key_that_is_small_large_or_has_a_small_exponent_is_none() {
        let modulus = |bits: usize| {
            let mut bytes = vec![0xc5; bits / 8];
            bytes[bits / 8 - 1] = 0x01;
            bytes
        };
        for (bits, exponent, taken) in [
            (3072, &[1, 0, 1][..], true),
            (4096, &[1, 0, 1], true),
            (2048, &[1, 0, 1], false),
            (3064, &[1, 0, 1], false),
            (4104, &[1, 0, 1], false),
            (3072, &[3], false),
        ] {
            let key = PublicKey::rsa(&modulus(bits), exponent);
            assert_eq!(key.is_ok(), taken, "{bits} {exponent:?}");
        }
    }
}
