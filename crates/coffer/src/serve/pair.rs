//! A certificate and its key in two files of a role's directory.
//!
//! A new pair is first written beside the old one and then put in its place: the certificate's file is the last to be
//! written and the last to be moved, so that a crash at any instant leaves a pair that can be completed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use coffer_crypto::SecretBytes;

use crate::{
    directory::{Directory, Role},
    failure::Failure,
    init::{
        development::{FACE_CERTIFICATE, FACE_KEY},
        roles::{CERTIFICATE, CERTIFICATE_KEY},
    },
    secret_file,
};

/// What the files of a pair are called that is not in its place yet.
const NEXT: &str = "next.pem";

/// Where the two files are.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// The certificate's chain.
    pub(super) chain: PathBuf,
    /// Its key.
    pub(super) key: PathBuf,
}

impl Pair {
    /// That of a role's links.
    pub(super) fn of_role(directory: &Directory, role: Role) -> Self {
        Self {
            chain: directory.file(role, CERTIFICATE),
            key: directory.file(role, CERTIFICATE_KEY),
        }
    }

    /// That of a role's faces.
    pub(super) fn of_face(directory: &Directory, role: Role) -> Self {
        Self {
            chain: directory.file(role, FACE_CERTIFICATE),
            key: directory.file(role, FACE_KEY),
        }
    }

    /// Whether both files are there.
    pub(super) fn exists(&self) -> bool {
        self.chain.exists() && self.key.exists()
    }

    /// Completes a replacement that a crash interrupted.
    pub(super) fn complete(&self) -> Result<(), Failure> {
        // The new certificate was written last: where it is, the new key is complete, there or already in its place.
        if next(&self.chain).exists() {
            self.put_in_place()?;
        }
        Ok(())
    }

    /// Puts a new pair in the place of the old one.
    pub(super) fn replace(&self, chain_pem: &str, key_pem: &SecretBytes) -> Result<(), Failure> {
        secret_file::replace(&next(&self.key), key_pem.expose())?;
        secret_file::replace(&next(&self.chain), chain_pem.as_bytes())?;
        self.put_in_place()
    }

    fn put_in_place(&self) -> Result<(), Failure> {
        let key = next(&self.key);
        if key.exists() {
            rename(&key, &self.key)?;
        }
        rename(&next(&self.chain), &self.chain)
    }
}

fn next(path: &Path) -> PathBuf {
    path.with_extension(NEXT)
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to)
        .map_err(|error| Failure::doing(format_args!("replacing {}", to.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_at_any_instant_of_a_replacement_leaves_one_whole_pair() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        for pair in [Pair::of_role, Pair::of_face].map(|of| of(&directory, Role::Api)) {
            let read = |path: &Path| fs::read_to_string(path).unwrap();
            let found = || (read(&pair.key), read(&pair.chain));
            let both = |text: &str| (text.to_owned(), text.to_owned());
            let start = || {
                fs::write(&pair.key, "old").unwrap();
                fs::write(&pair.chain, "old").unwrap();
            };
            // Only the key was written: it does not count.
            start();
            fs::write(next(&pair.key), "new").unwrap();
            pair.complete().unwrap();
            assert_eq!(found(), both("old"));
            // Both were written.
            fs::write(next(&pair.chain), "new").unwrap();
            pair.complete().unwrap();
            assert_eq!(found(), both("new"));
            // The key was moved, the certificate was not.
            start();
            fs::write(&pair.key, "new").unwrap();
            fs::write(next(&pair.chain), "new").unwrap();
            pair.complete().unwrap();
            assert_eq!(found(), both("new"));
        }
    }
}
