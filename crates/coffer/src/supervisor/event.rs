//! What `coffer up` reports, as lines for people or as JSON lines for programs.

use std::{process::ExitStatus, time::Duration};

use serde_json::{Value, json};

use crate::{cli::NamedAddress, configuration::Profile, console, directory::Role};

/// Something that happened.
pub(super) enum Event<'a> {
    /// A role serves.
    Ready {
        /// Which.
        role: Role,
        /// Its process.
        pid: u32,
        /// Its faces and links.
        addresses: &'a [NamedAddress],
    },
    /// A role's process ended though nobody asked it to.
    Ended {
        /// Which.
        role: Role,
        /// How.
        status: Option<ExitStatus>,
    },
    /// A role will be started again.
    Restarting {
        /// Which.
        role: Role,
        /// When.
        after: Duration,
    },
    /// A role could not be started again.
    Failed {
        /// Which.
        role: Role,
        /// Why.
        reason: String,
    },
    /// The demo account was made. The keys are shown this once.
    Account {
        /// Its id.
        account: String,
        /// For browsers.
        publishable_key: String,
        /// For servers.
        secret_key: String,
    },
    /// Everything serves.
    Up {
        /// Under these rules.
        profile: Profile,
        /// Where payers pay.
        checkout_origin: &'a str,
    },
    /// Everything is told to stop.
    Stopping,
    /// A role stopped, as it was told.
    Stopped {
        /// Which.
        role: Role,
    },
    /// Everything has stopped.
    Down,
}

/// Where events go.
#[derive(Clone, Copy)]
pub(super) struct Events {
    json: bool,
}

impl Events {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn report(self, event: &Event<'_>) {
        console::say(&if self.json {
            event.as_json().to_string()
        } else {
            event.as_text()
        });
    }
}

impl Event<'_> {
    fn as_json(&self) -> Value {
        match self {
            Self::Ready {
                role,
                pid,
                addresses,
            } => {
                let addresses: serde_json::Map<String, Value> = addresses
                    .iter()
                    .map(|named| (named.name.clone(), named.address.to_string().into()))
                    .collect();
                json!({"event": "ready", "role": role, "pid": pid, "addresses": addresses})
            }
            Self::Ended { role, status } => {
                json!({"event": "ended", "role": role, "status": described(*status)})
            }
            Self::Restarting { role, after } => {
                json!({"event": "restarting", "role": role, "after_ms": u64::try_from(after.as_millis()).unwrap_or(u64::MAX)})
            }
            Self::Failed { role, reason } => {
                json!({"event": "failed", "role": role, "reason": reason})
            }
            Self::Account {
                account,
                publishable_key,
                secret_key,
            } => {
                json!({"event": "account", "account": account, "publishable_key": publishable_key, "secret_key": secret_key})
            }
            Self::Up {
                profile,
                checkout_origin,
            } => json!({"event": "up", "profile": profile, "checkout_origin": checkout_origin}),
            Self::Stopping => json!({"event": "stopping"}),
            Self::Stopped { role } => json!({"event": "stopped", "role": role}),
            Self::Down => json!({"event": "down"}),
        }
    }

    fn as_text(&self) -> String {
        match self {
            Self::Ready {
                role,
                pid,
                addresses,
            } => {
                let addresses: Vec<String> =
                    addresses.iter().map(NamedAddress::to_string).collect();
                format!("{role}: ready, process {pid}, {}", addresses.join(" "))
            }
            Self::Ended { role, status } => format!("{role}: ended ({})", described(*status)),
            Self::Restarting { role, after } => {
                format!("{role}: starting again in {} ms", after.as_millis())
            }
            Self::Failed { role, reason } => format!("{role}: {reason}"),
            Self::Account {
                account,
                publishable_key,
                secret_key,
            } => format!(
                "demo account {account}; its test keys, shown this once (another: coffer env)\n  publishable {publishable_key}\n  secret      {secret_key}"
            ),
            Self::Up {
                profile,
                checkout_origin,
            } => {
                format!("up ({profile} profile), payers pay at {checkout_origin}; stop with Ctrl-C")
            }
            Self::Stopping => "stopping".to_owned(),
            Self::Stopped { role } => format!("{role}: stopped"),
            Self::Down => "stopped".to_owned(),
        }
    }
}

fn described(status: Option<ExitStatus>) -> String {
    status.map_or_else(
        || "nobody knows how".to_owned(),
        |status| status.to_string(),
    )
}
