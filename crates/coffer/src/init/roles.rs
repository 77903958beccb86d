//! The key server's beginning: its root key, the internal authority, and the certificate of each role.

use std::path::Path;

use coffer_core::Timestamp;
use coffer_crypto::{SecretBytes, Stretch, pki::KeyPair};
use coffer_db::Database;
use coffer_keys::{CERTIFICATE_LIFETIME_MS, Error, Keys, MIGRATIONS, STATEMENTS, Settings};
use coffer_net::Clock;

use super::{Report, development::write_public};
use crate::{
    configuration::{Configuration, Postgres, Profile},
    directory::{Directory, Role},
    failure::Failure,
    runtime, secret_file,
    serve::{certificates, keys as key_server, store::Store},
};

/// A role's certificate, in its directory.
pub(crate) const CERTIFICATE: &str = "cert.pem";
/// The certificate's key.
pub(crate) const CERTIFICATE_KEY: &str = "key.pem";

/// Where every certificate ends and the next one begins.
const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// What an installation begins with.
pub(super) struct Beginning<'a> {
    pub(super) profile: Profile,
    pub(super) passphrase_file: &'a Path,
    pub(super) postgres: Option<&'a Postgres>,
}

/// Initialises the key server unless it is, and issues the certificates that are missing.
pub(super) fn complete(
    directory: &Directory,
    beginning: &Beginning<'_>,
    clock: &Clock,
    report: &mut Report,
) -> Result<(), Failure> {
    let had_root = directory.authority().exists();
    if had_root && beginning.postgres.is_none() && !directory.database(Role::Keys).exists() {
        return Err(root_lost(directory.database(Role::Keys).display()));
    }
    let missing: Vec<Role> = on_links()
        .filter(|role| !has_certificate(directory, *role, clock.now()))
        .collect();
    if missing.is_empty() && had_root {
        report.note(true, "root key", || Ok(()))?;
        return report.note(true, "role certificates", || Ok(()));
    }
    let _lock = directory.lock(Role::Keys)?;
    let passphrase = secret_file::read_text(beginning.passphrase_file)?;
    let store = Store::of(directory, beginning.postgres, Role::Keys)?;
    let instances = Configuration::instances_of(&directory.configuration())?;
    runtime::command(async {
        let db = store.open(MIGRATIONS, STATEMENTS).await?;
        let is_new = !had_root && initialise(&db, &passphrase, clock, beginning.profile).await?;
        report.note(!is_new, "root key", || Ok(()))?;
        let keys = Keys::open(db.clone(), Settings::new("init", clock.clone()))
            .await
            .map_err(|error| match error {
                Error::NotInitialised => root_lost(&store),
                Error::Sealed
                | Error::AlreadyInitialised
                | Error::Refused(_)
                | Error::Unavailable(_)
                | Error::Defect(_) => key_server::failed(error),
            })?;
        keys.unseal(&passphrase).await.map_err(key_server::failed)?;
        for role in missing {
            issue(directory, &keys, role, &instances(role)).await?;
            report.note(false, &format!("{role} certificate"), || Ok(()))?;
        }
        db.close().await;
        publish_authority(directory)
    })
}

fn on_links() -> impl Iterator<Item = Role> {
    Role::ALL
        .iter()
        .copied()
        .filter(|role| role.on_links().is_some())
}

fn has_certificate(directory: &Directory, role: Role, now: Timestamp) -> bool {
    let chain = certificates::read_public(&directory.file(role, CERTIFICATE));
    directory.file(role, CERTIFICATE_KEY).exists()
        && chain.is_ok_and(|chain| !certificates::is_over(&chain, now))
}

/// A root key that was lost cannot be made again: what it protects would stay closed for ever.
fn root_lost(store: impl std::fmt::Display) -> Failure {
    Failure::Operator(format!(
        "{store} is missing, or empty, though this installation had a root key there; restore it from its backup, or begin in \
         another directory"
    ))
}

/// Whether there was no root key before.
async fn initialise(
    db: &Database,
    passphrase: &SecretBytes,
    clock: &Clock,
    profile: Profile,
) -> Result<bool, Failure> {
    let cost = match profile {
        Profile::Development => Stretch::QUICK,
        Profile::Production => Stretch::ROOT,
    };
    match coffer_keys::initialise(db, passphrase, clock.now(), cost).await {
        Ok(_) => Ok(true),
        Err(Error::AlreadyInitialised) => Ok(false),
        Err(other) => Err(key_server::failed(other)),
    }
}

async fn issue(
    directory: &Directory,
    keys: &Keys,
    role: Role,
    instance: &str,
) -> Result<(), Failure> {
    let Some(on_links) = role.on_links() else {
        return Ok(());
    };
    let failed = |error| Failure::doing(format_args!("making the certificate of {role}"), error);
    let key = KeyPair::generate().map_err(failed)?;
    let request = key.request().map_err(failed)?;
    let chain = keys
        .issue_certificate(on_links, instance, &[], &request, CERTIFICATE_LIFETIME_MS)
        .await
        .map_err(key_server::failed)?;
    secret_file::replace(&directory.file(role, CERTIFICATE_KEY), key.pem().expose())?;
    write_public(&directory.file(role, CERTIFICATE), &chain)
}

/// The authority's certificate is the last of every chain that it signed.
fn publish_authority(directory: &Directory) -> Result<(), Failure> {
    let chain = certificates::read_public(&directory.file(Role::Keys, CERTIFICATE))?;
    let last = chain.rfind(PEM_BEGIN).and_then(|start| chain.get(start..));
    let pem = last
        .ok_or_else(|| Failure::System("the key server's certificate has no chain".to_owned()))?;
    write_public(&directory.authority(), pem)
}
