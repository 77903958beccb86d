//! Signed requests (HTTP Message Signatures, RFC 9421): what a signature has to cover, and what a caller is told when it does not
//! count.
//!
//! A signature is over the head of a request, and over its body by a digest in the head. So it is verified before the body arrives,
//! and the body is compared when it is there. Without a signature none of this costs anything.

mod base;
mod claim;
mod digest;

use std::borrow::Cow;

use bytes::Bytes;
use coffer_core::api_key::SignedRequests;
use coffer_engine::{
    Caller, PresentedSignature, SignatureError, SigningKeyError, VerifiedSignature,
};
use data_encoding::HEXLOWER;

pub(crate) use base::Head;
pub(crate) use claim::Claim;

use crate::{
    Api,
    gate::IDEMPOTENCY_KEY,
    problems::{Code, Problem},
    routes::RouteRow,
};

/// What is wrong with a signature, in a sentence that says what to do.
pub(crate) struct Wrong(Cow<'static, str>);

impl From<&'static str> for Wrong {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Wrong {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// A signature that was verified as far as the head goes.
pub(crate) struct Signed {
    verified: VerifiedSignature,
    /// The digest of the body is covered too.
    covers_digest: bool,
}

/// Whether a request of this key has to be signed on this route.
const fn is_required(caller: SignedRequests, row: &RouteRow) -> bool {
    match caller {
        SignedRequests::None => false,
        SignedRequests::Money => row.moves_money(),
        SignedRequests::All => true,
    }
}

/// The signature of a request, if it has one. One that is there is looked at, whether it is needed or not.
pub(crate) async fn verify(
    api: &Api,
    row: &RouteRow,
    caller: &Caller,
    head: Head<'_>,
) -> Result<Option<Signed>, Problem> {
    let sent = [claim::INPUT, claim::SIGNATURE];
    if sent.iter().any(|name| head.headers.contains_key(name)) {
        // Apart: few requests need the room for it.
        return Box::pin(verify_sent(api, caller, head)).await.map(Some);
    }
    if is_required(caller.settings().signed_requests, row) {
        return Err(Problem::new(Code::SignatureRequired).with_signature(wanted(head)));
    }
    Ok(None)
}

async fn verify_sent(api: &Api, caller: &Caller, head: Head<'_>) -> Result<Signed, Problem> {
    let refuse = |wrong: Wrong| invalid(wrong, head);
    let claim = Claim::read(head.headers).map_err(refuse)?;
    check_covered(&claim, head).map_err(refuse)?;
    let message = base::base(head, &claim).map_err(refuse)?;
    let presented = PresentedSignature {
        key: claim.key,
        algorithm: claim.algorithm,
        created: claim.created,
        expires: claim.expires,
        nonce: &claim.nonce,
        message: message.as_bytes(),
        signature: &claim.signature,
    };
    let verified = api.engine().signature_verify(caller, presented).await;
    let verified = verified.map_err(|error| problem(error, message.as_bytes(), head))?;
    Ok(Signed {
        verified,
        covers_digest: claim.covers(digest::DIGEST.as_str()),
    })
}

/// Compares the body, and has the signature counted: from here on the caller is one who signed.
pub(crate) async fn count(
    api: &Api,
    caller: Caller,
    signed: Signed,
    (head, body): (Head<'_>, &Bytes),
) -> Result<Caller, Problem> {
    let refuse = |wrong: Wrong| invalid(wrong, head);
    if signed.covers_digest {
        digest::check(head.headers, body).map_err(refuse)?;
    } else if !body.is_empty() {
        let wrong =
            "The request has a body: send its Content-Digest (RFC 9530), and cover content-digest.";
        return Err(refuse(wrong.into()));
    }
    let counted = api.engine().signature_count(caller, signed.verified).await;
    counted.map_err(|error| problem(error, &[], head))
}

/// Whether `Content-Digest` is that of the body.
pub(crate) fn is_digest(headers: &http::HeaderMap, body: &[u8]) -> bool {
    digest::check(headers, body).is_ok()
}

impl Claim {
    fn covers(&self, name: &str) -> bool {
        self.components.iter().any(|covered| covered == name)
    }
}

/// Method and target; the API key, so that nobody sends it with another one; and what makes a repetition of it.
fn check_covered(claim: &Claim, head: Head<'_>) -> Result<(), Wrong> {
    let target = ["@authority", "@path", "@query"];
    if !claim.covers("@target-uri") && !target.iter().all(|part| claim.covers(part)) {
        return Err("Cover @target-uri, or @authority, @path and @query.".into());
    }
    let has_key = head.headers.contains_key(IDEMPOTENCY_KEY);
    let repetition = has_key.then_some("idempotency-key");
    for name in ["@method", "authorization"].into_iter().chain(repetition) {
        if !claim.covers(name) {
            return Err(format!("Cover {name}.").into());
        }
    }
    Ok(())
}

/// What a signature of this request should be like (`Accept-Signature`, RFC 9421, 5.1).
fn wanted(head: Head<'_>) -> String {
    let optional = [digest::DIGEST, IDEMPOTENCY_KEY];
    let has_body = crate::gate::takes_body(head.method);
    let sent = optional
        .iter()
        .filter(|name| head.headers.contains_key(*name) || (**name == digest::DIGEST && has_body));
    let sent: String = sent.map(|name| format!(" \"{name}\"")).collect();
    format!("sig=(\"@method\" \"@target-uri\" \"authorization\"{sent});created")
}

fn invalid(wrong: Wrong, head: Head<'_>) -> Problem {
    Problem::with_detail(Code::SignatureInvalid, wrong.0).with_signature(wanted(head))
}

fn problem(error: SignatureError, message: &[u8], head: Head<'_>) -> Problem {
    let wrong = match error {
        SignatureError::Key(SigningKeyError::Unavailable) => {
            return Problem::new(Code::Unavailable);
        }
        SignatureError::Key(SigningKeyError::Unknown) => {
            "keyid names no signing key of this account and mode.".into()
        }
        SignatureError::Key(SigningKeyError::Revoked) => {
            "The signing key was revoked: sign with another one.".into()
        }
        SignatureError::Key(SigningKeyError::Expired) => {
            "The signing key has a successor, and its time is over: sign with that one.".into()
        }
        SignatureError::OtherAlgorithm(algorithm) => {
            format!("The signing key signs by {algorithm}: say that as alg, or leave alg out.").into()
        }
        SignatureError::TooOld => {
            "The signature is older than 300 seconds: sign each request anew, and look at the clock.".into()
        }
        SignatureError::Ahead => {
            "The signature was made in time to come: look at the clock.".into()
        }
        SignatureError::Expired => "The signature has expired: sign the request anew.".into(),
        SignatureError::NonceUsed => {
            "The nonce was used before: sign each request anew, a repetition too.".into()
        }
        SignatureError::Mismatch => {
            let digest = HEXLOWER.encode(&coffer_crypto::digest(&[message]));
            format!("It is not the signature of this request by this key. What was verified, the signature base (RFC 9421, 2.5), has the SHA-256 {digest}: compare it with what was signed.").into()
        }
    };
    invalid(wrong, head)
}
