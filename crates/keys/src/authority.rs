//! The internal certificate authority: which process is which role, for how long, and which certificate counts no more.

use std::net::IpAddr;

use coffer_audit::{Actor, ActorKind, Entry};
use coffer_crypto::{
    pki::{CertificateRequest, Profile},
    random,
};
use coffer_db::{Transaction, params};
use coffer_net::contract::{
    Peer, Refusal, Role,
    keys::{Renew, Renewed},
};
use data_encoding::HEXLOWER;

use crate::{
    Error, Keys,
    custody::{Unsealed, entry, local},
    store::{CERTIFICATE_INSERT, CERTIFICATE_LIVE, CERTIFICATE_READ, REVOKED_INSERT, REVOKED_LIST},
};

/// How long a role's certificate is valid.
pub const CERTIFICATE_LIFETIME_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// Certificates start a little early, for machines whose clocks are behind.
const BACKDATE_S: i64 = 5 * 60;
const INSTANCE_MAX: usize = 64;

/// Whom a certificate is for.
pub(crate) struct Holder {
    role: Role,
    instance: String,
    /// Host names and addresses.
    names: Vec<String>,
}

/// A certificate of this authority's that is neither over nor revoked.
pub(crate) struct Valid {
    holder: Holder,
    pub(crate) not_after: i64,
}

impl Keys {
    /// Issues a certificate to a process of this role. `names` are its host names and addresses.
    ///
    /// # Errors
    /// `Sealed`; `CertificateRefused` for an instance or a name that no certificate can carry; `Unavailable`.
    pub async fn issue_certificate(
        &self,
        role: Role,
        instance: &str,
        names: &[String],
        request: &CertificateRequest,
        lifetime_ms: i64,
    ) -> Result<String, Error> {
        let unsealed = self.unsealed()?;
        let holder = Holder {
            role,
            instance: instance.to_owned(),
            names: names.to_vec(),
        };
        let entry = Entry::new(local(), "certificate.issue");
        self.certify(&unsealed, &holder, request, lifetime_ms, entry)
            .await
    }

    /// Makes a certificate count no more, on every role within seconds.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot serve.
    pub async fn revoke_certificate(&self, serial: &str) -> Result<(), Error> {
        let steps = Transaction::new().any(
            &REVOKED_INSERT,
            params![serial, self.clock().now().as_millis()],
        );
        self.commit(
            steps,
            Entry::new(local(), "certificate.revoke").object(serial),
        )
        .await?;
        self.refresh_revoked().await
    }

    /// A new certificate for the caller's own role, instance and names.
    pub(crate) async fn renew_certificate(
        &self,
        peer: &Peer,
        request: &Renew,
    ) -> Result<Renewed, Error> {
        let unsealed = self.unsealed()?;
        let holder = self
            .certificate(&peer.serial, peer.role)
            .await?
            .ok_or(Refusal::CertificateRefused)?
            .holder;
        if holder.instance != peer.instance {
            return Err(Refusal::CertificateRefused.into());
        }
        let request = CertificateRequest::from_der(&request.request)
            .map_err(|_| Refusal::CertificateRefused)?;
        let entry = entry(peer, "certificate.renew").object(&peer.serial);
        let chain_pem = self
            .certify(&unsealed, &holder, &request, CERTIFICATE_LIFETIME_MS, entry)
            .await?;
        Ok(Renewed { chain_pem })
    }

    /// Whom this authority issued the certificate to, if that was this role, and it is neither over nor revoked.
    pub(crate) async fn certificate(
        &self,
        serial: &str,
        role: Role,
    ) -> Result<Option<Valid>, Error> {
        let Some(row) = self
            .db()
            .read_optional(&CERTIFICATE_READ, params![serial])
            .await?
        else {
            return Ok(None);
        };
        let not_after = row.integer("not_after")?;
        let valid =
            row.text("role")? == role.as_str() && not_after > self.clock().now().as_millis();
        let names = row
            .text("names")?
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let holder = Holder {
            role,
            instance: row.text("instance")?.to_owned(),
            names,
        };
        Ok(valid.then_some(Valid { holder, not_after }))
    }

    /// The serials that count for nothing any more.
    pub(crate) async fn revoked_serials(&self) -> Result<Vec<String>, Error> {
        let rows = self
            .db()
            .read(&REVOKED_LIST, params![self.clock().now().as_millis()])
            .await?;
        rows.iter()
            .map(|row| Ok(row.text("serial")?.to_owned()))
            .collect()
    }

    /// Issues, and puts it on record before anyone gets it.
    async fn certify(
        &self,
        unsealed: &Unsealed,
        holder: &Holder,
        request: &CertificateRequest,
        lifetime_ms: i64,
        entry: Entry,
    ) -> Result<String, Error> {
        let now = self.clock().now();
        let serial: [u8; 16] = random()?;
        let not_after = now.plus_millis(lifetime_ms);
        let profile = profile(holder, serial, now.as_seconds(), not_after.as_seconds())?;
        let issued = unsealed
            .authority
            .issue(request, &profile, now.as_seconds());
        let chain_pem = issued.map_err(|error| match error {
            coffer_crypto::Error::Malformed => Error::Refused(Refusal::CertificateRefused),
            coffer_crypto::Error::Refused | coffer_crypto::Error::Unavailable => error.into(),
        })?;
        let serial = HEXLOWER.encode(&serial);
        let entry = entry
            .object(&serial)
            .object(Actor::new(ActorKind::Role, path(holder)).id);
        let names = holder.names.join(" ");
        let values = params![
            serial,
            holder.role.as_str(),
            &holder.instance,
            names,
            now.as_millis(),
            not_after.as_millis()
        ];
        self.commit(Transaction::new().one(&CERTIFICATE_INSERT, values), entry)
            .await?;
        Ok(chain_pem)
    }
}

/// The step that makes a transaction conflict when the certificate was revoked: like `hierarchy::live`, it comes last.
pub(crate) fn still_valid(serial: &str) -> Transaction {
    Transaction::new().one(&CERTIFICATE_LIVE, params![serial])
}

fn profile(
    holder: &Holder,
    serial: [u8; 16],
    now_s: i64,
    not_after_s: i64,
) -> Result<Profile, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if holder.instance.is_empty()
        || holder.instance.len() > INSTANCE_MAX
        || !holder.instance.chars().all(plain)
    {
        return Err(Refusal::CertificateRefused.into());
    }
    let ips = holder
        .names
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect::<Vec<IpAddr>>();
    let dns = holder
        .names
        .iter()
        .filter(|name| name.parse::<IpAddr>().is_err())
        .cloned()
        .collect();
    let (client, server) = uses(holder.role);
    Ok(Profile {
        spiffe: Some(format!("spiffe://coffer/{}", path(holder))),
        dns,
        ips,
        client,
        server,
        not_before_s: now_s.saturating_sub(BACKDATE_S),
        not_after_s,
        serial,
    })
}

/// Which ends of a link the role may be: client, server.
const fn uses(role: Role) -> (bool, bool) {
    match role {
        Role::Api | Role::Operator => (true, false),
        Role::Vault => (true, true),
        Role::Keys => (false, true),
    }
}

fn path(holder: &Holder) -> String {
    format!("{}/{}", holder.role, holder.instance)
}
