//! Keeps one role running: starts it again when it dies, later each time it dies young.

use std::time::Duration;

use coffer_net::task;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    child::{Child, Launch},
    event::{Event, Events},
};
use crate::{cli::NamedAddress, directory::Role, failure::Failure};

/// The pause before the first restart.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A role that served this long did not die young.
const SETTLED: Duration = Duration::from_secs(60);

/// A role that is kept running until the keeper stops it.
pub(super) struct Keeper {
    role: Role,
    addresses: Vec<NamedAddress>,
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
}

impl Keeper {
    /// Starts the role. A first start that fails is the operator's to repair, and not tried again, unless what it needs is
    /// only away: after a power cut the database may be up later than we are.
    pub(super) async fn start(mut launch: Launch, events: Events) -> Result<Self, Failure> {
        let child = match launch.start().await {
            Err(Failure::Away(reason)) => start_later(&launch, reason, events).await?,
            outcome => outcome?,
        };
        let (role, addresses) = (launch.role(), child.addresses().to_vec());
        launch.pin(&addresses);
        events.report(&Event::Ready {
            role,
            pid: child.pid(),
            addresses: &addresses,
        });
        let (stop, stopped) = oneshot::channel();
        let work = task::spawn("keep a role running", keep(launch, child, events, stopped));
        Ok(Self {
            role,
            addresses,
            stop,
            work,
        })
    }

    pub(super) const fn role(&self) -> Role {
        self.role
    }

    /// Where it serves, for as long as it is kept.
    pub(super) fn addresses(&self) -> &[NamedAddress] {
        &self.addresses
    }

    /// Stops the role and waits for its end.
    pub(super) async fn stop(self) {
        // Both fail only when the task is gone, and then its child is killed already.
        let _ = self.stop.send(());
        let _ = self.work.await;
    }
}

async fn keep(
    launch: Launch,
    mut child: Child,
    events: Events,
    mut stopped: oneshot::Receiver<()>,
) {
    let role = launch.role();
    let mut backoff = Backoff::default();
    loop {
        let since = Instant::now();
        tokio::select! {
            status = child.ended() => events.report(&Event::Ended { role, status }),
            _ = &mut stopped => {
                child.stop().await;
                events.report(&Event::Stopped { role });
                return;
            }
        }
        if since.elapsed() >= SETTLED {
            backoff = Backoff::default();
        }
        let again = tokio::select! {
            again = start_again(&launch, &mut backoff, events) => again,
            _ = &mut stopped => return events.report(&Event::Stopped { role }),
        };
        child = again;
    }
}

async fn start_again(launch: &Launch, backoff: &mut Backoff, events: Events) -> Child {
    let role = launch.role();
    loop {
        let after = backoff.next();
        events.report(&Event::Restarting { role, after });
        sleep(after).await;
        match launch.start().await {
            Ok(child) => {
                events.report(&Event::Ready {
                    role,
                    pid: child.pid(),
                    addresses: child.addresses(),
                });
                return child;
            }
            Err(failure) => events.report(&Event::Failed {
                role,
                reason: failure.to_string(),
            }),
        }
    }
}

/// As [`start_again`], for a first start.
async fn start_later(
    launch: &Launch,
    mut reason: String,
    events: Events,
) -> Result<Child, Failure> {
    let role = launch.role();
    let mut backoff = Backoff::default();
    loop {
        events.report(&Event::Failed { role, reason });
        let after = backoff.next();
        events.report(&Event::Restarting { role, after });
        sleep(after).await;
        match launch.start().await {
            Err(Failure::Away(again)) => reason = again,
            outcome => return outcome,
        }
    }
}

struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF_FIRST)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = now.saturating_mul(2).min(BACKOFF_MAX);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_keeps_dying_is_restarted_less_and_less_often() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
    }
}
