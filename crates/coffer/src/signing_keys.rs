//! `coffer signing-keys …`: keys that sign requests, of every account, by the operator. A key that is made here stays here: the
//! api gets its public half alone.

use std::{fs, path::Path};

use coffer_core::{limits::PUBLIC_KEY_MAX, signing_key::SignatureAlgorithm};
use coffer_crypto::public_key::{KeyType, generate_pair};
use serde_json::Value;

use crate::{
    accounts::{Reach, SigningKeyAct, SigningKeyTask, SigningKeyWanted},
    api_keys::{account_of, list, pretty},
    cli::{SigningKeyOwner, SigningKeySource, SigningKeysCommand},
    console,
    directory::Directory,
    failure::Failure,
    runtime, secret_file,
};

/// What a list shows of a key.
const COLUMNS: [(&str, &str); 7] = [
    ("ID", "/id"),
    ("ALGORITHM", "/algorithm"),
    ("STATE", "/state"),
    ("CLIENT", "/client"),
    ("CLOSES", "/rotation/closes"),
    ("LAST USED", "/last_use"),
    ("NAME", "/name"),
];

/// Runs a command.
pub(crate) fn run(command: SigningKeysCommand) -> Result<(), Failure> {
    match command {
        SigningKeysCommand::Generate {
            owner,
            algorithm,
            out,
        } => making(&out, algorithm, |public_key| register(owner, public_key)),
        SigningKeysCommand::Register { owner, public_key } => register(owner, read(&public_key)?),
        SigningKeysCommand::List(listed) => list(listed, COLUMNS, async |reach, page| {
            reach.signing_keys(page).await
        }),
        SigningKeysCommand::Rotate {
            key,
            source,
            overlap_hours,
        } => {
            let rotate = |public_key| {
                let act = SigningKeyAct::Rotate {
                    public_key,
                    overlap_hours,
                };
                task(&key.place.dir, SigningKeyTask { id: key.key, act })
            };
            match source {
                SigningKeySource {
                    public_key: Some(file),
                    ..
                } => rotate(read(&file)?),
                SigningKeySource {
                    out: Some(file),
                    algorithm,
                    ..
                } => making(&file, algorithm, rotate),
                SigningKeySource { .. } => Err(Failure::Operator(
                    "name the file of the new key: --out or --public-key".to_owned(),
                )),
            }
        }
        SigningKeysCommand::Revoke(key) => {
            let act = SigningKeyAct::Revoke;
            task(&key.place.dir, SigningKeyTask { id: key.key, act })
        }
    }
}

fn register(of: SigningKeyOwner, public_key: String) -> Result<(), Failure> {
    let SigningKeyOwner { owner, client } = of;
    let directory = Directory::open(&owner.place.dir)?;
    let made = runtime::command(async {
        let (reach, _lock) = Reach::open(&directory).await?;
        let wanted = SigningKeyWanted {
            account: account_of(&reach, owner.account, true).await?,
            mode: owner.mode,
            name: owner.name,
            public_key,
            client,
        };
        reach.signing_key(wanted).await
    })?;
    console::print(&pretty(&made));
    Ok(())
}

fn task(dir: &Path, task: SigningKeyTask) -> Result<(), Failure> {
    let directory = Directory::open(dir)?;
    let done: Value = runtime::command(async {
        let (reach, _lock) = Reach::open(&directory).await?;
        reach.signing_key_task(task).await
    })?;
    console::print(&pretty(&done));
    Ok(())
}

/// Makes a key, puts the private half into a new file, and does this with the public one. A private key that nobody knows of is
/// not left behind.
fn making(
    file: &Path,
    algorithm: SignatureAlgorithm,
    work: impl FnOnce(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let key_type = match algorithm {
        SignatureAlgorithm::RsaPssSha512 => KeyType::Rsa,
        SignatureAlgorithm::Ed25519 => KeyType::Ed25519,
    };
    if file.exists() {
        let shown = file.display();
        return Err(Failure::Operator(format!(
            "{shown} is there already; name a new file"
        )));
    }
    let (private, public) =
        generate_pair(key_type).map_err(|error| Failure::doing("making the key", error))?;
    // Exposed to be kept by whom it belongs to.
    secret_file::create(file, private.expose())?;
    work(public.pem()).inspect_err(|_| {
        let _ = fs::remove_file(file);
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Operator(format!("{shown} cannot be read: {error}")))?;
    if text.len() > PUBLIC_KEY_MAX {
        return Err(Failure::Operator(format!("{shown} holds no public key")));
    }
    Ok(text)
}
