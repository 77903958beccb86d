//! Looking for secrets where they must not be, in every spelling in which they could lie around.

use std::{
    fs,
    path::{Path, PathBuf},
};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use memchr::memmem::Finder;

/// What is looked for: secrets by name, each in many spellings. Failures name the secret and never show it.
#[derive(Default)]
pub struct Hunt {
    needles: Vec<Needle>,
}

struct Needle {
    name: String,
    spelling: &'static str,
    finder: Finder<'static>,
}

impl Hunt {
    /// Looks for a text too: plain, hex, base64 at each of its three alignments, UTF-16, percent-encoded.
    pub fn text(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
        let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        self.add(name, "UTF-16LE", utf16(u16::to_le_bytes));
        self.add(name, "UTF-16BE", utf16(u16::to_be_bytes));
        let percent = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.add(name, "percent-encoded", String::into_bytes(percent));
        let escaped = text.replace('"', "\\\"");
        if escaped != text {
            self.add(name, "escaped", escaped.into_bytes());
        }
    }

    /// Looks for these bytes too: as they are, in hex, in base64 at each of its three alignments.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.add(name, "plain", bytes.to_vec());
        self.add(name, "hex", HEXLOWER.encode(bytes).into_bytes());
        self.add(name, "HEX", HEXUPPER.encode(bytes).into_bytes());
        for before in 0..3 {
            self.add(name, "base64", base64(bytes, before, false));
            self.add(name, "base64url", base64(bytes, before, true));
        }
    }

    /// Looks for a card number too: as a text, grouped with spaces and dashes, as digit values, and packed as BCD.
    pub fn card_number(&mut self, name: &str, number: &str) {
        let groups: Vec<&str> = number
            .as_bytes()
            .chunks(4)
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        for text in [number.to_owned(), groups.join(" "), groups.join("-")] {
            self.text(name, &text);
        }
        let digits: Vec<u8> = number.bytes().map(|digit| digit - b'0').collect();
        let packed = |digits: &[u8]| -> Vec<u8> {
            let pairs = digits.chunks_exact(2);
            pairs.map(|pair| pair[0] << 4 | pair[1]).collect()
        };
        self.add(name, "BCD", packed(&digits));
        self.add(name, "BCD, shifted", packed(&digits[1..]));
        self.add(name, "digit values", digits);
    }

    fn add(&mut self, name: &str, spelling: &'static str, bytes: Vec<u8>) {
        assert!(bytes.len() >= 5, "{name}: too short to be looked for");
        let finder = Finder::new(&bytes).into_owned();
        self.needles.push(Needle {
            name: name.to_owned(),
            spelling,
            finder,
        });
    }

    /// What is in these bytes, and how it is spelt; empty when nothing is.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let found = self
            .needles
            .iter()
            .filter(|needle| needle.finder.find(bytes).is_some());
        found
            .map(|needle| format!("{} ({})", needle.name, needle.spelling))
            .collect()
    }

    /// As [`Self::found_in`], of all files under a folder but these; each line begins with the file.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn found_under(&self, folder: &Path, except: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for path in files_under(folder) {
            if except.iter().any(|except| path.ends_with(except)) {
                continue;
            }
            // A log of a database may have been folded into it meanwhile.
            let Ok(bytes) = fs::read(&path) else { continue };
            let names = self.found_in(&bytes).into_iter();
            found.extend(names.map(|name| format!("{}: {name}", path.display())));
        }
        found
    }
}

/// Every file under a folder.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_under(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// The part of a base64 text that shows these bytes when others stand before (0 to 2 of them) and after.
fn base64(bytes: &[u8], before: usize, url: bool) -> Vec<u8> {
    let encoding = if url { BASE64URL_NOPAD } else { BASE64_NOPAD };
    let mut shifted = vec![0; before];
    shifted.extend(bytes);
    let text = encoding.encode(&shifted);
    // Six bits a letter: the first ones mix with what stands before, the last with what follows.
    let (first, last) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
    text.as_bytes()[first..last].to_vec()
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL};

    use super::*;

    const NUMBER: &str = "4242421234567890";

    fn found(bytes: &[u8]) -> bool {
        let mut hunt = Hunt::default();
        hunt.card_number("card", NUMBER);
        !hunt.found_in(bytes).is_empty()
    }

    #[test]
    fn a_card_number_is_found_in_every_spelling_and_place() {
        for before in ["", "x", "xy", "xyz", "\u{1F4B3}"] {
            let spaced = format!("{before}4242 4212 3456 7890 and more");
            let dashed = format!("{before}4242-4212-3456-7890");
            for text in [format!("{before}{NUMBER} and more"), spaced, dashed] {
                let bytes = text.as_bytes();
                assert!(found(bytes), "{text}");
                for encoded in [
                    HEXLOWER.encode(bytes),
                    HEXUPPER.encode(bytes),
                    BASE64.encode(bytes),
                    BASE64URL.encode(bytes),
                ] {
                    assert!(found(encoded.as_bytes()), "{text}: {encoded}");
                }
                let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
                assert!(found(&utf16), "{text}");
            }
        }
        assert!(found(b"\x01\x42\x42\x42\x12\x34\x56\x78\x90\x01"));
        assert!(found(b"\x14\x24\x24\x21\x23\x45\x67\x89\x01"));
        assert!(found(&[4, 2, 4, 2, 4, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]));
    }

    #[test]
    fn another_number_is_not_found() {
        assert!(!found(b"4242421234567891 424242 7890 4242 4212"));
    }
}
