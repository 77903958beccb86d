//! How a server's TLS looks from outside: what it really refuses, what it offers, its certificate, its first answer; and
//! what to do about each thing that is wrong. Pure over sockets: which servers, when and for whom is the caller's.

mod certificate;
mod finding;
mod hello;
mod peer;
mod probe;
mod report;
mod suites;
mod target;

use std::io;

use rustls_pki_types::CertificateDer;

pub use finding::{Code, Finding, Severity};
pub use report::{CertificateFound, Grade, GroupFound, Report, VersionFound};
pub use target::Target;

use crate::outbound::Roots;
use hello::{SSL3, TLS10, TLS11, TLS12, TLS13, Version};
use peer::Peer;
use probe::Probe;
use suites::{CLASSIC, GROUPS, HYBRID, MODERN, Suite};

/// The versions in the order of their age: which there are, and what speaking them is.
const VERSIONS: &[(Version, &str, &[Suite], Option<Code>)] = &[
    (SSL3, "SSL 3.0", CLASSIC, Some(Code::VersionSsl3)),
    (TLS10, "TLS 1.0", CLASSIC, Some(Code::VersionTls10)),
    (TLS11, "TLS 1.1", CLASSIC, Some(Code::VersionTls11)),
    (TLS12, "TLS 1.2", CLASSIC, None),
    (TLS13, "TLS 1.3", MODERN, None),
];
/// What browsers' preload lists once took, half a year; less is forgotten between two visits.
const HSTS_MIN_S: u64 = 180 * 24 * 60 * 60;

/// Checks a server as a client sees it that trusts these authorities.
///
/// # Errors
/// When nobody can be reached there.
pub async fn check(target: &Target, roots: &Roots, now_s: i64) -> io::Result<Report> {
    let probe = reach(target).await?;
    let mut findings = Vec::new();
    let versions = versions(&probe, &mut findings).await?;
    let groups = groups(&probe, &versions, &mut findings).await?;
    let peer = peer::look(probe.connect().await?, target, roots.store()).await;
    let certificate = certificate::judge(&peer, target, now_s, &mut findings);
    judge_answer(&peer, &mut findings);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.code));
    Ok(Report {
        target: target.to_string(),
        grade: Grade::of(&findings),
        versions,
        groups,
        certificate,
        hsts: peer.hsts,
        findings,
    })
}

/// The first address at which somebody answers.
async fn reach(target: &Target) -> io::Result<Probe<'_>> {
    let mut outcome = Err(io::Error::new(
        io::ErrorKind::NotFound,
        "the host has no address",
    ));
    for address in target.addresses().await? {
        let probe = Probe { target, address };
        outcome = probe.connect().await.map(|_| probe);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn versions(probe: &Probe<'_>, findings: &mut Vec<Finding>) -> io::Result<Vec<VersionFound>> {
    let mut found = Vec::new();
    let mut faults: Vec<(Code, Vec<String>)> = Vec::new();
    for &(version, name, table, fault) in VERSIONS {
        let accepted = probe.suites(version, table).await?;
        if let Some(fault) = fault.filter(|_| !accepted.is_empty()) {
            findings.push(Finding::new(fault, format!("{name} is spoken.")));
        }
        for suite in &accepted {
            if let Some(fault) = suite.fault {
                note(&mut faults, fault, suite.name);
            }
        }
        found.push(VersionFound {
            name,
            accepted: !accepted.is_empty(),
            suites: accepted.iter().map(|suite| suite.name).collect(),
        });
    }
    let modern = found.last().is_some_and(|last| last.accepted);
    if !modern {
        let detail = "TLS 1.3 is refused.";
        findings.push(Finding::new(Code::VersionTls13Missing, detail));
    }
    let of = |(code, suites): (Code, Vec<String>)| Finding::new(code, suites.join(", "));
    findings.extend(faults.into_iter().map(of));
    Ok(found)
}

/// A suite that several versions share is named once.
fn note(faults: &mut Vec<(Code, Vec<String>)>, fault: Code, suite: &str) {
    let place = faults.iter().position(|(code, _)| *code == fault);
    match place.and_then(|place| faults.get_mut(place)) {
        Some((_, suites)) if suites.iter().any(|known| known == suite) => {}
        Some((_, suites)) => suites.push(suite.to_owned()),
        None => faults.push((fault, vec![suite.to_owned()])),
    }
}

async fn groups(
    probe: &Probe<'_>,
    versions: &[VersionFound],
    findings: &mut Vec<Finding>,
) -> io::Result<Vec<GroupFound>> {
    let modern = versions.last().is_some_and(|last| last.accepted);
    let version = if modern { TLS13 } else { TLS12 };
    let mut found = Vec::new();
    let (mut hybrid, mut usual) = (false, false);
    for &(id, name) in GROUPS {
        // The hybrid needs TLS 1.3.
        let accepted = (modern || id != HYBRID) && probe.group(version, id).await?;
        hybrid |= accepted && id == HYBRID;
        usual |= accepted && id != HYBRID;
        found.push(GroupFound { name, accepted });
    }
    if !usual {
        let detail = "X25519, P-256 and P-384 are refused.";
        findings.push(Finding::new(Code::GroupModernMissing, detail));
    }
    if !hybrid {
        let detail = "X25519MLKEM768 is refused.";
        findings.push(Finding::new(Code::GroupHybridMissing, detail));
    }
    Ok(found)
}

fn judge_answer(peer: &Peer, findings: &mut Vec<Finding>) {
    if !peer.connected {
        let shown = peer.chain.first().map_or(
            "",
            |_: &CertificateDer<'_>| " The server showed a certificate first.",
        );
        let detail = format!("No connection with TLS 1.2 or 1.3.{shown}");
        findings.push(Finding::new(Code::HandshakeFailed, detail));
        return;
    }
    match &peer.hsts {
        None => findings.push(Finding::new(
            Code::HstsMissing,
            "The answer to GET / has no such header.",
        )),
        Some(value) if max_age_s(value).is_none_or(|age_s| age_s < HSTS_MIN_S) => {
            findings.push(Finding::new(Code::HstsShort, value.clone()));
        }
        Some(_) => {}
    }
}

/// RFC 6797, 6.1.1.
fn max_age_s(hsts: &str) -> Option<u64> {
    hsts.split(';').find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let named = name.trim().eq_ignore_ascii_case("max-age");
        value.parse().ok().filter(|_| named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_as_the_standard_writes_it() {
        assert_eq!(max_age_s(crate::face::HSTS), Some(63_072_000));
        assert_eq!(max_age_s("includeSubDomains; Max-Age=\"5\""), Some(5));
        for wrong in [
            "",
            "max-age",
            "max-age=x",
            "includeSubDomains",
            "max-age=-1",
        ] {
            assert_eq!(max_age_s(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_worst_finding_makes_the_grade() {
        let finding = |code| Finding::new(code, "");
        assert_eq!(Grade::of(&[]), Grade::A);
        let some = [finding(Code::HstsShort), finding(Code::VersionTls10)];
        assert_eq!(Grade::of(&some), Grade::D);
        assert_eq!(Grade::of(&[finding(Code::SuiteNone)]), Grade::F);
        assert!(Grade::ALL.is_sorted_by(|one, next| one.points() > next.points()));
    }
}
