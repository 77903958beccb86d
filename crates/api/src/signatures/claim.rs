//! What a request says of its signature (`Signature-Input` and `Signature`, RFC 9421, 4): read, and within limits. Nothing is verified
//! here.

use coffer_core::{
    Timestamp, id::SigningKeyId, limits::NONCE_LEN, signing_key::SignatureAlgorithm,
};
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, InnerList, Item, ListEntry, ListSerializer, Parser};

use super::Wrong;

/// What is covered, and how.
pub(crate) const INPUT: HeaderName = HeaderName::from_static("signature-input");
/// The signature itself.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// The longest `Signature-Input`.
const INPUT_MAX: usize = 2048;
/// The longest `Signature`: RSA of 4096 bits takes 684 characters.
const SIGNATURE_MAX: usize = 1024;
/// Components that a signature may cover.
const COMPONENTS_MAX: usize = 32;

/// A signature as it is presented.
pub(crate) struct Claim {
    /// What is covered, in the order of the signature base.
    pub(crate) components: Vec<String>,
    /// The last line of the signature base: the components and the parameters, in their one spelling.
    pub(crate) params: String,
    pub(crate) key: SigningKeyId,
    pub(crate) algorithm: Option<SignatureAlgorithm>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) nonce: String,
    pub(crate) signature: Vec<u8>,
}

impl Claim {
    /// Reads the one signature of a request.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Wrong> {
        let input = only(dictionary(headers, &INPUT, INPUT_MAX)?)?;
        let signature = only(dictionary(headers, &SIGNATURE, SIGNATURE_MAX)?)?;
        if input.0 != signature.0 {
            return Err("Signature and Signature-Input have to name the signature alike.".into());
        }
        let ListEntry::InnerList(covered) = input.1 else {
            return Err("Signature-Input has to hold a list of what is covered.".into());
        };
        let ListEntry::Item(Item {
            bare_item: BareItem::ByteSequence(signature),
            ..
        }) = signature.1
        else {
            return Err("Signature has to hold a byte sequence: base64 between colons.".into());
        };
        let text = |name| text(&covered, name);
        let algorithm = text("alg")?.map(|name| name.parse::<SignatureAlgorithm>());
        let key = text("keyid")?.ok_or("The signature needs the parameter keyid.")?;
        let nonce = text("nonce")?.filter(|nonce| NONCE_LEN.contains(&nonce.len()));
        Ok(Self {
            components: components(&covered)?,
            key: key
                .parse()
                .map_err(|_| "keyid has to be the id of a signing key, sigkey_….")?,
            algorithm: algorithm
                .transpose()
                .map_err(|_| "alg has to be rsa-pss-sha512 or ed25519, or be left out.")?,
            created: time(&covered, "created")?
                .ok_or("The signature needs the parameter created.")?,
            expires: time(&covered, "expires")?,
            nonce: nonce
                .ok_or(
                    "The signature needs the parameter nonce, new each time: 16 to 128 characters.",
                )?
                .to_owned(),
            params: spelled(covered),
            signature,
        })
    }
}

/// A header that holds a dictionary (RFC 9651, 3.2). Its lines are one value.
pub(super) fn dictionary(
    headers: &HeaderMap,
    name: &HeaderName,
    most: usize,
) -> Result<Dictionary, Wrong> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(|line| line.as_bytes())
        .collect();
    if lines.is_empty() {
        return Err(format!("The header {name} is missing.").into());
    }
    let value = lines.join(&b", "[..]);
    if value.len() > most {
        return Err(format!("The header {name} is longer than {most} bytes.").into());
    }
    let parsed = Parser::new(&value).parse();
    parsed.map_err(|_| format!("The header {name} is no dictionary (RFC 9651).").into())
}

fn only(dictionary: Dictionary) -> Result<(sfv::Key, ListEntry), Wrong> {
    let mut members = dictionary.into_iter();
    match (members.next(), members.next()) {
        (Some(one), None) => Ok(one),
        (_, _) => Err("Send exactly one signature.".into()),
    }
}

fn components(covered: &InnerList) -> Result<Vec<String>, Wrong> {
    if covered.items.len() > COMPONENTS_MAX {
        return Err(format!("A signature covers at most {COMPONENTS_MAX} components.").into());
    }
    let mut components: Vec<String> = Vec::with_capacity(covered.items.len());
    for item in &covered.items {
        let name = item
            .bare_item
            .as_string()
            .filter(|_| item.params.is_empty());
        let name = name
            .ok_or("Components are names without parameters.")?
            .as_str();
        if components.iter().any(|known| known == name) {
            return Err("A component is covered twice.".into());
        }
        components.push(name.to_owned());
    }
    Ok(components)
}

fn text<'c>(covered: &'c InnerList, name: &str) -> Result<Option<&'c str>, Wrong> {
    let Some(value) = covered.params.get(name) else {
        return Ok(None);
    };
    let text = value.as_string().map(|text| Some(text.as_str()));
    text.ok_or_else(|| format!("The parameter {name} has to be a string.").into())
}

/// Seconds since 1970.
fn time(covered: &InnerList, name: &str) -> Result<Option<Timestamp>, Wrong> {
    let Some(value) = covered.params.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_integer().map(i64::from);
    let millis = seconds.and_then(|seconds| seconds.checked_mul(1_000));
    let wrong = || format!("The parameter {name} has to be a number of seconds since 1970.").into();
    millis
        .map(|millis| Some(Timestamp::from_millis(millis)))
        .ok_or_else(wrong)
}

fn spelled(covered: InnerList) -> String {
    let mut list = ListSerializer::new();
    list.members([&ListEntry::InnerList(covered)]);
    list.finish().unwrap_or_default()
}
