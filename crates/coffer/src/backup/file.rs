//! The file of a backup: two lines that anyone may read, then pieces that only the passphrase opens.
//!
//! ```text
//! coffer backup 1
//! {"role":"api","backup":"…","made":"…","salt":"…","memory_kib":…,"passes":…,"lanes":…}
//! then, again and again: 0 (or 1: the last one), length (4 bytes), a sealed piece
//! ```
//!
//! The two lines belong to what is sealed: one that was changed opens nothing.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write},
    path::Path,
};

use coffer_crypto::{Key, SecretBytes, StreamOpener, StreamSealer, Stretch, stretch};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{directory::Role, failure::Failure};

/// The first line, and the version of all that follows.
const FORMAT: &str = "coffer backup 1\n";
/// The longest second line.
const HEADER_MAX: u64 = 4096;
/// What is sealed at once.
const PIECE: usize = 64 * 1024;
/// A sealed piece is a little longer.
const SEALED_MAX: usize = PIECE + 1024;
const MORE: u8 = 0;
const LAST: u8 = 1;
/// The dearest stretching that a file may ask for, so that one from elsewhere cannot exhaust the machine.
const STRETCH_MAX: Stretch = Stretch {
    memory_kib: 1024 * 1024,
    passes: 16,
    lanes: 16,
};

/// What everyone may know of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// Whose data it is.
    pub(super) role: String,
    /// Its own name among all backups.
    pub(super) backup: String,
    /// The instant whose data it holds.
    pub(super) made: String,
    /// For people.
    pub(super) note: String,
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Header {
    pub(super) fn new(role: Role, made: String, cost: Stretch) -> Result<Self, Failure> {
        let random = |_| Failure::System("this machine has no randomness to give".to_owned());
        let note = match role {
            Role::Keys => "wrapped keys: keep it apart from the backups of api and vault",
            Role::Api | Role::Vault | Role::Simulator => {
                "without keys: keep it apart from the backups of keys"
            }
        };
        Ok(Self {
            role: role.as_str().to_owned(),
            backup: HEXLOWER.encode(&coffer_crypto::random::<8>().map_err(random)?),
            made,
            note: note.to_owned(),
            salt: HEXLOWER.encode(&coffer_crypto::random::<16>().map_err(random)?),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            lanes: cost.lanes,
        })
    }

    fn lines(&self) -> Result<Vec<u8>, Failure> {
        let json = serde_json::to_string(self)
            .map_err(|error| Failure::doing("writing a backup's header", error))?;
        Ok(format!("{FORMAT}{json}\n").into_bytes())
    }

    fn key(&self, passphrase: &SecretBytes) -> Option<Key> {
        let salt = HEXLOWER.decode(self.salt.as_bytes()).ok()?;
        let cost = Stretch {
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
        };
        let bearable = cost.memory_kib <= STRETCH_MAX.memory_kib
            && cost.passes <= STRETCH_MAX.passes
            && cost.lanes <= STRETCH_MAX.lanes;
        let salt = <[u8; 16]>::try_from(salt).ok().filter(|_| bearable)?;
        stretch(passphrase, &salt, cost).ok()
    }
}

/// Writes a backup.
pub(super) struct Writer<W: Write> {
    file: BufWriter<W>,
    sealer: StreamSealer,
    piece: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(
        file: W,
        header: &Header,
        passphrase: &SecretBytes,
    ) -> Result<Self, Failure> {
        let lines = header.lines()?;
        let key = header.key(passphrase).ok_or_else(|| {
            Failure::System("this machine has not the memory to derive the backup's key".to_owned())
        })?;
        let mut file = BufWriter::new(file);
        file.write_all(&lines).map_err(|error| writing(&error))?;
        Ok(Self {
            file,
            sealer: StreamSealer::new(&key, &lines),
            piece: Vec::with_capacity(PIECE),
        })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.piece.len()).min(bytes.len());
            let (now, rest) = bytes.split_at(room);
            self.piece.extend_from_slice(now);
            bytes = rest;
            // Only when more comes: the last piece says that it is the last one.
            if self.piece.len() == PIECE && !bytes.is_empty() {
                let sealed = self.sealer.seal(&self.piece).map_err(sealing)?;
                put(&mut self.file, MORE, &sealed)?;
                self.piece.clear();
            }
        }
        Ok(())
    }

    /// Writes the last piece; what was written goes to whoever gave the file.
    pub(super) fn finish(mut self) -> Result<W, Failure> {
        let sealed = self.sealer.finish(&self.piece).map_err(sealing)?;
        put(&mut self.file, LAST, &sealed)?;
        self.file
            .into_inner()
            .map_err(|error| writing(error.error()))
    }
}

fn put(file: &mut impl Write, kind: u8, sealed: &[u8]) -> Result<(), Failure> {
    let length = u32::try_from(sealed.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    file.write_all(&[kind])
        .and_then(|()| file.write_all(&length))
        .and_then(|()| file.write_all(sealed))
        .map_err(|error| writing(&error))
}

/// Reads a backup.
pub(super) struct Reader<R: Read> {
    file: BufReader<R>,
    /// Gone once the last piece is open.
    opener: Option<StreamOpener>,
    piece: SecretBytes,
    at: usize,
    pieces: u64,
}

/// What is wrong with a file.
pub(super) fn broken(what: impl std::fmt::Display) -> Failure {
    Failure::Operator(format!("this backup is not usable: {what}"))
}

impl Reader<File> {
    /// Opens a file: what it says of itself, and its content.
    pub(super) fn open(path: &Path, passphrase: &SecretBytes) -> Result<(Header, Self), Failure> {
        let file = File::open(path).map_err(|error| {
            Failure::Operator(format!("{} cannot be read: {error}", path.display()))
        })?;
        Self::begin(file, passphrase)
    }
}

impl<R: Read> Reader<R> {
    pub(super) fn begin(file: R, passphrase: &SecretBytes) -> Result<(Header, Self), Failure> {
        let mut file = BufReader::new(file);
        let mut lines = Vec::new();
        for _ in 0..2 {
            let read = file.by_ref().take(HEADER_MAX).read_until(b'\n', &mut lines);
            read.map_err(|error| reading(&error))?;
            if !FORMAT.as_bytes().starts_with(&lines) && !lines.starts_with(FORMAT.as_bytes()) {
                return Err(broken(
                    "it does not begin as a backup of this version of Coffer does",
                ));
            }
        }
        let json = lines.get(FORMAT.len()..).unwrap_or_default();
        let header: Header =
            serde_json::from_slice(json).map_err(|_| broken("its header cannot be read"))?;
        let key = header
            .key(passphrase)
            .ok_or_else(|| broken("its header asks for an impossible derivation"))?;
        let reader = Self {
            file,
            opener: Some(StreamOpener::new(&key, &lines)),
            piece: SecretBytes::from_vec(Vec::new()),
            at: 0,
            pieces: 0,
        };
        Ok((header, reader))
    }

    /// Exactly so many bytes.
    pub(super) fn read(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(count.min(PIECE));
        while bytes.len() < count {
            let left = self.piece.expose().get(self.at..).unwrap_or_default();
            if left.is_empty() {
                self.next_piece()?;
                continue;
            }
            let wanted = count.saturating_sub(bytes.len()).min(left.len());
            let (now, _) = left.split_at(wanted);
            bytes.extend_from_slice(now);
            self.at = self.at.saturating_add(wanted);
        }
        Ok(bytes)
    }

    /// Nothing may follow what was read.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        let all_read = self.at == self.piece.expose().len();
        let mut byte = [0];
        let follows = self.file.read(&mut byte).map_err(|error| reading(&error))?;
        if self.opener.is_some() || !all_read || follows > 0 {
            return Err(broken("something follows its end"));
        }
        Ok(())
    }

    fn next_piece(&mut self) -> Result<(), Failure> {
        let mut opener = self.opener.take().ok_or_else(|| broken("it ends early"))?;
        let mut frame = [0; 5];
        self.fill(&mut frame)?;
        let [kind, length @ ..] = frame;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > SEALED_MAX {
            return Err(self.changed());
        }
        let mut sealed = vec![0; length];
        self.fill(&mut sealed)?;
        let opened = match kind {
            LAST => opener.finish(&sealed),
            _ => {
                let opened = opener.open(&sealed);
                self.opener = Some(opener);
                opened
            }
        };
        self.piece = opened.map_err(|_| self.changed())?;
        self.at = 0;
        self.pieces = self.pieces.saturating_add(1);
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        self.file.read_exact(bytes).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                broken("its end was cut off")
            } else {
                reading(&error)
            }
        })
    }

    fn changed(&self) -> Failure {
        match self.pieces {
            0 => broken(
                "the passphrase is not the one that it was made with, or its beginning was changed",
            ),
            pieces => broken(format_args!(
                "it was changed after its first {pieces} pieces"
            )),
        }
    }
}

fn reading(error: &std::io::Error) -> Failure {
    Failure::doing("reading the backup", error)
}

fn writing(error: &std::io::Error) -> Failure {
    Failure::doing("writing the backup", error)
}

fn sealing(error: coffer_crypto::Error) -> Failure {
    Failure::doing("sealing the backup", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Stretch = Stretch {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn passphrase(text: &str) -> SecretBytes {
        SecretBytes::from_vec(text.as_bytes().to_vec())
    }

    fn written(content: &[u8]) -> Vec<u8> {
        let header = Header::new(Role::Api, "2026-11-25T19:00:00.000Z".to_owned(), CHEAP).unwrap();
        let mut writer = Writer::begin(Vec::new(), &header, &passphrase("right")).unwrap();
        for some in content.chunks(1000) {
            writer.write(some).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(file: &[u8], count: usize, with: &str) -> Result<Vec<u8>, Failure> {
        let (_, mut reader) = Reader::begin(file, &passphrase(with))?;
        let bytes = reader.read(count)?;
        reader.end().map(|()| bytes)
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_noticed() {
        let content = vec![7; 3 * PIECE + 5];
        let file = written(&content);
        for length in (0..file.len()).step_by(997).chain([file.len() - 1]) {
            let refused = read(&file[..length], content.len(), "right");
            assert!(matches!(refused, Err(Failure::Operator(_))), "{length}");
        }
    }

    #[test]
    fn a_bit_that_was_changed_anywhere_is_noticed() {
        let file = written(b"the rows");
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(read(&changed, 8, "right").is_err(), "byte {at}");
        }
    }

    #[test]
    fn nothing_may_follow_and_nothing_may_be_left() {
        let mut longer = written(b"the rows");
        longer.push(0);
        assert!(read(&longer, 8, "right").is_err());
        assert!(read(&written(b"the rows"), 7, "right").is_err());
        assert!(read(&written(b"the rows"), 9, "right").is_err());
    }

    #[test]
    fn another_passphrase_opens_nothing() {
        let refused = read(&written(b"the rows"), 8, "wrong").unwrap_err();
        assert!(refused.to_string().contains("passphrase"), "{refused}");
    }

    #[test]
    fn what_was_written_reads_back_whatever_its_length() {
        for length in [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 5] {
            let content: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            assert_eq!(read(&written(&content), length, "right").unwrap(), content);
        }
    }
}
