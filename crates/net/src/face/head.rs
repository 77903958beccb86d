//! The head of an HTTP/1 request, held against RFC 9112 to the letter. Whatever two servers could read in two ways is a
//! fault: a line that ends in LF alone, a folded one, a space before a colon, two lengths, a length beside an encoding.
//! That is how requests are smuggled past a proxy.

use super::{
    fault::Fault,
    limits::{ADDRESS_BYTES_MAX, FIELDS_MAX, HEAD_BYTES_MAX},
};

/// Digits of the largest `Content-Length`: more than any body here, less than would overflow.
const LENGTH_DIGITS_MAX: usize = 18;

/// How a request's body ends (RFC 9112, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// Where a head ends, empty line included; none while it is not all there. `seen` remembers what was looked at.
pub(crate) fn end(bytes: &[u8], seen: &mut usize) -> Result<Option<usize>, Fault> {
    let fresh = bytes.get(*seen..).unwrap_or_default();
    for at in memchr::memchr_iter(b'\n', fresh) {
        let length = seen.saturating_add(at).saturating_add(1);
        let head = bytes.get(..length).unwrap_or_default();
        if !head.ends_with(b"\r\n") {
            return Err(Fault::Malformed);
        }
        if head.ends_with(b"\r\n\r\n") {
            return if length > HEAD_BYTES_MAX {
                Err(too_large(bytes))
            } else {
                Ok(Some(length))
            };
        }
    }
    *seen = bytes.len();
    if bytes.len() <= HEAD_BYTES_MAX {
        Ok(None)
    } else {
        Err(too_large(bytes))
    }
}

/// Whether this is a head without fault and all of its body, and nothing else.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let Ok(Some(length)) = end(bytes, &mut 0) else {
        return false;
    };
    let (head, body) = bytes.split_at_checked(length).unwrap_or_default();
    match framing(head) {
        Ok(Framing::Empty) => body.is_empty(),
        Ok(Framing::Length(length)) => u64::try_from(body.len()) == Ok(length),
        Ok(Framing::Chunked) | Err(_) => false,
    }
}

/// What it is that is too large about this head.
fn too_large(bytes: &[u8]) -> Fault {
    if memchr::memchr(b'\n', bytes).is_none_or(|at| at > ADDRESS_BYTES_MAX) {
        Fault::AddressTooLong
    } else {
        Fault::HeadTooLarge
    }
}

/// How the body after this complete head ends, if nothing is wrong with the head.
pub(crate) fn framing(head: &[u8]) -> Result<Framing, Fault> {
    let lines = head.strip_suffix(b"\r\n\r\n").ok_or(Fault::Malformed)?;
    let mut lines = Lines(Some(lines));
    let is_http_11 = request_line(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked, mut count) = (None, false, 0_usize);
    for line in lines {
        count = count.saturating_add(1);
        if count > FIELDS_MAX {
            return Err(Fault::HeadTooLarge);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let given = content_length(value)?;
            if length.replace(given).is_some() {
                return Err(Fault::Malformed);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !is_http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Malformed);
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Fault::Malformed),
        (None, true) => Ok(Framing::Chunked),
        (None | Some(0), false) => Ok(Framing::Empty),
        (Some(length), false) => Ok(Framing::Length(length)),
    }
}

/// The parts of a text between its line ends.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        // Every LF has a CR before it: `end` saw to that.
        let Some(at) = memchr::memchr(b'\n', rest) else {
            return Some(rest);
        };
        self.0 = rest.get(at.saturating_add(1)..);
        rest.get(..at.saturating_sub(1))
    }
}

/// Whether it says HTTP/1.1; otherwise it says HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, Fault> {
    let mut words = line.split(|&byte| byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next())
    else {
        return Err(Fault::Malformed);
    };
    if !is_token(method) || !is_target(target) {
        return Err(Fault::Malformed);
    }
    if target.len() > ADDRESS_BYTES_MAX {
        return Err(Fault::AddressTooLong);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Fault::Malformed),
    }
}

/// A path, an absolute address, or what CONNECT and OPTIONS have (RFC 9112, 3.2), of characters that may stand in one (RFC
/// 3986, appendix A).
fn is_target(target: &[u8]) -> bool {
    let fits = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b':'
                    | b'/'
                    | b'?'
                    | b'@'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b'['
                    | b']'
            )
    };
    target.iter().all(fits) && (target.starts_with(b"/") || http::Uri::try_from(target).is_ok())
}

/// Name and value. A line that continues the one before has no name, so it is refused.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let colon = memchr::memchr(b':', line).ok_or(Fault::Malformed)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Fault::Malformed)?;
    let value = value.get(1..).unwrap_or_default();
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    // To the end whatever is found: so many bytes are looked at at once.
    let controls = value
        .iter()
        .fold(false, |found, byte| found | is_control(*byte));
    if is_token(name) && !controls {
        Ok((name, value.trim_ascii()))
    } else {
        Err(Fault::Malformed)
    }
}

fn is_token(name: &[u8]) -> bool {
    let fits = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
    };
    !name.is_empty() && name.iter().all(fits)
}

fn content_length(value: &[u8]) -> Result<u64, Fault> {
    let is_number =
        (1..=LENGTH_DIGITS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok())
        .ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> Result<Framing, Fault> {
        let mut seen = 0;
        match end(head.as_bytes(), &mut seen)? {
            Some(length) => framing(&head.as_bytes()[..length]),
            None => panic!("{head:?} has no end"),
        }
    }

    #[test]
    fn whole_is_a_head_without_fault_with_all_of_its_body_and_nothing_else() {
        let post = "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
        for (bytes, whole) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\nG", false),
            ("GET / HTTP/1.1\r\n\r", false),
            ("\r\nGET / HTTP/1.1\r\n\r\n", false),
            ("GET  / HTTP/1.1\r\n\r\n", false),
            (post, false),
            (&format!("{post}{{"), false),
            (&format!("{post}{{}}"), true),
            (&format!("{post}{{}}."), false),
            (
                &post.replace("content-length: 2", "transfer-encoding: chunked"),
                false,
            ),
        ] {
            assert_eq!(is_whole(bytes.as_bytes()), whole, "{bytes}");
        }
    }

    fn with(fields: &str) -> Result<Framing, Fault> {
        of(&format!("POST / HTTP/1.1\r\n{fields}\r\n"))
    }

    #[test]
    fn a_body_has_one_length_and_one_way_to_say_it() {
        assert_eq!(with(""), Ok(Framing::Empty));
        assert_eq!(with("Content-Length: 0\r\n"), Ok(Framing::Empty));
        assert_eq!(with("content-length:\t12 \r\n"), Ok(Framing::Length(12)));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for wrong in [
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
            "content-length: 0\r\ntransfer-encoding: chunked\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1, 1\r\n",
            "content-length: +1\r\n",
            "content-length: -1\r\n",
            "content-length: 0x1\r\n",
            "content-length: 1 1\r\n",
            "content-length:\r\n",
            "content-length: 1000000000000000000\r\n",
            "content-length : 1\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked, chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: \x0bchunked\r\n",
            "transfer-encoding:\r\n",
            "transfer-encoding : chunked\r\n",
            "transfer-encoding: chunked;q=1\r\n",
        ] {
            assert_eq!(with(wrong), Err(Fault::Malformed), "{wrong:?}");
        }
        let old = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(of(old), Err(Fault::Malformed));
    }

    #[test]
    fn every_line_ends_in_cr_and_lf_and_none_is_folded() {
        for wrong in [
            "GET / HTTP/1.1\nhost: a\n\n",
            "GET / HTTP/1.1\r\nhost: a\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n\n",
            "GET / HTTP/1.1\r\nhost: a\rx: b\r\n\r\n",
            "GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nx: a\r\n\tb\r\n\r\n",
            "GET / HTTP/1.1\r\n x: a\r\n\r\n",
            "GET / HTTP/1.1\r\nx\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nx y: a\r\n\r\n",
            "GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nx\0: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\u{e4}: a\r\n\r\n",
        ] {
            assert_eq!(of(wrong), Err(Fault::Malformed), "{wrong:?}");
        }
        assert_eq!(with("x: \u{e4}, \"b\"\r\nempty:\r\n"), Ok(Framing::Empty));
    }

    #[test]
    fn a_request_line_is_three_words_of_the_right_letters() {
        for wrong in [
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            " GET / HTTP/1.1\r\n\r\n",
            "GET\t/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / http/1.1\r\n\r\n",
            "GET / HTTP/1.1x\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
            "GET nowhere/ HTTP/1.1\r\n\r\n",
            "GET /a\"b HTTP/1.1\r\n\r\n",
            "GET /a\\b HTTP/1.1\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "GET /\u{e4} HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(of(wrong), Err(Fault::Malformed), "{wrong:?}");
        }
        for right in [
            "GET /a?b=%20&c[]=1 HTTP/1.1\r\n\r\n",
            "GET https://a.test/ HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "CONNECT a.test:443 HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(of(right), Ok(Framing::Empty), "{right:?}");
        }
    }

    #[test]
    fn a_head_is_bounded_in_size_address_and_fields() {
        let fits = "a".repeat(HEAD_BYTES_MAX - "POST / HTTP/1.1\r\nx: \r\n\r\n".len());
        assert_eq!(with(&format!("x: {fits}\r\n")), Ok(Framing::Empty));
        assert_eq!(with(&format!("x: {fits}a\r\n")), Err(Fault::HeadTooLarge));
        assert_eq!(with(&"x: 1\r\n".repeat(FIELDS_MAX)), Ok(Framing::Empty));
        let many = "x: 1\r\n".repeat(FIELDS_MAX + 1);
        assert_eq!(with(&many), Err(Fault::HeadTooLarge));

        let address = "a".repeat(ADDRESS_BYTES_MAX - 1);
        let with = |address: &str| of(&format!("GET /{address} HTTP/1.1\r\n\r\n"));
        assert_eq!(with(&address), Ok(Framing::Empty));
        assert_eq!(with(&format!("{address}a")), Err(Fault::AddressTooLong));
        let longer = "a".repeat(HEAD_BYTES_MAX);
        assert_eq!(with(&longer), Err(Fault::AddressTooLong));
        let endless = vec![b'a'; HEAD_BYTES_MAX + 1];
        assert_eq!(end(&endless, &mut 0), Err(Fault::AddressTooLong));
        let endless = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &endless].concat();
        assert_eq!(end(&endless, &mut 0), Err(Fault::HeadTooLarge));
    }

    #[test]
    fn the_end_is_found_however_the_head_is_cut() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET";
        let mut seen = 0;
        for cut in 0..head.len() - 3 {
            assert_eq!(end(&head[..cut], &mut seen), Ok(None), "{cut}");
        }
        assert_eq!(end(head, &mut seen), Ok(Some(head.len() - 3)));
    }
}
