//! Files that hold secrets: who may read them, what is too weak to be one, and how they are written.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use coffer_crypto::{Key, SecretBytes};

use crate::failure::Failure;

/// The mode of every file that holds a secret.
const SECRET_MODE: u32 = 0o600;
/// Rights of strangers to the machine's group and owner.
const OTHERS: u32 = 0o007;
/// The shortest secret that is accepted, in bytes.
const SECRET_MIN: usize = 16;
/// The largest file that is taken for a secret.
const SECRET_MAX: u64 = 16 * 1024;
/// Words that only stand in examples.
const EXAMPLES: &[&str] = &[
    "changeme",
    "change-me",
    "change_me",
    "example",
    "passphrase",
    "password",
    "placeholder",
    "your-secret",
];

/// Reads a secret: not readable by everyone, at least 16 bytes, and not one from an example.
pub(crate) fn read(path: &Path) -> Result<SecretBytes, Failure> {
    let mut file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let metadata = file.metadata().map_err(|error| cannot_read(path, &error))?;
    if metadata.mode() & OTHERS != 0 {
        return Err(Failure::Operator(format!(
            "{0} can be read by everyone; run: chmod 600 {0}",
            path.display()
        )));
    }
    if !metadata.is_file() || metadata.len() > SECRET_MAX {
        return Err(Failure::Operator(format!(
            "{} is not a file with a secret",
            path.display()
        )));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(SECRET_MAX).unwrap_or(SECRET_MIN));
    let read = Read::by_ref(&mut file)
        .take(SECRET_MAX)
        .read_to_end(&mut bytes);
    let secret = SecretBytes::from_vec(bytes);
    read.map_err(|error| cannot_read(path, &error))?;
    Ok(secret)
}

/// Reads a text secret (passphrase, credential): without its line's end, and strong enough to be one.
pub(crate) fn read_text(path: &Path) -> Result<SecretBytes, Failure> {
    let secret = SecretBytes::from_vec(read(path)?.expose().trim_ascii().to_vec());
    match weakness(secret.expose()) {
        None => Ok(secret),
        Some(weakness) => Err(Failure::Operator(format!(
            "the secret in {0} {weakness}; make one with: openssl rand -base64 33 > {0}",
            path.display()
        ))),
    }
}

/// Reads a password as drivers take it: as text. Freed memory is wiped.
pub(crate) fn read_password(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_text(path)?.expose().to_vec())
        .map_err(|_| Failure::Operator(format!("{} does not hold text", path.display())))
}

/// Reads a 256-bit key.
pub(crate) fn read_key(path: &Path) -> Result<Key, Failure> {
    let bytes = read(path)?;
    let key = Key::from_slice(bytes.expose())
        .ok()
        .filter(|_| weakness(bytes.expose()).is_none());
    key.ok_or_else(|| {
        Failure::Operator(format!(
            "{} does not hold a key of 32 random bytes; restore it from its backup",
            path.display()
        ))
    })
}

/// Writes a secret to a file that is not there yet, readable by its owner only from its first instant on.
pub(crate) fn create(path: &Path, secret: &[u8]) -> Result<(), Failure> {
    let doing = |error| Failure::doing(format_args!("writing {}", path.display()), error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(SECRET_MODE)
        .open(path)
        .map_err(doing)?;
    file.write_all(secret)
        .and_then(|()| file.sync_all())
        .map_err(doing)
}

/// Replaces a secret in one step, so that a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, secret: &[u8]) -> Result<(), Failure> {
    let doing = |error| Failure::doing(format_args!("replacing {}", path.display()), error);
    let fresh = path.with_extension("new");
    if fresh.exists() {
        fs::remove_file(&fresh).map_err(doing)?;
    }
    create(&fresh, secret)?;
    fs::rename(&fresh, path).map_err(doing)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Operator(format!("{} cannot be read: {error}", path.display()))
}

fn weakness(secret: &[u8]) -> Option<&'static str> {
    let lower = secret.to_ascii_lowercase();
    let first = secret.first().copied().unwrap_or_default();
    if secret.len() < SECRET_MIN {
        Some("is shorter than 16 characters")
    } else if secret.iter().all(|&byte| byte == first) {
        Some("is one character repeated")
    } else if EXAMPLES.iter().any(|word| {
        lower
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    }) {
        Some("looks like one from an example")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn is_private(path: &Path) -> bool {
        fs::metadata(path).unwrap().mode() & OTHERS == 0
    }

    #[test]
    fn weak_secrets_are_refused() {
        for weak in [
            "",
            "short",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "my-ChangeMe-secret-1234",
        ] {
            assert!(weakness(weak.as_bytes()).is_some(), "{weak}");
        }
        assert!(weakness(b"Zq0mT7fKx2Lr9Vw4Bn6H").is_none());
    }

    #[test]
    fn a_secret_that_everyone_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        create(&path, b"Zq0mT7fKx2Lr9Vw4Bn6H\n").unwrap();
        assert_eq!(
            read_text(&path).ok().unwrap().expose(),
            b"Zq0mT7fKx2Lr9Vw4Bn6H"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            matches!(read_text(&path), Err(Failure::Operator(text)) if text.contains("chmod 600"))
        );
        assert!(!is_private(&path));
    }

    #[test]
    fn a_secret_is_never_overwritten_by_accident() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        create(&path, b"first").unwrap();
        assert!(create(&path, b"second").is_err());
        replace(&path, b"third").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert!(is_private(&path));
    }
}
