//! Detection: what looks hostile (`detector.rs`) or unlike a key (`baseline.rs`) becomes an alert, which explains itself, and by
//! the policy of whom it concerns a block (`blocks.rs`).
//!
//! Fed by what everybody sees anyway: refusals, declines, and the counts of usage. A call that succeeds costs nothing here.

mod baseline;
mod blocks;
mod detector;
mod holds;
#[cfg(test)]
mod ordinary;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher as _, Hash, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard},
};

use baseline::Network;
use coffer_core::{
    Mode, Timestamp,
    alert::AlertKind,
    decline::DeclineReason,
    detection::{Policy, Signal},
    id::ApiKeyId,
    payment::{AttemptStatus, Operation},
};
use coffer_db::params;
use coffer_net::{contract::Place, face::client_of, task};

pub use blocks::Block;
pub use detector::{DetectionSettings, Subject};
pub use holds::Held;
pub(crate) use {
    baseline::Networks,
    detector::{Detector, Finding, Miss},
    holds::Holds,
};

use crate::{
    Engine, Error, Payment, accounts,
    alerts::Detail,
    rows::{self, key_of},
    store::{api_keys, usage},
    usage::hour_of,
};

/// Keys that are looked at for an unusual rate in one pass: the busiest.
const BUSY_MAX: i64 = 1_000;

/// Findings of a node that are told, and acted on, in a minute: whoever attacks from everywhere fills no table with it.
const TOLD_MAX: usize = 100;
const MINUTE_MS: i64 = 60_000;

/// What this node has seen, and whom it holds.
pub(crate) struct Detection {
    pub(crate) detector: Detector,
    holds: Holds,
    hasher: RandomState,
    /// Keys of which was told in which hour that it was unusual.
    unusual: Mutex<HashMap<ApiKeyId, i64>>,
    /// In which minute how much was told.
    told: Mutex<(i64, usize)>,
}

impl Detection {
    pub(crate) fn new(settings: DetectionSettings) -> Self {
        Self {
            detector: Detector::new(settings),
            holds: Holds::default(),
            hasher: RandomState::new(),
            unusual: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Whether one thing more may be told in this minute.
    fn may_tell(&self, now: Timestamp) -> bool {
        let minute = now.as_millis().div_euclid(MINUTE_MS);
        let mut told = coffer_net::lock(&self.told);
        let count = if told.0 == minute { told.1 } else { 0 };
        *told = (minute, count.saturating_add(1));
        count < TOLD_MAX
    }
}

/// As alerts and blocks name it.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address}"),
            Self::Key(key) => write!(f, "{key}"),
            Self::Payer(_, address) => write!(f, "payer {address}"),
            Self::Card(_, card) => {
                let (month, year) = (card.expiry.month(), card.expiry.year());
                write!(f, "card {} {} {month:02}/{year}", card.brand, card.last4)
            }
        }
    }
}

impl Subject {
    /// Who was named like this, of those who can be held.
    fn read(text: &str, place: Option<Place>) -> Option<Self> {
        match (text.split_once(' '), place) {
            (Some(("address", address)), _) => address.parse().ok().map(Self::Address),
            (Some(("payer", address)), Some(place)) => address
                .parse()
                .ok()
                .map(|address| Self::Payer(place, address)),
            (Some(_), _) => None,
            (None, _) => text.parse().ok().map(Self::Key),
        }
    }
}

impl Engine {
    /// Somebody did not get what it asked for (401, 403, 404): `what` is the request, of which only a hash is kept.
    pub fn note_miss(&self, address: IpAddr, what: impl Hash, known: bool) {
        let detection = &self.0.detection;
        let miss = Miss {
            address: client_of(address),
            what: detection.hasher.hash_one(what),
            known,
        };
        self.suspect(None, detection.detector.missed(miss, self.now()));
    }

    /// A key from this address does not work.
    pub(crate) fn note_wrong_key(&self, address: IpAddr, text: &str) {
        let detection = &self.0.detection;
        let key = detection.hasher.hash_one(text);
        let found = detection
            .detector
            .wrong_key(client_of(address), key, self.now());
        self.suspect(None, found);
    }

    /// A card was tried: by a key, or by a payer at the page of a payment that a key made.
    pub(crate) fn note_try(&self, payment: &Payment, key: Option<ApiKeyId>, payer: Option<IpAddr>) {
        let Some(declined) = declined(payment) else {
            return;
        };
        let place = payment.place;
        let payer = payer.map(|address| Subject::Payer(place, client_of(address)));
        let card = payment.card.map(|card| Subject::Card(place, card));
        for tester in [key.map(Subject::Key), payer, card].into_iter().flatten() {
            let tried = (payment.amount, declined);
            let found = self.0.detection.detector.tried(&tester, tried, self.now());
            self.suspect(Some(place), found);
        }
    }

    /// Whether somebody may do one thing more.
    pub(crate) fn check_held(&self, subject: &Subject) -> Result<(), Held> {
        let slow = self.0.detection.detector.settings().slow;
        let now = (self.now(), self.0.clock.ticks_us());
        self.0.detection.holds.check(subject, slow, now)
    }

    /// Whether an address gets any answer.
    ///
    /// # Errors
    /// [`Held::Blocked`].
    pub fn check_blocked(&self, address: IpAddr) -> Result<(), Held> {
        let held = self
            .0
            .detection
            .holds
            .of(&Subject::Address(client_of(address)), self.now());
        match held {
            Some(hold) if hold.policy == Policy::Block => Err(Held::Blocked { until: hold.until }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether somebody without a key that works may ask for one thing more.
    ///
    /// # Errors
    /// [`Held`].
    pub fn check_stranger(&self, address: IpAddr) -> Result<(), Held> {
        self.check_held(&Subject::Address(client_of(address)))
    }

    /// Tells of what looks hostile, and holds it back, in a task of its own.
    fn suspect(&self, place: Option<Place>, finding: Option<Finding>) {
        let Some(finding) = finding else {
            return;
        };
        if !self.0.detection.may_tell(self.now()) {
            tracing::warn!(signal = %finding.signal, subject = %finding.subject, "too much looks hostile to tell all of it");
            return;
        }
        let engine = self.clone();
        let telling = task::spawn("detection", async move {
            if let Err(error) = engine.act_on(place, &finding).await {
                tracing::error!(%error, signal = %finding.signal, "what looks hostile could not be told");
            }
        });
        drop(telling);
    }

    async fn act_on(&self, place: Option<Place>, finding: &Finding) -> Result<(), Error> {
        let detail = Detail {
            score: finding.score,
            text: &finding.why,
        };
        let subject = finding.subject.to_string();
        self.alert_explained(place, alert_of(finding.signal), &subject, detail)
            .await?;
        let holdable = match (&finding.subject, finding.signal) {
            // Only its owner knows what would stop with a key that works; and many have one brand, ending and expiry.
            (_, Signal::NewNetwork | Signal::UnusualRate) | (Subject::Card(..), _) => false,
            (Subject::Address(_) | Subject::Key(_) | Subject::Payer(..), _) => true,
        };
        let held = self.0.detection.holds.of(&finding.subject, self.now());
        if !holdable || held.is_some() {
            return Ok(());
        }
        let policy = self.policy(place).await?;
        self.hold_back(place, finding, policy).await
    }

    /// An account's own, in each mode; the installation's for addresses that no key speaks for.
    async fn policy(&self, place: Option<Place>) -> Result<Policy, Error> {
        match place {
            None => Ok(self.0.detection.detector.settings().strangers),
            Some(place) => Ok(accounts::settings(self, place).await?.detection),
        }
    }

    /// Looks whether a key is used from a network that it was never used from.
    pub(crate) async fn watch_networks(
        &self,
        (place, key): (Place, ApiKeyId),
        networks: &Networks,
        addresses: impl Iterator<Item = IpAddr> + Send,
    ) {
        let new = networks.unknown(addresses);
        if new.is_empty() {
            return;
        }
        match self.networks_of(place, key).await {
            Ok(known) => {
                for network in &new {
                    self.suspect(Some(place), self.unlike(key, *network, &known));
                }
                networks.learn(new);
            }
            Err(error) => {
                tracing::warn!(%error, api_key.id = %key, "nobody knows whether a key comes from where it used to");
            }
        }
    }

    /// From where a key was used as far as it is written, and since when.
    async fn networks_of(
        &self,
        place: Place,
        key: ApiKeyId,
    ) -> Result<Vec<(Network, Timestamp)>, Error> {
        let [account, mode] = key_of(place);
        let row = params![account, mode, key.to_string()];
        let mut known = Vec::new();
        for row in self.db().read(&api_keys::NETWORKS, row).await? {
            if let Ok(address) = row.text("value")?.parse() {
                known.push((Network::of(address), rows::time(&row, "first")?));
            }
        }
        Ok(known)
    }

    fn unlike(
        &self,
        key: ApiKeyId,
        network: Network,
        known: &[(Network, Timestamp)],
    ) -> Option<Finding> {
        let settings = self.0.detection.detector.settings();
        let why = baseline::unlike(settings, network, known, self.now())?;
        Some(Finding {
            signal: Signal::NewNetwork,
            subject: Subject::Key(key),
            score: 100,
            why,
        })
    }

    /// Looks for keys that are used far more than usual.
    pub(crate) async fn watch_rates(&self) -> Result<(), Error> {
        let (hour, settings) = (hour_of(self.now()), self.0.detection.detector.settings());
        self.unusual().retain(|_, told| *told == hour);
        let busy = params![hour, settings.rate_floor, BUSY_MAX];
        for row in self.db().read(&usage::BUSY, busy).await? {
            let (place, key): (Place, ApiKeyId) =
                (rows::place(&row)?, rows::word(&row, "api_key")?);
            if self.unusual().contains_key(&key) {
                continue;
            }
            let [account, mode] = key_of(place);
            let since = hour.saturating_sub(baseline::HOURS);
            let past = params![account, mode, since, hour, key.to_string()];
            let past = self.db().read(&usage::HOURS, past).await?;
            let past = past
                .iter()
                .map(|row| Ok((row.integer("hour")?, row.integer("calls")?)));
            let past: Vec<_> = past.collect::<Result<_, Error>>()?;
            let calls = (hour, row.integer("calls")?);
            if let Some((score, why)) = baseline::unusual(settings, calls, &past) {
                self.unusual().insert(key, hour);
                let (signal, subject) = (Signal::UnusualRate, Subject::Key(key));
                self.suspect(
                    Some(place),
                    Some(Finding {
                        signal,
                        subject,
                        score,
                        why,
                    }),
                );
            }
        }
        Ok(())
    }

    fn unusual(&self) -> MutexGuard<'_, HashMap<ApiKeyId, i64>> {
        coffer_net::lock(&self.0.detection.unusual)
    }
}

/// Whether the card of a payment was declined; `None` while nobody knows, or when nobody was asked.
fn declined(payment: &Payment) -> Option<bool> {
    let last = payment.last_attempt?;
    let undecided = [None, Some(DeclineReason::ProcessingError)];
    match (last.operation, last.status) {
        (Operation::Authorize, AttemptStatus::Failed) => {
            (!undecided.contains(&last.decline_reason)).then_some(true)
        }
        (Operation::Authorize, AttemptStatus::Succeeded) | (Operation::Capture, _) => Some(false),
        (Operation::Authorize, AttemptStatus::Sending | AttemptStatus::Unknown)
        | (Operation::Void | Operation::Refund, _) => None,
    }
}

const fn alert_of(signal: Signal) -> AlertKind {
    match signal {
        Signal::Scanning => AlertKind::Scanning,
        Signal::CredentialStuffing => AlertKind::CredentialStuffing,
        Signal::CardTesting => AlertKind::CardTesting,
        Signal::NewNetwork => AlertKind::NewNetwork,
        Signal::UnusualRate => AlertKind::UnusualRate,
    }
}

/// What is done about an account's own, unless it says otherwise.
pub(crate) const fn usual_policy(mode: Mode) -> Policy {
    match mode {
        Mode::Test => Policy::Watch,
        Mode::Live => Policy::Slow,
    }
}
