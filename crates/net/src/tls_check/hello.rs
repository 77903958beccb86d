//! A ClientHello of any version with any offer, byte by byte, and what a server says to it. No key is ever agreed on: the
//! first answer tells what the server would have accepted, and then we hang up. rustls cannot do this: it does not know
//! what must be refused.

/// A version as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u16);

pub(super) const SSL3: Version = Version(0x0300);
pub(super) const TLS10: Version = Version(0x0301);
pub(super) const TLS11: Version = Version(0x0302);
pub(super) const TLS12: Version = Version(0x0303);
pub(super) const TLS13: Version = Version(0x0304);

const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_GROUPS: u16 = 10;
const EXTENSION_POINT_FORMATS: u16 = 11;
const EXTENSION_SIGNATURES: u16 = 13;
const EXTENSION_MASTER_SECRET: u16 = 23;
const EXTENSION_VERSIONS: u16 = 43;
const EXTENSION_KEY_SHARE: u16 = 51;
const EXTENSION_RENEGOTIATION: u16 = 0xff01;
/// Whatever the server's certificate is signed with must not decide: everything that was ever usual.
const SIGNATURES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401,
    0x0501, 0x0601, 0x0402, 0x0303, 0x0301, 0x0302, 0x0203, 0x0201, 0x0202,
];
/// The longest record (RFC 8446, 5.1), and the length of its head.
pub(super) const RECORD_MAX: usize = 16 * 1024;
pub(super) const RECORD_HEAD: usize = 5;

/// What is offered.
pub(super) struct Hello<'a> {
    pub(super) version: Version,
    pub(super) suites: &'a [u16],
    pub(super) groups: &'a [u16],
    pub(super) host: Option<&'a str>,
    pub(super) random: [u8; 32],
}

/// What a server chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) version: Version,
    pub(super) suite: u16,
    /// The group, when it asks for a share of its key (TLS 1.3).
    pub(super) group: Option<u16>,
}

impl Hello<'_> {
    /// The record to send.
    pub(super) fn record(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(512);
        // Since TLS 1.3 the field stays at 1.2 and an extension says more (RFC 8446, 4.1.2).
        put_u16(&mut body, self.version.0.min(TLS12.0));
        body.extend_from_slice(&self.random);
        if self.version == TLS13 {
            // A session id, as middleboxes expect it (RFC 8446, D.4).
            put_vec8(&mut body, &self.random);
        } else {
            put_vec8(&mut body, &[]);
        }
        put_vec16(&mut body, &u16s(self.suites));
        put_vec8(&mut body, &[0]);
        if self.version > SSL3 {
            put_vec16(&mut body, &self.extensions());
        }
        let mut message = vec![CLIENT_HELLO];
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        message.extend(length.iter().skip(1));
        message.extend(body);
        let mut record = vec![RECORD_HANDSHAKE];
        put_u16(&mut record, self.version.0.min(TLS10.0));
        put_vec16(&mut record, &message);
        record
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(256);
        if let Some(host) = self.host {
            let mut name = vec![0];
            put_vec16(&mut name, host.as_bytes());
            put_list16(&mut all, EXTENSION_SERVER_NAME, &name);
        }
        put_list16(&mut all, EXTENSION_GROUPS, &u16s(self.groups));
        put_extension(&mut all, EXTENSION_POINT_FORMATS, &[1, 0]);
        put_extension(&mut all, EXTENSION_MASTER_SECRET, &[]);
        put_extension(&mut all, EXTENSION_RENEGOTIATION, &[0]);
        if self.version >= TLS12 {
            put_list16(&mut all, EXTENSION_SIGNATURES, &u16s(SIGNATURES));
        }
        if self.version == TLS13 {
            let mut versions = Vec::new();
            put_vec8(&mut versions, &TLS13.0.to_be_bytes());
            put_extension(&mut all, EXTENSION_VERSIONS, &versions);
            // None: the server then names the group that it would take (RFC 8446, 4.2.8).
            put_list16(&mut all, EXTENSION_KEY_SHARE, &[]);
        }
        all
    }
}

/// What the first record of an answer says, once it is complete; `Err` for a refusal or anything that is not TLS.
pub(super) fn read(answer: &[u8]) -> Option<Result<Chosen, ()>> {
    let mut reader = Reader(answer);
    let kind = reader.u8()?;
    let (_, length) = (reader.u16()?, reader.u16()?);
    if kind != RECORD_HANDSHAKE || usize::from(length) > RECORD_MAX {
        return Some(Err(()));
    }
    let mut record = Reader(reader.take(usize::from(length))?);
    Some(server_hello(&mut record).ok_or(()))
}

fn server_hello(record: &mut Reader<'_>) -> Option<Chosen> {
    if record.u8()? != SERVER_HELLO {
        return None;
    }
    record.take(3)?;
    let legacy = record.u16()?;
    record.take(32)?;
    let session = record.u8()?;
    record.take(usize::from(session))?;
    let suite = record.u16()?;
    record.u8()?;
    let mut chosen = Chosen {
        version: Version(legacy),
        suite,
        group: None,
    };
    // A ServerHello before TLS 1.3 may have no extensions at all.
    let length = record.u16().unwrap_or(0);
    let mut extensions = Reader(record.take(usize::from(length)).unwrap_or_default());
    while let (Some(kind), Some(length)) = (extensions.u16(), extensions.u16()) {
        let mut content = Reader(extensions.take(usize::from(length))?);
        match kind {
            EXTENSION_VERSIONS => chosen.version = Version(content.u16()?),
            EXTENSION_KEY_SHARE => chosen.group = content.u16(),
            _ => {}
        }
    }
    Some(chosen)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }
}

fn u16s(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn put_u16(to: &mut Vec<u8>, value: u16) {
    to.extend(value.to_be_bytes());
}

fn put_vec8(to: &mut Vec<u8>, content: &[u8]) {
    to.push(u8::try_from(content.len()).unwrap_or(u8::MAX));
    to.extend_from_slice(content);
}

fn put_vec16(to: &mut Vec<u8>, content: &[u8]) {
    put_u16(to, u16::try_from(content.len()).unwrap_or(u16::MAX));
    to.extend_from_slice(content);
}

fn put_extension(to: &mut Vec<u8>, kind: u16, content: &[u8]) {
    put_u16(to, kind);
    put_vec16(to, content);
}

/// An extension that is a list with a length of its own.
fn put_list16(to: &mut Vec<u8>, kind: u16, items: &[u8]) {
    let mut content = Vec::new();
    put_vec16(&mut content, items);
    put_extension(to, kind, &content);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: &[u8] = &[
        22, 3, 3, 0, 56, 2, 0, 0, 52, 3, 3, // record, message, version
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c, 0, 0x13, 0x01, 0, 0, 12, // session, suite, compression, extensions
        0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 29,
    ];

    #[test]
    fn an_answer_is_read_once_it_is_complete_and_never_beyond_its_end() {
        let chosen = Chosen {
            version: TLS13,
            suite: 0x1301,
            group: Some(29),
        };
        assert_eq!(read(RETRY), Some(Ok(chosen)));
        for length in 0..RETRY.len() {
            assert_eq!(read(&RETRY[..length]), None, "{length}");
        }
        // Lengths that lie are refused, whatever they claim.
        for place in 5..RETRY.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = RETRY.to_vec();
                broken[place] = value;
                assert!(read(&broken).is_some(), "{place}");
            }
        }
    }

    #[test]
    fn what_is_no_server_hello_is_a_refusal() {
        assert_eq!(read(&[21, 3, 3, 0, 2, 2, 40]), Some(Err(())));
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n"), Some(Err(())));
    }
}
