//! The proof: the card number is looked for in every database, log and answer, and in the memory of the api.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

use super::{hook::Hook, shop::Shop, stage::Stage, transcript::Transcript};
use crate::failure::Failure;

/// Memory is read in pieces of this size, each overlapping the one before.
const PIECE: usize = 4 * 1024 * 1024;
const OVERLAP: usize = 256;

/// Looks everywhere, after having shown that the search finds what is there.
pub(super) fn prove(
    script: &mut Transcript,
    stage: &Stage,
    shop: &Shop,
    hook: &Hook,
    payment: &str,
) -> Result<(), Failure> {
    script.title("The proof: where is the card number now?");
    let needles = spellings(&shop.number);
    script.line(&format!(
        "looked for: {} in {} spellings (plain, grouped, base64, hex, UTF-16, digit values)",
        shop.masked(),
        needles.len()
    ));

    let files = files_under(stage.folder.path())?;
    let holds = |wanted: &[Vec<u8>]| {
        files
            .iter()
            .filter(|file| std::fs::read(file).is_ok_and(|bytes| holds_any(&bytes, wanted)))
            .count()
    };
    let control = [payment.as_bytes().to_vec()];
    script.check(
        &format!(
            "control: the payment's id is found in {} of {} files, so the search works",
            holds(&control),
            files.len()
        ),
        holds(&control) > 0,
    );
    script.check(
        "the number is in no database, write-ahead log or log file",
        holds(&needles) == 0,
    );
    script.check(
        &format!("nor in any of {} answers", shop.answers.len()),
        !shop
            .answers
            .iter()
            .any(|answer| holds_any(answer.as_bytes(), &needles)),
    );
    script.check(
        &format!("nor in any of {} webhooks", hook.received.len()),
        !hook
            .received
            .iter()
            .any(|body| holds_any(body.as_bytes(), &needles)),
    );

    let api = stage.processes.get("api").copied().unwrap_or_default();
    match memory(api, &control, &needles) {
        Ok((control_found, found, bytes)) => {
            let mib = bytes / (1024 * 1024);
            script.check(&format!("control: the payment's id is found in the {mib} MiB of the api's memory (read as root)"), control_found);
            script.check("the number is not in the api's memory", !found);
        }
        Err(error) => {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            script.check(
                &format!("the kernel does not let this user read the api's memory: {error}"),
                denied,
            );
        }
    }
    Ok(())
}

/// The ways in which a number can lie around.
pub(super) fn spellings(number: &str) -> Vec<Vec<u8>> {
    let grouped = |separator: &str| {
        let groups: Vec<&str> = [0..4, 4..8, 8..12, 12..16]
            .into_iter()
            .filter_map(|range| number.get(range))
            .collect();
        groups.join(separator)
    };
    let (spaced, dashed) = (grouped(" "), grouped("-"));
    let mut found: Vec<Vec<u8>> = [number, &spaced, &dashed]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    for text in [number, &spaced] {
        found.push(HEXLOWER.encode(text.as_bytes()).into_bytes());
        found.push(HEXUPPER.encode(text.as_bytes()).into_bytes());
        found.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        found.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        // Base64 of a text that begins 0, 1 or 2 bytes before it, without the ends that depend on the neighbours.
        for before in ["", "x", "xx"] {
            let shifted = [before.as_bytes(), text.as_bytes()].concat();
            let whole = shifted.len().saturating_sub(shifted.len() % 3);
            let encoded = BASE64.encode(shifted.get(..whole).unwrap_or_default());
            found.push(
                encoded
                    .get(if before.is_empty() { 0 } else { 4 }..)
                    .unwrap_or_default()
                    .as_bytes()
                    .to_vec(),
            );
        }
    }
    found.push(number.bytes().map(|byte| byte.wrapping_sub(b'0')).collect());
    found
}

pub(super) fn holds_any(bytes: &[u8], needles: &[Vec<u8>]) -> bool {
    needles
        .iter()
        .any(|needle| memchr::memmem::find(bytes, needle).is_some())
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| Failure::doing(folder.display(), error))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_under(&path)?),
            Ok(kind) if kind.is_file() => found.push(path),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// Reads a process's memory; whether the control and the needles are in it, and how much was read.
fn memory(
    pid: u32,
    control: &[Vec<u8>],
    needles: &[Vec<u8>],
) -> std::io::Result<(bool, bool, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    let (mut control_found, mut found, mut bytes) = (false, false, 0_u64);
    let mut buffer = vec![0; PIECE + OVERLAP];
    for (mut start, end) in maps.lines().filter_map(written_range) {
        while start < end {
            let want = usize::try_from(end - start)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let Some(piece) = buffer.get_mut(..want) else {
                break;
            };
            memory.seek(SeekFrom::Start(start))?;
            // Some mappings (of the kernel's) cannot be read; they hold nothing of ours.
            if memory.read_exact(piece).is_err() {
                break;
            }
            control_found |= holds_any(piece, control);
            found |= holds_any(piece, needles);
            bytes = bytes.saturating_add(want.try_into().unwrap_or_default());
            start = start.saturating_add(want.min(PIECE).try_into().unwrap_or(u64::MAX));
        }
    }
    Ok((control_found, found, bytes))
}

/// A mapping that the process can write: what it has read or made lies in one of these.
fn written_range(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    if !rest.starts_with("rw") {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some((
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_every_spelling() {
        let number = "4242421234567890";
        let needles = spellings(number);
        for shift in 0..3 {
            let text = format!("{}{number} and more", "x".repeat(shift));
            assert!(
                holds_any(BASE64.encode(text.as_bytes()).as_bytes(), &needles),
                "base64, shifted by {shift}"
            );
            assert!(holds_any(
                HEXLOWER.encode(text.as_bytes()).as_bytes(),
                &needles
            ));
        }
        assert!(holds_any(b"4242 4212 3456 7890", &needles));
        let utf16: Vec<u8> = number.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(holds_any(&utf16, &needles));
        assert!(!holds_any(b"4242421234567891 424242 7890", &needles));
    }
}
