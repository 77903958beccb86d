//! Certificates: there, fitting, signed by whom they should be, for the right name, and for a while yet.

use std::path::PathBuf;

use coffer_crypto::pki::Certificate;
use coffer_net::{link::Identity, tls::CertificateStore};

use super::{
    Finding, Findings,
    code::Code,
    sight::{Sight, not_seen},
};
use crate::{
    configuration::Configuration,
    directory::Role,
    init::{
        development::{FACE_CERTIFICATE, FACE_KEY},
        roles::{CERTIFICATE, CERTIFICATE_KEY},
    },
    secret_file,
    serve::{certificates as read, origin},
};

const DAY_S: i64 = 24 * 60 * 60;
/// Whoever renews the certificate of a face has done it by then.
const FACE_DAYS: i64 = 14;
/// A role renews its own at two thirds of 30 days.
const ROLE_DAYS: i64 = 7;

/// Those that browsers and merchants see.
pub(super) fn of_faces(sight: &Sight) -> Findings {
    let faces = sight.open_roles().filter(|seen| seen.role.has_face());
    faces.flat_map(|seen| of_face(sight, seen.role)).collect()
}

fn of_face(sight: &Sight, role: Role) -> Findings {
    let pair = Pair::of(sight, role, FACE_CERTIFICATE, FACE_KEY);
    let mut found = pair.check(
        FACE_DAYS,
        "renew it, and put chain and key there",
        |chain, key| {
            CertificateStore::new()
                .load_pem(chain, key)
                .map_err(|error| error.to_string())
        },
    );
    if let (Some(leaf), Some(settings)) = (pair.leaf(), sight.settings()) {
        for host in hosts(settings, role) {
            if !leaf.dns.iter().any(|name| covers(name, &host)) {
                let what = format!(
                    "{} is for {}, not for {host}",
                    pair.chain.display(),
                    leaf.dns.join(", ")
                );
                let mend = format!("get one for {host}, or change the origin in [faces]");
                found.push(Finding::of(Code::CertificateName, what, mend).at(role));
            }
        }
    }
    found
}

/// The hosts at which a role's faces are reached.
fn hosts(settings: &Configuration, role: Role) -> Vec<String> {
    let origins = match role {
        Role::Api => vec![origin::api(settings, 0), origin::checkout(settings, 0)],
        Role::Vault => vec![origin::fields(settings, 0)],
        Role::Simulator => vec![origin::simulator(0)],
        Role::Keys => Vec::new(),
    };
    let host = |origin: &String| {
        let authority = origin::authority(origin);
        let port = authority
            .rfind(':')
            .filter(|at| !authority.ends_with(']') && *at > 0);
        let host = port
            .and_then(|at| authority.get(..at))
            .unwrap_or(&authority);
        host.to_owned()
    };
    origins.iter().map(host).collect()
}

/// A wildcard stands for one label (RFC 9525, 6.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Those that roles show to each other.
pub(super) fn of_roles(sight: &Sight) -> Findings {
    let roles = sight
        .open_roles()
        .filter(|seen| seen.role.on_links().is_some());
    roles.flat_map(|seen| of_role(sight, seen.role)).collect()
}

fn of_role(sight: &Sight, role: Role) -> Findings {
    let Ok(authority) = read::read_public(&sight.directory.authority()) else {
        let what = format!("{} cannot be read", sight.directory.authority().display());
        let mend = "put it back from a copy, or from another machine of this installation";
        return vec![Finding::of(Code::CertificateMissing, what, mend).at(role)];
    };
    let pair = Pair::of(sight, role, CERTIFICATE, CERTIFICATE_KEY);
    let mend = format!(
        "start the role, which renews it; when it is over: coffer init --dir {}",
        sight.directory.path().display()
    );
    pair.check(ROLE_DAYS, &mend, |chain, key| {
        Identity::load(chain, key, &authority)
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

/// A chain and its key.
struct Pair {
    role: Role,
    now_s: i64,
    chain: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn of(sight: &Sight, role: Role, chain: &str, key: &str) -> Self {
        Self {
            role,
            now_s: sight.now.as_seconds(),
            chain: sight.directory.file(role, chain),
            key: sight.directory.file(role, key),
        }
    }

    fn leaf(&self) -> Option<Certificate> {
        read::leaf(&read::read_public(&self.chain).ok()?)
    }

    fn check(
        &self,
        days: i64,
        mend: &str,
        fits: impl FnOnce(&str, &coffer_crypto::SecretBytes) -> Result<(), String>,
    ) -> Findings {
        let shown = self.chain.display();
        let say = |code, what: String| vec![Finding::of(code, what, mend).at(self.role)];
        if !self.chain.exists() || !self.key.exists() {
            let key = self.key.display();
            return say(
                Code::CertificateMissing,
                format!("{shown} or {key} is missing"),
            );
        }
        let (Ok(chain), Some(leaf)) = (read::read_public(&self.chain), self.leaf()) else {
            return say(
                Code::CertificateUnusable,
                format!("{shown} holds no certificate"),
            );
        };
        let mut found = self.time(&leaf, days, mend);
        match secret_file::read(&self.key) {
            Ok(key) => {
                if let Err(reason) = fits(&chain, &key) {
                    found.extend(say(Code::CertificateUnusable, format!("{shown}: {reason}")));
                }
            }
            Err(failure) => found.push(not_seen(self.role, failure)),
        }
        found
    }

    fn time(&self, leaf: &Certificate, days: i64, mend: &str) -> Findings {
        let left = leaf.not_after_s.saturating_sub(self.now_s);
        let shown = self.chain.display();
        let say = |code, what: String| vec![Finding::of(code, what, mend).at(self.role)];
        if leaf.not_before_s > self.now_s {
            let mend = "set this machine's clock; if it is right, put a certificate there that is valid now";
            let what = format!("{shown} is not valid yet");
            return vec![Finding::of(Code::CertificateEarly, what, mend).at(self.role)];
        }
        if left <= 0 {
            say(Code::CertificateOver, format!("{shown} is over"))
        } else if left < days.saturating_mul(DAY_S) {
            let whole = left.div_euclid(DAY_S);
            say(
                Code::CertificateEnds,
                format!("{shown} ends in {whole} days"),
            )
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("pay.shop.eu", "PAY.shop.eu"));
        assert!(covers("*.shop.eu", "pay.shop.eu"));
        assert!(!covers("*.shop.eu", "a.pay.shop.eu"));
        assert!(!covers("*.shop.eu", "shop.eu"));
    }
}
