//! A client's assertion as it is sent: a JSON Web Signature (RFC 7515, compact) with claims (RFC 7519, 7523), read in one way. Nothing
//! is verified here but what it says, and to whom.

use std::fmt;

use coffer_core::{
    Timestamp,
    id::{ApiKeyId, SigningKeyId},
    limits::{CLIENT_ASSERTION_MAX, NONCE_LEN},
    signing_key::SignatureAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

/// How an assertion may be signed (RFC 7518, 3.5; RFC 8037, 3.1; RFC 9864, 2.2), and by which keys. Nothing symmetric, and not `none`.
pub const ASSERTION_ALGORITHMS: [(&str, SignatureAlgorithm); 3] = [
    ("PS512", SignatureAlgorithm::RsaPssSha512),
    ("EdDSA", SignatureAlgorithm::Ed25519),
    ("Ed25519", SignatureAlgorithm::Ed25519),
];
/// What a header may say that it is (RFC 7519, 5.1). Another type's signature is made for something else (RFC 8725, 3.11).
const TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];
/// What would change how an assertion is verified, or with which key: that is decided here alone (RFC 8725, 3.10).
const REFUSED: [&str; 6] = ["crit", "b64", "jwk", "jku", "x5c", "x5u"];

/// What is wrong with an assertion, in a sentence that says what to do.
type Wrong = &'static str;

/// An assertion as it is presented.
pub(crate) struct Assertion<'a> {
    /// By which key.
    pub(crate) key: SigningKeyId,
    pub(crate) algorithm: SignatureAlgorithm,
    /// Who says that he is one, and whom he is.
    pub(crate) client: ApiKeyId,
    pub(crate) expires: Timestamp,
    pub(crate) issued: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    /// What makes it count once.
    pub(crate) id: String,
    /// What was signed.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

impl<'a> Assertion<'a> {
    /// Reads an assertion that was made for one of these.
    pub(crate) fn read(text: &'a str, audiences: &[&str]) -> Result<Self, Wrong> {
        const COMPACT: Wrong =
            "client_assertion has to be a compact JWS: header, claims and signature.";
        if text.len() > CLIENT_ASSERTION_MAX {
            return Err("client_assertion is longer than 4096 characters.");
        }
        let (message, signature) = text.rsplit_once('.').ok_or(COMPACT)?;
        let (header, claims) = message.split_once('.').ok_or(COMPACT)?;
        let Members(header) = Members::read(header)
            .ok_or("The header has to be one JSON object in base64url, no member twice.")?;
        let Members(claims) = Members::read(claims)
            .ok_or("The claims have to be one JSON object in base64url, no member twice.")?;
        let (key, algorithm) = read_header(&header)?;
        check_audience(&claims, audiences)?;
        let expires = time(
            &claims,
            "exp",
            "exp has to be a whole number of seconds since 1970.",
        )?;
        Ok(Self {
            key,
            algorithm,
            client: client(&claims)?,
            expires: expires.ok_or("The claim exp is missing: at most 300 seconds from now.")?,
            issued: time(
                &claims,
                "iat",
                "iat has to be a whole number of seconds since 1970.",
            )?,
            not_before: time(
                &claims,
                "nbf",
                "nbf has to be a whole number of seconds since 1970.",
            )?,
            id: id(&claims)?,
            message: message.as_bytes(),
            signature: decoded(signature).ok_or(COMPACT)?,
        })
    }
}

fn read_header(header: &Map<String, Value>) -> Result<(SigningKeyId, SignatureAlgorithm), Wrong> {
    if REFUSED.iter().any(|name| header.contains_key(*name)) {
        return Err("Leave crit, b64, jwk, jku, x5c and x5u out of the header.");
    }
    let is_known = |typ: &Value| {
        let typ = typ.as_str();
        typ.is_some_and(|typ| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known)))
    };
    if !header.get("typ").is_none_or(is_known) {
        return Err("typ has to be JWT or client-authentication+jwt, or be left out.");
    }
    let algorithm = text(header, "alg");
    let algorithm = ASSERTION_ALGORITHMS
        .iter()
        .find(|(name, _)| *name == algorithm);
    let (_, algorithm) =
        algorithm.ok_or("alg has to be PS512 (RSA) or EdDSA (Ed25519), as the signing key is.")?;
    let key = text(header, "kid").parse();
    let key = key.map_err(|_| "kid has to be the id of a signing key, sigkey_….")?;
    Ok((key, *algorithm))
}

/// RFC 7523, 3, 1 and 2: both are the client.
fn client(claims: &Map<String, Value>) -> Result<ApiKeyId, Wrong> {
    let (issuer, subject) = (text(claims, "iss"), text(claims, "sub"));
    let client = subject.parse().ok().filter(|_| issuer == subject);
    client.ok_or("iss and sub both have to be the API key's id, key_….")
}

/// RFC 7523, 3, 3. Of more than one, another could present it here (RFC 8725, 3.9).
fn check_audience(claims: &Map<String, Value>, audiences: &[&str]) -> Result<(), Wrong> {
    let audience = match claims.get("aud") {
        Some(Value::Array(named)) => match named.as_slice() {
            [one] => one.as_str(),
            _ => None,
        },
        Some(Value::String(named)) => Some(named.as_str()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => None,
    };
    let is_ours = audience.is_some_and(|audience| audiences.contains(&audience));
    let wrong = "aud has to be the issuer, as /.well-known/oauth-authorization-server has it, or its token endpoint, and nothing else.";
    is_ours.then_some(()).ok_or(wrong)
}

/// The claim `jti`, in what every store keeps and people can read.
fn id(claims: &Map<String, Value>) -> Result<String, Wrong> {
    let id = text(claims, "jti");
    let fits = NONCE_LEN.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = "jti has to be new each time: 16 to 128 visible ASCII characters.";
    fits.then(|| id.to_owned()).ok_or(wrong)
}

/// A member that is a text; empty when there is none.
fn text<'m>(members: &'m Map<String, Value>, name: &str) -> &'m str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A NumericDate (RFC 7519, 2), in whole seconds.
fn time(
    members: &Map<String, Value>,
    name: &str,
    wrong: Wrong,
) -> Result<Option<Timestamp>, Wrong> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    let millis = value
        .as_i64()
        .and_then(|seconds| seconds.checked_mul(1_000));
    millis
        .map(|millis| Some(Timestamp::from_millis(millis)))
        .ok_or(wrong)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}

/// A JSON object, none of whose members comes twice (RFC 7515, 4; RFC 7519, 4): two readers would read it in two ways.
struct Members(Map<String, Value>);

impl Members {
    fn read(part: &str) -> Option<Self> {
        serde_json::from_slice(&decoded(part)?).ok()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "sigkey_06ajfp8e7kvq3z8m2d5t9c4xgr";
    const CLIENT: &str = "key_06ajfp8e7kvq3z8m2d5t9c4xgr";
    const ISSUER: &str = "https://api.example";
    const ENDPOINT: &str = "https://api.example/oauth/token";

    fn header() -> Value {
        json!({"alg": "EdDSA", "kid": KEY})
    }

    fn claims() -> Value {
        json!({"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": 300, "jti": "0123456789abcdef"})
    }

    fn sent(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        format!("{header}.{claims}.AAAA")
    }

    fn read(header: &Value, claims: &Value) -> Result<(), Wrong> {
        let sent = sent(&header.to_string(), &claims.to_string());
        Assertion::read(&sent, &[ISSUER, ENDPOINT]).map(drop)
    }

    /// What is changed, or taken away.
    fn with(mut members: Value, changes: &Value) -> Value {
        for (name, value) in changes.as_object().unwrap() {
            members[name] = value.clone();
        }
        members
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        members
    }

    #[test]
    fn what_an_assertion_says_is_read_and_what_it_signs_is_kept() {
        let claims = with(
            claims(),
            &json!({"iat": 0, "nbf": -1, "unknown": [{"a": 1}]}),
        );
        let text = sent(&header().to_string(), &claims.to_string());
        let read = Assertion::read(&text, &[ISSUER]).unwrap();
        assert_eq!(
            (read.key.to_string(), read.client.to_string()),
            (KEY.to_owned(), CLIENT.to_owned())
        );
        assert_eq!(
            (read.algorithm, read.id.as_str()),
            (SignatureAlgorithm::Ed25519, "0123456789abcdef")
        );
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        assert_eq!(
            (read.expires, read.issued, read.not_before),
            (at(300), Some(at(0)), Some(at(-1)))
        );
        let (message, signature) = text.rsplit_once('.').unwrap();
        assert_eq!((read.message, signature), (message.as_bytes(), "AAAA"));
        assert_eq!(read.signature, [0, 0, 0]);
    }

    #[test]
    fn only_what_decides_nothing_may_differ_in_the_header() {
        for taken in [
            json!({"typ": "JWT"}),
            json!({"typ": "jwt"}),
            json!({"typ": "client-authentication+jwt"}),
            json!({"alg": "PS512"}),
            json!({"alg": "Ed25519"}),
            json!({"x5t": "AAAA"}),
        ] {
            assert_eq!(read(&with(header(), &taken), &claims()), Ok(()), "{taken}");
        }
        for (refused, word) in [
            (json!({"alg": null}), "alg"),
            (json!({"alg": "none"}), "alg"),
            (json!({"alg": "HS512"}), "alg"),
            (json!({"alg": "RS512"}), "alg"),
            (json!({"alg": "PS256"}), "alg"),
            (json!({"alg": "ES256"}), "alg"),
            (json!({"alg": "eddsa"}), "alg"),
            (json!({"alg": ["EdDSA"]}), "alg"),
            (json!({"kid": null}), "kid"),
            (json!({"kid": CLIENT}), "kid"),
            (json!({"kid": 1}), "kid"),
            (json!({"typ": "at+jwt"}), "typ"),
            (json!({"typ": 1}), "typ"),
            (json!({"crit": ["exp"]}), "crit"),
            (json!({"b64": false}), "b64"),
            (json!({"jwk": {"kty": "OKP"}}), "jwk"),
            (json!({"jku": "https://keys.example"}), "jku"),
            (json!({"x5c": []}), "x5c"),
            (json!({"x5u": "https://keys.example"}), "x5u"),
        ] {
            let wrong = read(&with(header(), &refused), &claims()).unwrap_err();
            assert!(wrong.contains(word), "{refused}: {wrong}");
        }
    }

    #[test]
    fn a_claim_is_there_and_what_it_has_to_be() {
        for taken in [
            json!({"aud": ENDPOINT}),
            json!({"aud": [ISSUER]}),
            json!({"jti": "x".repeat(128)}),
            json!({"exp": 9_000_000_000_000_i64}),
        ] {
            assert_eq!(read(&header(), &with(claims(), &taken)), Ok(()), "{taken}");
        }
        let other = "key_00000000000000000000000000";
        for (refused, word) in [
            (json!({"iss": null}), "iss"),
            (json!({"sub": null}), "sub"),
            (json!({"iss": other}), "iss"),
            (json!({"sub": other}), "sub"),
            (json!({"iss": "shop", "sub": "shop"}), "sub"),
            (json!({"iss": KEY, "sub": KEY}), "sub"),
            (json!({"aud": null}), "aud"),
            (json!({"aud": "https://other.example"}), "aud"),
            (json!({"aud": "https://api.example/"}), "aud"),
            (json!({"aud": []}), "aud"),
            (json!({"aud": [ISSUER, ENDPOINT]}), "aud"),
            (json!({"aud": [ISSUER, "https://other.example"]}), "aud"),
            (json!({"aud": {"issuer": ISSUER}}), "aud"),
            (json!({"exp": null}), "exp"),
            (json!({"exp": "300"}), "exp"),
            (json!({"exp": 300.5}), "exp"),
            (json!({"exp": i64::MAX}), "exp"),
            (json!({"exp": 1e300}), "exp"),
            (json!({"iat": "0"}), "iat"),
            (json!({"nbf": true}), "nbf"),
            (json!({"jti": null}), "jti"),
            (json!({"jti": 1_234_567_890_123_456_i64}), "jti"),
            (json!({"jti": "0123456789abcde"}), "jti"),
            (json!({"jti": "x".repeat(129)}), "jti"),
            (json!({"jti": "0123456789abcde\0"}), "jti"),
            (json!({"jti": "0123456789abcde "}), "jti"),
            (json!({"jti": "0123456789abcdé"}), "jti"),
        ] {
            let wrong = read(&header(), &with(claims(), &refused)).unwrap_err();
            assert!(wrong.contains(word), "{refused}: {wrong}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        let twice = |members: &Value, name: &str, value: &str| {
            let more = format!(",\"{name}\":{value}}}");
            members.to_string().replacen('}', &more, 1)
        };
        let (header, claims) = (header(), claims());
        let plain = sent(&header.to_string(), &claims.to_string());
        let mut cases = vec![
            sent(&twice(&header, "alg", "\"PS512\""), &claims.to_string()),
            sent(
                &twice(&header, "\\u0061lg", "\"PS512\""),
                &claims.to_string(),
            ),
            sent(
                &twice(&header, "x", "1").replace("\"x\":1", "\"x\":1,\"x\":2"),
                &claims.to_string(),
            ),
            sent(&header.to_string(), &twice(&claims, "sub", "\"key_1\"")),
            sent(&header.to_string(), &twice(&claims, "exp", "9")),
            sent("[]", &claims.to_string()),
            sent(&header.to_string(), "null"),
            sent(&header.to_string(), &format!("{claims}{claims}")),
            sent(&header.to_string(), &format!("{}{claims}", "[".repeat(200))),
            // What stands before the padding is read in one way only (RFC 4648, 3.5).
            plain.replace(".AAAA", ".AAB"),
            plain.replace(".AAAA", ".AA=="),
            plain.replace(".AAAA", ".A+/A"),
            plain.replace(".AAAA", ""),
            plain.replace(".AAAA", ".AA.AA"),
            plain.replacen("ey", " ey", 1),
            format!("{plain}\n"),
            String::new(),
            "..".to_owned(),
        ];
        cases.push(plain.replace(".AAAA", &format!(".{}", "A".repeat(CLIENT_ASSERTION_MAX))));
        for text in cases {
            assert!(Assertion::read(&text, &[ISSUER]).is_err(), "{text}");
        }
        assert!(Assertion::read(&plain, &[ISSUER]).is_ok());
    }
}
