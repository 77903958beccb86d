//! The limits of a public face: how much, how many, how long.

use std::time::Duration;

use coffer_core::rate::Rate;

/// Connections of one listener. One more ends the oldest that waits for its client.
const CONNECTIONS_MAX: usize = 4096;
/// Connections of one client's address whose handshake, head or body is not complete. One more ends the oldest of them.
const UNFINISHED_PER_ADDRESS_MAX: usize = 256;
/// Handshakes that one client's address may begin, in a minute and at once.
const HANDSHAKES_PER_MINUTE: i64 = 6_000;
const HANDSHAKES_BURST: i64 = 600;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From the first byte of a request's head to its last.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// From a request's head to the last byte of its body.
const BODY_MAX: Duration = Duration::from_secs(20);
/// Between requests.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How long a client may take for [`STALL_BYTES`] of an answer.
const STALL_MAX: Duration = Duration::from_secs(20);
const STALL_BYTES: u64 = 16 * 1024;
/// What a client who ends nothing by himself is given to end an HTTP/2 connection.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// How often a connection with requests in work is looked at for having none any more: nobody says when the last is answered.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Bytes of a request's head, request line and all.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request's address.
pub(super) const ADDRESS_BYTES_MAX: usize = 8 * 1024;
/// Fields of a request's head.
pub(super) const FIELDS_MAX: usize = 64;

/// How many, and how long. The constants of this file, unless a test is in a hurry.
#[derive(Debug, Clone)]
pub struct FaceLimits {
    /// Connections of one listener.
    pub connections_max: usize,
    /// Connections per client's address (IPv6: /64) whose handshake, head or body is not complete.
    pub unfinished_per_address_max: usize,
    /// Handshakes that one client's address (IPv6: /64) may begin; any number when there is none.
    pub handshakes: Option<Rate>,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a request's head.
    pub head: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Time between requests.
    pub idle: Duration,
    /// Time in which a client must take some of an answer.
    pub stall: Duration,
    /// So much of it.
    pub stall_bytes: u64,
    /// Time for the end of a connection that is told to end.
    pub farewell: Duration,
}

impl Default for FaceLimits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            unfinished_per_address_max: UNFINISHED_PER_ADDRESS_MAX,
            handshakes: Rate::new(HANDSHAKES_PER_MINUTE, HANDSHAKES_BURST).ok(),
            handshake: HANDSHAKE_MAX,
            head: HEAD_MAX,
            body: BODY_MAX,
            idle: IDLE_MAX,
            stall: STALL_MAX,
            stall_bytes: STALL_BYTES,
            farewell: FAREWELL_MAX,
        }
    }
}
