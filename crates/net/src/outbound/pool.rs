//! Connections that have answered and wait for the next request to the same target.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::target::Target;

/// Shorter than servers usually keep a connection, since one that the server just closed costs an unknown outcome.
const IDLE_MAX: Duration = Duration::from_secs(10);
const PER_TARGET_MAX: usize = 64;
const TARGETS_MAX: usize = 256;

pub(super) type Sender = SendRequest<Full<Bytes>>;

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Target, Vec<(Sender, Instant)>>>);

impl Pool {
    /// The connection that was used last, if one is open.
    pub(super) fn take(&self, target: &Target) -> Option<Sender> {
        let mut waiting = crate::lock(&self.0);
        let senders = waiting.get_mut(target)?;
        while let Some((sender, since)) = senders.pop() {
            if is_fresh(&sender, since) {
                return Some(sender);
            }
        }
        None
    }

    pub(super) fn put(&self, target: Target, sender: Sender) {
        let mut waiting = crate::lock(&self.0);
        if waiting.len() >= TARGETS_MAX {
            for senders in waiting.values_mut() {
                senders.retain(|(sender, since)| is_fresh(sender, *since));
            }
            waiting.retain(|_, senders| !senders.is_empty());
        }
        if waiting.len() < TARGETS_MAX || waiting.contains_key(&target) {
            let senders = waiting.entry(target).or_default();
            senders.retain(|(sender, since)| is_fresh(sender, *since));
            if senders.len() < PER_TARGET_MAX {
                senders.push((sender, Instant::now()));
            }
        }
    }
}

fn is_fresh(sender: &Sender, since: Instant) -> bool {
    !sender.is_closed() && since.elapsed() < IDLE_MAX
}
