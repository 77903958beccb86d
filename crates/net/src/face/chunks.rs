//! A chunked body on its way to hyper (RFC 9112, 7.1), held against the grammar to the letter. Nothing is decoded here.
//!
//! Extensions and trailers, which nobody needs, are refused: they have been read in two ways too often.

/// Hexadecimal digits of a chunk's size: more than any body here.
const SIZE_DIGITS_MAX: u8 = 8;

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a chunk's size, with the digits so far.
    Size { size: u64, digits: u8 },
    /// Before the LF after a size.
    SizeEnd { size: u64 },
    /// In a chunk's data.
    Data { left: u64 },
    /// Before the CR after the data.
    DataCr,
    /// Before the LF after the data.
    DataLf,
    /// Before the CR of the empty line at the end.
    LastCr,
    /// Before its LF.
    LastLf,
    /// Behind it.
    Done,
}

/// It is not a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotChunked;

impl Chunks {
    pub(super) const fn new() -> Self {
        Self::Size { size: 0, digits: 0 }
    }

    /// How many of these bytes belong to the body.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<usize, NotChunked> {
        let mut passed = 0_usize;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            if *self == Self::Done {
                break;
            }
            passed = passed.saturating_add(self.step(rest)?);
        }
        Ok(passed)
    }

    /// One step, over at least one of the bytes.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, NotChunked> {
        if let Self::Data { left } = *self {
            let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
            *self = match left.saturating_sub(here) {
                0 => Self::DataCr,
                left => Self::Data { left },
            };
            return usize::try_from(here).map_err(|_| NotChunked);
        }
        let byte = bytes.first().ok_or(NotChunked)?;
        *self = match (*self, byte) {
            (Self::Size { size, digits }, b'\r') if digits > 0 => Self::SizeEnd { size },
            (Self::Size { size, digits }, digit) if digits < SIZE_DIGITS_MAX => {
                let digit = char::from(*digit).to_digit(16).ok_or(NotChunked)?;
                Self::Size {
                    size: size.saturating_mul(16).saturating_add(u64::from(digit)),
                    digits: digits.saturating_add(1),
                }
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Self::LastCr,
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::new(),
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => Self::Done,
            (
                Self::Size { .. }
                | Self::SizeEnd { .. }
                | Self::Data { .. }
                | Self::DataCr
                | Self::DataLf
                | Self::LastCr
                | Self::LastLf
                | Self::Done,
                _,
            ) => return Err(NotChunked),
        };
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(body: &[u8]) -> Result<(usize, Chunks), NotChunked> {
        let mut chunks = Chunks::new();
        chunks.pass(body).map(|passed| (passed, chunks))
    }

    #[test]
    fn a_body_ends_where_its_last_chunk_does() {
        let body = b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1";
        let ends = body.len() - "GET / HTTP/1.1".len();
        assert_eq!(pass(body), Ok((ends, Chunks::Done)));
        let mut chunks = Chunks::new();
        for cut in 0..ends {
            assert_ne!(chunks, Chunks::Done);
            assert_eq!(chunks.pass(&body[cut..=cut]), Ok(1));
        }
        assert_eq!(chunks, Chunks::Done);
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        for wrong in [
            "\r\n",
            "x\r\n",
            "+5\r\nhello",
            "0x5\r\nhello",
            " 5\r\nhello",
            "5 \r\nhello",
            "5\nhello",
            "5\r\rhello",
            "5;a=b\r\nhello",
            "5\r\nhelloo",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0",
            "000000005\r\nhello",
            "fffffffff\r\n",
            "0\r\ntrailer: 1\r\n\r\n",
            "0\r\n\n",
            "0\n\n",
        ] {
            assert_eq!(pass(wrong.as_bytes()), Err(NotChunked), "{wrong:?}");
        }
    }
}
