//! What is wrong with a certificate.

use coffer_crypto::pki::{self, Certificate};
use rustls::{CertificateError, Error, client::verify_server_name, server::ParsedCertificate};
use rustls_pki_types::CertificateDer;

use super::{
    Target,
    finding::{Code, Finding},
    peer::Peer,
    report::{CertificateFound, instant},
};

/// One that is renewed in time, at two thirds of its life, never comes this near to its end.
const LAST_PART: i64 = 6;

/// The certificate in words, and what to mend.
pub(super) fn judge(
    peer: &Peer,
    target: &Target,
    now_s: i64,
    findings: &mut Vec<Finding>,
) -> Option<CertificateFound> {
    let own = peer.chain.first()?;
    let (Ok(leaf), Ok(strength)) = (pki::inspect(own), pki::strength(own)) else {
        findings.push(Finding::new(
            Code::CertificateUntrusted,
            "The certificate cannot be read.",
        ));
        return None;
    };
    judge_time(&leaf, now_s, findings);
    if !names(own, target) {
        let detail = format!("It is for {}.", leaf.dns.join(", "));
        findings.push(Finding::new(Code::CertificateName, detail));
    }
    judge_chain(peer, findings);
    if strength.key_is_weak {
        findings.push(Finding::new(Code::CertificateKeyWeak, strength.key.clone()));
    }
    if strength.signature_is_weak {
        let detail = strength.signature.clone();
        findings.push(Finding::new(Code::CertificateSignatureWeak, detail));
    }
    Some(CertificateFound {
        names: leaf.dns,
        key: strength.key,
        signature: strength.signature,
        not_before: instant(leaf.not_before_s),
        not_after: instant(leaf.not_after_s),
        not_after_s: leaf.not_after_s,
        chain_length: peer.chain.len(),
        trusted: peer.verdict.is_none(),
    })
}

fn judge_time(leaf: &Certificate, now_s: i64, findings: &mut Vec<Finding>) {
    let life_s = leaf.not_after_s.saturating_sub(leaf.not_before_s);
    let left_s = leaf.not_after_s.saturating_sub(now_s);
    if left_s <= 0 {
        let detail = format!("It ended at {}.", instant(leaf.not_after_s));
        findings.push(Finding::new(Code::CertificateExpired, detail));
    } else if now_s < leaf.not_before_s {
        let detail = format!("It begins at {}.", instant(leaf.not_before_s));
        findings.push(Finding::new(Code::CertificateNotYetValid, detail));
    } else if left_s < life_s / LAST_PART {
        let detail = format!("It ends at {}.", instant(leaf.not_after_s));
        findings.push(Finding::new(Code::CertificateEndsSoon, detail));
    }
}

fn names(own: &CertificateDer<'_>, target: &Target) -> bool {
    let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(own), target.server_name()) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// Its time and its names have been judged; what else a client says is about the chain.
fn judge_chain(peer: &Peer, findings: &mut Vec<Finding>) {
    let Some(verdict) = &peer.verdict else {
        return;
    };
    if let Error::InvalidCertificate(
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::NotValidForName
        | CertificateError::NotValidForNameContext { .. },
    ) = verdict
    {
        return;
    }
    let unknown = matches!(
        verdict,
        Error::InvalidCertificate(CertificateError::UnknownIssuer)
    );
    let alone = peer.chain.len() == 1 && !is_self_signed(peer);
    findings.push(if unknown && alone {
        let detail = "The server sends its own certificate alone, and its issuer is no root.";
        Finding::new(Code::CertificateChainIncomplete, detail)
    } else {
        Finding::new(Code::CertificateUntrusted, verdict.to_string())
    });
}

fn is_self_signed(peer: &Peer) -> bool {
    let own = peer.chain.first();
    own.is_some_and(|own| pki::is_self_issued(own).unwrap_or(false))
}
