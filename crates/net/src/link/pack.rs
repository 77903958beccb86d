//! Packs of calls: calls of one method that wait at the same time travel as one request and come back as one answer, so
//! that what a request costs (its headers, its stream, its place in the connection) is paid once.
//!
//! Only methods whose table says so are packed. Each call keeps its own request id, its own span and its own outcome; the
//! time that is left is that of the pack.

use bytes::{Buf as _, BufMut as _};
use coffer_core::{id::RequestId, limits::LINK_BODY_MAX};
use zeroize::Zeroizing;

use super::{decode, encode, malformed};
use crate::contract::Error;

/// How many calls the body holds; without it the body is one call's.
pub(super) const PACK_HEADER: &str = "coffer-pack";
/// Calls in one pack.
pub(super) const PACK_MAX: usize = 64;

const ID_BYTES: usize = 16;
const LENGTH_BYTES: usize = size_of::<u32>();
/// What stands before a call: whether it has a request id, that id or zeros, and its length.
const CALL_HEAD: usize = 1 + ID_BYTES + LENGTH_BYTES;
/// What stands before an outcome: whether it is an answer, and its length.
const OUTCOME_HEAD: usize = 1 + LENGTH_BYTES;

/// What became of one call: its answer, encoded, or why there is none.
pub(crate) type Outcome = Result<Zeroizing<Vec<u8>>, Error>;

/// One call of a pack.
pub(crate) struct Packed<B> {
    pub(super) id: Option<RequestId>,
    pub(super) body: B,
}

impl<B: AsRef<[u8]>> Packed<B> {
    /// What it takes in a pack.
    pub(super) fn size(&self) -> usize {
        CALL_HEAD.saturating_add(self.body.as_ref().len())
    }
}

/// The body of a pack. The buffer has its final size at once, so that no copy stays behind.
pub(crate) fn write_calls<B: AsRef<[u8]>>(
    calls: &[Packed<B>],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = buffer(calls.iter().map(Packed::size))?;
    for call in calls {
        bytes.put_u8(u8::from(call.id.is_some()));
        let id = call.id.map_or([0; ID_BYTES], |id| *id.as_bytes());
        bytes.put_slice(&id);
        put(&mut bytes, call.body.as_ref())?;
    }
    Ok(bytes)
}

/// The calls of a pack's body, all of it.
pub(crate) fn read_calls(mut bytes: &[u8]) -> Result<Vec<Packed<&[u8]>>, Error> {
    let mut calls = Vec::new();
    while !bytes.is_empty() {
        if bytes.len() < CALL_HEAD || calls.len() == PACK_MAX {
            return Err(malformed());
        }
        let known = flag(bytes.get_u8())?;
        let mut id = [0; ID_BYTES];
        bytes.copy_to_slice(&mut id);
        if !known && id != [0; ID_BYTES] {
            return Err(malformed());
        }
        let id = known.then(|| RequestId::from_bytes(id));
        let body = take(&mut bytes)?;
        calls.push(Packed { id, body });
    }
    Ok(calls)
}

/// The answer to a pack: what became of each call, in their order.
pub(crate) fn write_outcomes(outcomes: Vec<Outcome>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let parts = outcomes.into_iter().map(|outcome| match outcome {
        Ok(answer) => Ok((true, answer)),
        Err(error) => encode(&error).map(|error| (false, error)),
    });
    let parts = parts.collect::<Result<Vec<_>, Error>>()?;
    let sizes = parts
        .iter()
        .map(|(_, part)| OUTCOME_HEAD.saturating_add(part.len()));
    let mut bytes = buffer(sizes)?;
    for (answered, part) in &parts {
        bytes.put_u8(u8::from(*answered));
        put(&mut bytes, part)?;
    }
    Ok(bytes)
}

/// What became of each of `count` calls, from an answer.
pub(crate) fn read_outcomes(mut bytes: &[u8], count: usize) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::new();
    while !bytes.is_empty() {
        if bytes.len() < OUTCOME_HEAD {
            return Err(malformed());
        }
        let answered = flag(bytes.get_u8())?;
        let part = take(&mut bytes)?;
        outcomes.push(if answered {
            Ok(Zeroizing::new(part.to_vec()))
        } else {
            Err(decode(part)?)
        });
    }
    if outcomes.len() == count {
        Ok(outcomes)
    } else {
        Err(malformed())
    }
}

fn buffer(sizes: impl Iterator<Item = usize>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let size = sizes.fold(0_usize, usize::saturating_add);
    if size > LINK_BODY_MAX {
        return Err(malformed());
    }
    Ok(Zeroizing::new(Vec::with_capacity(size)))
}

fn put(bytes: &mut Zeroizing<Vec<u8>>, part: &[u8]) -> Result<(), Error> {
    bytes.put_u32(u32::try_from(part.len()).map_err(|_| malformed())?);
    bytes.put_slice(part);
    Ok(())
}

/// The next part; the head, of which its length is the end, was seen to be there.
fn take<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], Error> {
    let length = usize::try_from(bytes.get_u32()).map_err(|_| malformed())?;
    let (part, rest) = bytes.split_at_checked(length).ok_or_else(malformed)?;
    *bytes = rest;
    Ok(part)
}

fn flag(byte: u8) -> Result<bool, Error> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Refusal;

    fn calls() -> Vec<Packed<&'static [u8]>> {
        let id = Some(RequestId::from_bytes([7; 16]));
        let call = |id, body| Packed { id, body };
        vec![call(id, &b"one"[..]), call(None, &[]), call(None, b"three")]
    }

    #[test]
    fn calls_and_outcomes_read_back() {
        let written = write_calls(&calls()).unwrap();
        let read = read_calls(&written).unwrap();
        for (read, call) in read.iter().zip(calls()) {
            assert_eq!((read.id, read.body), (call.id, call.body));
        }
        assert_eq!(read.len(), 3);

        let outcomes = || {
            let refused = Error::Refused(Refusal::OrderUsed);
            vec![
                Ok(Zeroizing::new(b"yes".to_vec())),
                Err(refused),
                Ok(Zeroizing::default()),
            ]
        };
        let written = write_outcomes(outcomes()).unwrap();
        assert_eq!(read_outcomes(&written, 3), Ok(outcomes()));
        assert_eq!(read_outcomes(&written, 2), Err(malformed()), "one too many");
        assert_eq!(
            read_outcomes(&written, 4),
            Err(malformed()),
            "one is missing"
        );
    }

    #[test]
    fn what_is_cut_or_continued_is_malformed() {
        let written = write_calls(&calls()).unwrap();
        let whole = [CALL_HEAD + 3, CALL_HEAD + 3 + CALL_HEAD, 0];
        for end in (0..written.len()).filter(|end| !whole.contains(end)) {
            assert!(read_calls(&written[..end]).is_err(), "{end}");
        }
        let mut other = written.to_vec();
        other[0] = 2;
        assert!(
            read_calls(&other).is_err(),
            "neither with nor without an id"
        );
        other[0] = 0;
        assert!(
            read_calls(&other).is_err(),
            "without an id, and yet with one"
        );
        let mut answer = write_outcomes(vec![Ok(Zeroizing::new(b"yes".to_vec()))]).unwrap();
        answer[1] = 1;
        assert!(read_outcomes(&answer, 1).is_err(), "longer than it is");
    }

    #[test]
    fn a_pack_over_its_limits_is_malformed() {
        let call = |body| Packed { id: None, body };
        let many: Vec<_> = (0..=PACK_MAX).map(|_| call(&b"x"[..])).collect();
        assert!(read_calls(&write_calls(&many).unwrap()).is_err());
        assert!(read_calls(&write_calls(&many[1..]).unwrap()).is_ok());
        let long = vec![0; LINK_BODY_MAX];
        assert!(write_calls(&[call(long.as_slice())]).is_err());
    }
}
