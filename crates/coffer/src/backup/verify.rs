//! Reading a backup to its end: that it opens, that nothing is missing, and that its manifest agrees.

use std::{fs::File, path::Path};

use coffer_crypto::SecretBytes;

use super::{
    content::{Manifest, Part, Tally},
    file::{Header, Reader, broken},
};
use crate::{console, failure::Failure};

/// A backup that was read to its end.
pub(super) struct Whole {
    pub(super) header: Header,
    pub(super) manifest: Manifest,
}

/// Says what is in a file, if it is whole.
pub(super) fn run(path: &Path, passphrase: &SecretBytes) -> Result<(), Failure> {
    let Whole { header, manifest } = read(path, passphrase)?;
    console::say(&format!(
        "{}: whole; {} as of {}, schema {}, {} rows",
        path.display(),
        header.role,
        header.made,
        manifest.schema,
        manifest.rows()
    ));
    for summary in &manifest.tables {
        console::say(&format!("  {:>12}  {}", summary.rows, summary.table));
    }
    Ok(())
}

/// Reads all of it and compares.
pub(super) fn read(path: &Path, passphrase: &SecretBytes) -> Result<Whole, Failure> {
    let (header, mut reader) = Reader::open(path, passphrase)?;
    let mut tables = Vec::new();
    let mut tally: Option<Tally> = None;
    let manifest = loop {
        match reader.part()? {
            Part::Table(named) => {
                tables.extend(tally.replace(Tally::new(named)).map(Tally::summary));
            }
            Part::Row(row) => tally
                .as_mut()
                .ok_or_else(|| broken("a row belongs to no table"))?
                .add(&row),
            Part::End(manifest) => break manifest,
        }
    };
    tables.extend(tally.map(Tally::summary));
    Reader::<File>::end(reader)?;
    if manifest.tables != tables {
        return Err(broken("its content is not what its manifest says"));
    }
    if manifest.role != header.role || manifest.backup != header.backup {
        return Err(broken("its header is another backup's"));
    }
    Ok(Whole { header, manifest })
}
