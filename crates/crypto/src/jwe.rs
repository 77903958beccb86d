//! JSON Web Encryption in its compact form (RFC 7516): the content under a key of its own by A256GCM, that key by RSA-OAEP-256
//! (RFC 7518, 5.3 and 4.3).

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, RandomizedNonceKey},
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use data_encoding::BASE64URL_NOPAD;

use crate::{
    Error,
    public_key::{KeyType, PublicKey},
    random_secret,
};

/// What is said of a message beside its algorithms: words of ours, never anything foreign.
#[derive(Clone, Copy)]
pub struct JweHeader<'a> {
    /// Which key it is encrypted to.
    pub key_id: &'a str,
    /// What the content is, without `application/` (RFC 7516, 4.1.12).
    pub content_type: &'a str,
}

/// Encrypts to an RSA key, in a way that only its owner can undo.
///
/// # Errors
/// [`Error::Malformed`] for a key of another type; [`Error::Unavailable`] when the machine has no randomness to give.
pub fn jwe_encrypt(
    key: &PublicKey,
    header: JweHeader<'_>,
    content: &[u8],
) -> Result<String, Error> {
    if key.key_type() != KeyType::Rsa {
        return Err(Error::Malformed);
    }
    let JweHeader {
        key_id,
        content_type,
    } = header;
    let header = format!(
        r#"{{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"{key_id}","cty":"{content_type}"}}"#
    );
    let header = BASE64URL_NOPAD.encode(header.as_bytes());
    let content_key = random_secret()?;
    // Exposed to be encrypted to the receiver.
    let wrapped = wrap(key, content_key.expose())?;
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, content_key.expose())
        .map_err(|_| Error::Unavailable)?;
    let mut sealed = content.to_vec();
    let aad = Aad::from(header.as_bytes());
    let (nonce, tag) = cipher
        .seal_in_place_separate_tag(aad, &mut sealed)
        .map_err(|_| Error::Unavailable)?;
    let parts = [wrapped.as_slice(), nonce.as_ref(), &sealed, tag.as_ref()];
    Ok(parts.iter().fold(header, |mut text, part| {
        text.push('.');
        BASE64URL_NOPAD.encode_append(part, &mut text);
        text
    }))
}

fn wrap(key: &PublicKey, content_key: &[u8]) -> Result<Vec<u8>, Error> {
    let receiver = PublicEncryptingKey::from_der(key.der())
        .and_then(|key| Ok(OaepPublicEncryptingKey::new(key)?));
    let receiver = receiver.map_err(|_| Error::Malformed)?;
    let mut wrapped = vec![0; receiver.ciphertext_size()];
    receiver
        .encrypt(&OAEP_SHA256_MGF1SHA256, content_key, &mut wrapped, None)
        .map_err(|_| Error::Unavailable)?;
    Ok(wrapped)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        aead::{LessSafeKey, Nonce, UnboundKey},
        encoding::AsDer as _,
        rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };

    use super::*;

    fn decoded(part: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()
    }

    /// The content of a message, by its content key (RFC 7516, 5.2).
    fn content(content_key: &[u8], message: &str) -> Option<String> {
        let parts: Vec<&str> = message.split('.').collect();
        let [header, _, nonce, sealed, tag] = parts.as_slice() else {
            panic!("{message}")
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&decoded(nonce)).unwrap();
        let mut sealed = [decoded(sealed), decoded(tag)].concat();
        let opened = key.open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed);
        opened
            .ok()
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// RFC 7516, A.1: what is around the content is as it is here; its content key is encrypted by RSA-OAEP with SHA-1.
    #[test]
    fn the_content_is_sealed_as_in_rfc_7516() {
        let key = [
            177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7,
            110, 91, 112, 46, 34, 105, 47, 130, 203, 46, 122, 234, 64, 252,
        ];
        let message = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AA.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A.XFBoMYUZodetZdvTiFvSkQ";
        let text = "The true sign of intelligence is not knowledge but imagination.";
        assert_eq!(content(&key, message).as_deref(), Some(text));
    }

    #[test]
    fn only_the_receiver_reads_it_and_only_with_its_header() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap();
        let public = private.public_key().as_der().unwrap();
        let key = PublicKey::from_der(public.as_ref()).unwrap();
        let header = JweHeader {
            key_id: "sigkey_1",
            content_type: "json",
        };
        let message = jwe_encrypt(&key, header, b"{\"id\":1}").unwrap();
        let again = jwe_encrypt(&key, header, b"{\"id\":1}").unwrap();
        assert!(
            message
                .split('.')
                .zip(again.split('.'))
                .skip(1)
                .all(|(one, other)| one != other)
        );
        let (head, rest) = message.split_once('.').unwrap();
        let expected = r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"sigkey_1","cty":"json"}"#;
        assert_eq!(decoded(head), expected.as_bytes());
        let wrapped = decoded(rest.split('.').next().unwrap());
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut room = vec![0; private.min_output_size()];
        let content_key = private
            .decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped, &mut room, None)
            .unwrap();
        assert_eq!(
            content(content_key, &message).as_deref(),
            Some("{\"id\":1}")
        );
        let other = BASE64URL_NOPAD.encode(expected.replace("_1", "_2").as_bytes());
        assert_eq!(content(content_key, &format!("{other}.{rest}")), None);
    }

    #[test]
    fn a_key_that_only_signs_receives_nothing() {
        let (_, key) = crate::public_key::generate_pair(KeyType::Ed25519).unwrap();
        let header = JweHeader {
            key_id: "sigkey_1",
            content_type: "json",
        };
        assert_eq!(jwe_encrypt(&key, header, b"").err(), Some(Error::Malformed));
    }
}
