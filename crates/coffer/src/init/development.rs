//! Certificates for the faces on a developer's machine, from an authority that forgets its key at once: nobody can later
//! make another certificate that this machine's browser would trust.

use std::{fs, net::IpAddr};

use coffer_core::Timestamp;
use coffer_crypto::pki::{Authority, KeyPair, Profile};

use crate::{
    directory::{Directory, Role},
    failure::Failure,
    secret_file,
    serve::certificates,
};

/// Where a face's certificate is, in its role's directory.
pub(crate) const FACE_CERTIFICATE: &str = "face-cert.pem";
/// Where its key is.
pub(crate) const FACE_KEY: &str = "face-key.pem";

/// What Mozilla's "intermediate" allows at most is 366 days.
const VALID_S: i64 = 364 * 24 * 60 * 60;
/// One that ends within a month is replaced.
const SPARE_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Clocks may differ by this much.
const BACKDATED_S: i64 = 60 * 60;

const HOSTS: &[&str] = &[
    "localhost",
    "api.coffer.localhost",
    "pay.coffer.localhost",
    "dashboard.coffer.localhost",
    "fields.coffer.localhost",
    "simulator.coffer.localhost",
];

/// Whether every face has its certificate, for a while yet.
pub(super) fn is_complete(directory: &Directory, now: Timestamp) -> bool {
    let soon = now.plus_millis(SPARE_MS);
    directory.development_authority().exists()
        && faces().all(|role| {
            let chain = certificates::read_public(&directory.file(role, FACE_CERTIFICATE));
            directory.file(role, FACE_KEY).exists()
                && chain.is_ok_and(|chain| !certificates::is_over(&chain, soon))
        })
}

/// Makes the authority and a certificate for each face anew.
pub(super) fn create(directory: &Directory, now: Timestamp) -> Result<(), Failure> {
    let failed = |error| Failure::doing("making development certificates", error);
    let authority =
        Authority::create("Coffer development (this machine)", now.as_seconds()).map_err(failed)?;
    for role in faces() {
        let key = KeyPair::generate().map_err(failed)?;
        let request = key.request().map_err(failed)?;
        let profile = profile(now).map_err(failed)?;
        let chain = authority
            .issue(&request, &profile, now.as_seconds())
            .map_err(failed)?;
        secret_file::replace(&directory.file(role, FACE_KEY), key.pem().expose())?;
        write_public(&directory.file(role, FACE_CERTIFICATE), &chain)?;
    }
    write_public(
        &directory.development_authority(),
        authority.certificate_pem(),
    )
}

/// Writes a file that anyone may read.
pub(crate) fn write_public(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::doing(format_args!("writing {}", path.display()), error))
}

fn faces() -> impl Iterator<Item = Role> {
    Role::ALL.iter().copied().filter(|role| role.has_face())
}

fn profile(now: Timestamp) -> Result<Profile, coffer_crypto::Error> {
    Ok(Profile {
        spiffe: None,
        dns: HOSTS.iter().map(|host| (*host).to_owned()).collect(),
        ips: vec![
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]),
        ],
        client: false,
        server: true,
        not_before_s: now.as_seconds().saturating_sub(BACKDATED_S),
        not_after_s: now.as_seconds().saturating_add(VALID_S),
        serial: coffer_crypto::random()?,
    })
}
