//! The cipher suites and groups that are tried, and what is wrong with each (RFC 9325; Mozilla's "intermediate").

use super::finding::Code;

/// A cipher suite by its number.
pub(super) struct Suite {
    pub(super) id: u16,
    pub(super) name: &'static str,
    /// What accepting it is.
    pub(super) fault: Option<Code>,
}

const fn good(id: u16, name: &'static str) -> Suite {
    Suite {
        id,
        name,
        fault: None,
    }
}

const fn bad(id: u16, name: &'static str, fault: Code) -> Suite {
    Suite {
        id,
        name,
        fault: Some(fault),
    }
}

/// Those of TLS 1.3.
pub(super) const MODERN: &[Suite] = &[
    good(0x1301, "TLS_AES_128_GCM_SHA256"),
    good(0x1302, "TLS_AES_256_GCM_SHA384"),
    good(0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    good(0x1304, "TLS_AES_128_CCM_SHA256"),
    good(0x1305, "TLS_AES_128_CCM_8_SHA256"),
];

/// Those of all versions before: what is fit to be used first, then by fault.
pub(super) const CLASSIC: &[Suite] = &[
    good(0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    good(0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    good(0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    good(0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
    good(0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
    good(0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
    good(0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    good(0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    good(0xccaa, "DHE-RSA-CHACHA20-POLY1305"),
    good(0xc0ac, "ECDHE-ECDSA-AES128-CCM"),
    good(0xc0ad, "ECDHE-ECDSA-AES256-CCM"),
    // No forward secrecy: whoever gets the key reads what was recorded before.
    bad(0x009c, "AES128-GCM-SHA256", Code::SuiteRsaExchange),
    bad(0x009d, "AES256-GCM-SHA384", Code::SuiteRsaExchange),
    bad(0x002f, "AES128-SHA", Code::SuiteRsaExchange),
    bad(0x0035, "AES256-SHA", Code::SuiteRsaExchange),
    bad(0x003c, "AES128-SHA256", Code::SuiteRsaExchange),
    bad(0x003d, "AES256-SHA256", Code::SuiteRsaExchange),
    bad(0x0041, "CAMELLIA128-SHA", Code::SuiteRsaExchange),
    bad(0x0084, "CAMELLIA256-SHA", Code::SuiteRsaExchange),
    bad(0xc09c, "AES128-CCM", Code::SuiteRsaExchange),
    bad(0xc09d, "AES256-CCM", Code::SuiteRsaExchange),
    // Padding that attackers can ask about.
    bad(0xc009, "ECDHE-ECDSA-AES128-SHA", Code::SuiteCbc),
    bad(0xc00a, "ECDHE-ECDSA-AES256-SHA", Code::SuiteCbc),
    bad(0xc023, "ECDHE-ECDSA-AES128-SHA256", Code::SuiteCbc),
    bad(0xc024, "ECDHE-ECDSA-AES256-SHA384", Code::SuiteCbc),
    bad(0xc013, "ECDHE-RSA-AES128-SHA", Code::SuiteCbc),
    bad(0xc014, "ECDHE-RSA-AES256-SHA", Code::SuiteCbc),
    bad(0xc027, "ECDHE-RSA-AES128-SHA256", Code::SuiteCbc),
    bad(0xc028, "ECDHE-RSA-AES256-SHA384", Code::SuiteCbc),
    bad(0x0033, "DHE-RSA-AES128-SHA", Code::SuiteCbc),
    bad(0x0039, "DHE-RSA-AES256-SHA", Code::SuiteCbc),
    bad(0x0067, "DHE-RSA-AES128-SHA256", Code::SuiteCbc),
    bad(0x006b, "DHE-RSA-AES256-SHA256", Code::SuiteCbc),
    bad(0x0045, "DHE-RSA-CAMELLIA128-SHA", Code::SuiteCbc),
    bad(0x0088, "DHE-RSA-CAMELLIA256-SHA", Code::SuiteCbc),
    // Ciphers that are broken.
    bad(0x000a, "DES-CBC3-SHA", Code::SuiteBroken),
    bad(0x0016, "DHE-RSA-DES-CBC3-SHA", Code::SuiteBroken),
    bad(0xc008, "ECDHE-ECDSA-DES-CBC3-SHA", Code::SuiteBroken),
    bad(0xc012, "ECDHE-RSA-DES-CBC3-SHA", Code::SuiteBroken),
    bad(0x0004, "RC4-MD5", Code::SuiteBroken),
    bad(0x0005, "RC4-SHA", Code::SuiteBroken),
    bad(0xc007, "ECDHE-ECDSA-RC4-SHA", Code::SuiteBroken),
    bad(0xc011, "ECDHE-RSA-RC4-SHA", Code::SuiteBroken),
    bad(0x0007, "IDEA-CBC-SHA", Code::SuiteBroken),
    bad(0x0009, "DES-CBC-SHA", Code::SuiteBroken),
    bad(0x0015, "DHE-RSA-DES-CBC-SHA", Code::SuiteBroken),
    bad(0x0096, "SEED-SHA", Code::SuiteBroken),
    bad(0x0003, "EXP-RC4-MD5", Code::SuiteBroken),
    bad(0x0006, "EXP-RC2-CBC-MD5", Code::SuiteBroken),
    bad(0x0008, "EXP-DES-CBC-SHA", Code::SuiteBroken),
    bad(0x0014, "EXP-DHE-RSA-DES-CBC-SHA", Code::SuiteBroken),
    // No cipher, or nobody at the other end.
    bad(0x0001, "NULL-MD5", Code::SuiteNone),
    bad(0x0002, "NULL-SHA", Code::SuiteNone),
    bad(0x003b, "NULL-SHA256", Code::SuiteNone),
    bad(0xc006, "ECDHE-ECDSA-NULL-SHA", Code::SuiteNone),
    bad(0xc010, "ECDHE-RSA-NULL-SHA", Code::SuiteNone),
    bad(0x0018, "ADH-RC4-MD5", Code::SuiteNone),
    bad(0x001b, "ADH-DES-CBC3-SHA", Code::SuiteNone),
    bad(0x0034, "ADH-AES128-SHA", Code::SuiteNone),
    bad(0x003a, "ADH-AES256-SHA", Code::SuiteNone),
    bad(0x006c, "ADH-AES128-SHA256", Code::SuiteNone),
    bad(0x00a6, "ADH-AES128-GCM-SHA256", Code::SuiteNone),
    bad(0x00a7, "ADH-AES256-GCM-SHA384", Code::SuiteNone),
    bad(0xc015, "AECDH-NULL-SHA", Code::SuiteNone),
    bad(0xc018, "AECDH-AES128-SHA", Code::SuiteNone),
    bad(0xc019, "AECDH-AES256-SHA", Code::SuiteNone),
];

/// The groups of a key exchange.
pub(super) const GROUPS: &[(u16, &str)] = &[
    (HYBRID, "X25519MLKEM768"),
    (0x001d, "X25519"),
    (0x0017, "P-256"),
    (0x0018, "P-384"),
];
/// The one that also resists quantum computers.
pub(super) const HYBRID: u16 = 0x11ec;
/// Beside [`GROUPS`], so that a server with others only is not taken for one that refuses a version or a suite.
pub(super) const MORE_GROUPS: &[u16] = &[
    0x0019, 0x001e, 0x0100, 0x0101, 0x0102, 0x11eb, 0x0015, 0x0013,
];
