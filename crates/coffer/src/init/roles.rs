//! The key server's beginning: its root key, the internal authority, and the certificate of each role.

use std::path::Path;

use coffer_core::Timestamp;
use coffer_crypto::{SecretBytes, Stretch, pki::KeyPair};
use coffer_db::Database;
use coffer_keys::{CERTIFICATE_LIFETIME_MS, Error, Keys, Settings};
use coffer_net::Clock;

use super::{Report, development::write_public};
use crate::{
    configuration::{Configuration, Profile},
    directory::{Directory, Role},
    failure::Failure,
    runtime, secret_file,
    serve::{certificates, keys as key_server},
};

/// A role's certificate, in its directory.
pub(crate) const CERTIFICATE: &str = "cert.pem";
/// The certificate's key.
pub(crate) const CERTIFICATE_KEY: &str = "key.pem";

/// Where every certificate ends and the next one begins.
const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Initialises the key server unless it is, and issues the certificates that are missing.
pub(super) fn complete(
    directory: &Directory,
    profile: Profile,
    passphrase_file: &Path,
    clock: &Clock,
    report: &mut Report,
) -> Result<(), Failure> {
    refuse_second_root(directory)?;
    let missing: Vec<Role> = on_links()
        .filter(|role| !has_certificate(directory, *role, clock.now()))
        .collect();
    if missing.is_empty() && directory.authority().exists() {
        report.note(true, "root key", || Ok(()))?;
        return report.note(true, "role certificates", || Ok(()));
    }
    let _lock = directory.lock(Role::Keys)?;
    let passphrase = secret_file::read_text(passphrase_file)?;
    let instances = Configuration::instances_of(&directory.configuration())?;
    runtime::command(async {
        let db = key_server::database(directory)?;
        let is_new = initialise(&db, &passphrase, clock, profile).await?;
        report.note(!is_new, "root key", || Ok(()))?;
        let keys = Keys::open(db.clone(), Settings::new("init", clock.clone()))
            .await
            .map_err(key_server::failed)?;
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
fn refuse_second_root(directory: &Directory) -> Result<(), Failure> {
    let database = directory.database(Role::Keys);
    if directory.authority().exists() && !database.exists() {
        return Err(Failure::Operator(format!(
            "{} is missing though this installation had one; restore it from its backup, or begin in another directory",
            database.display()
        )));
    }
    Ok(())
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
