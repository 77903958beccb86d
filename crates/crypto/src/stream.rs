//! Something long, sealed in pieces, so that neither side ever holds the whole.
//!
//! The pieces are sealed under a key that only this stream has, each bound to its place and to whether it is the last one. So
//! a piece that was changed, swapped, repeated, left out or taken from another stream does not open, and a stream whose end was
//! cut off has no last piece.

use crate::{Context, Error, Key, SecretBytes, digest, open, seal};

/// Seals pieces, one after the other.
pub struct StreamSealer(Place);

/// Opens pieces in the order in which they were sealed.
pub struct StreamOpener(Place);

struct Place {
    key: Key,
    next: i64,
}

impl StreamSealer {
    /// A stream that begins with these bytes, which are not sealed but belong to it. Two streams never begin with the same.
    #[must_use]
    pub fn new(key: &Key, beginning: &[u8]) -> Self {
        Self(Place::new(key, beginning))
    }

    /// Seals the next piece, after which there is another one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the machine has no randomness to give.
    pub fn seal(&mut self, piece: &[u8]) -> Result<Vec<u8>, Error> {
        let context = self.0.next(false)?;
        seal(&self.0.key, &context, piece)
    }

    /// Seals the last piece.
    ///
    /// # Errors
    /// As [`StreamSealer::seal`].
    pub fn finish(mut self, piece: &[u8]) -> Result<Vec<u8>, Error> {
        let context = self.0.next(true)?;
        seal(&self.0.key, &context, piece)
    }
}

impl StreamOpener {
    /// The stream that begins with these bytes.
    #[must_use]
    pub fn new(key: &Key, beginning: &[u8]) -> Self {
        Self(Place::new(key, beginning))
    }

    /// Opens the next piece, after which there must be another one.
    ///
    /// # Errors
    /// [`Error::Refused`] unless it is the piece that was sealed here, and not the last one.
    pub fn open(&mut self, sealed: &[u8]) -> Result<SecretBytes, Error> {
        let context = self.0.next(false)?;
        open(&self.0.key, &context, sealed)
    }

    /// Opens the last piece. Whoever did not come here has not seen the whole stream.
    ///
    /// # Errors
    /// [`Error::Refused`] unless it is the piece that was sealed last.
    pub fn finish(mut self, sealed: &[u8]) -> Result<SecretBytes, Error> {
        let context = self.0.next(true)?;
        open(&self.0.key, &context, sealed)
    }
}

impl Place {
    fn new(key: &Key, beginning: &[u8]) -> Self {
        let purpose = Context::new("coffer stream v1").bytes(&digest(&[beginning]));
        Self {
            key: key.derive(&purpose),
            next: 0,
        }
    }

    fn next(&mut self, is_last: bool) -> Result<Context, Error> {
        let place = self.next;
        self.next = place.checked_add(1).ok_or(Error::Unavailable)?;
        Ok(Context::new("coffer stream piece v1")
            .number(place)
            .number(i64::from(is_last)))
    }
}

#[cfg(test)]
mod tests {
    use super::{StreamOpener, StreamSealer};
    use crate::{Error, Key};

    fn key() -> Key {
        Key::from_array([7; 32])
    }

    fn three(beginning: &[u8]) -> [Vec<u8>; 3] {
        let mut sealer = StreamSealer::new(&key(), beginning);
        let (one, two) = (sealer.seal(b"one").unwrap(), sealer.seal(b"two").unwrap());
        [one, two, sealer.finish(b"three").unwrap()]
    }

    fn opener() -> StreamOpener {
        StreamOpener::new(&key(), b"a")
    }

    #[test]
    fn pieces_open_in_no_other_order_and_in_no_other_stream() {
        let [one, two, three_] = three(b"a");
        for wrong in [&two, &three_, &three(b"b")[0]] {
            assert_eq!(opener().open(wrong).err(), Some(Error::Refused));
        }
        let mut repeated = opener();
        repeated.open(&one).unwrap();
        assert_eq!(repeated.open(&one).err(), Some(Error::Refused));
        let mut other_key = StreamOpener::new(&Key::from_array([8; 32]), b"a");
        assert_eq!(other_key.open(&one).err(), Some(Error::Refused));
    }

    #[test]
    fn a_piece_in_the_middle_cannot_pass_for_the_last_nor_the_last_for_one_in_the_middle() {
        let [one, two, three_] = three(b"a");
        assert_eq!(opener().finish(&one).err(), Some(Error::Refused));
        let mut cut = opener();
        cut.open(&one).unwrap();
        assert_eq!(cut.finish(&two).err(), Some(Error::Refused));
        let mut longer = opener();
        longer.open(&one).unwrap();
        longer.open(&two).unwrap();
        assert_eq!(longer.open(&three_).err(), Some(Error::Refused));
    }

    #[test]
    fn a_piece_with_any_bit_changed_is_refused() {
        let [one, ..] = three(b"a");
        for at in 0..one.len() {
            let mut changed = one.clone();
            changed[at] ^= 1;
            assert_eq!(opener().open(&changed).err(), Some(Error::Refused), "{at}");
        }
    }

    #[test]
    fn what_was_sealed_is_what_opens() {
        let [one, two, three_] = three(b"a");
        let mut opener = opener();
        assert_eq!(opener.open(&one).unwrap().expose(), b"one");
        assert_eq!(opener.open(&two).unwrap().expose(), b"two");
        assert_eq!(opener.finish(&three_).unwrap().expose(), b"three");
    }
}
