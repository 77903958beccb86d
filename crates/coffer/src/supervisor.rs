//! `coffer up`: starts the roles of this machine in order, restarts what dies, and stops them in order.
//!
//! It holds no secret and opens no store. A child hangs on its stdin: when this process dies in any way, the pipe closes
//! and the child stops by itself, so that nothing is orphaned.

mod child;
mod event;
mod keeper;

use crate::{
    cli::UpArguments,
    configuration::{Configuration, Profile},
    directory::{Directory, Role},
    env::{self, Credentials},
    failure::Failure,
    runtime, sandbox,
    serve::origin,
    signals::Signals,
};
use child::Launch;
use event::{Event, Events};
use keeper::Keeper;

/// The order of starting: each needs those before it.
const START_ORDER: &[Role] = &[Role::Keys, Role::Simulator, Role::Vault, Role::Api];
/// The name of the payers' face, as `api` announces it.
const CHECKOUT: &str = "checkout";
/// The order of stopping: nobody stops before those that use it.
const STOP_ORDER: &[Role] = &[Role::Api, Role::Vault, Role::Keys, Role::Simulator];

/// Runs until it is told to stop.
pub(crate) fn run(arguments: &UpArguments) -> Result<(), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let configuration = Configuration::load(&directory.configuration())?;
    sandbox::refuse_root(configuration.profile, arguments.allow_root)?;
    let up = Up {
        directory,
        configuration,
        allow_root: arguments.allow_root,
        events: Events::new(arguments.json),
    };
    runtime::command(up.run())
}

struct Up {
    directory: Directory,
    configuration: Configuration,
    allow_root: bool,
    events: Events,
}

impl Up {
    async fn run(self) -> Result<(), Failure> {
        let mut signals = Signals::new()?;
        let mut keepers = Vec::new();
        let started = tokio::select! {
            started = self.start(&mut keepers) => Some(started),
            () = signals.received() => None,
        };
        let outcome = match started {
            Some(Ok(())) => {
                signals.received().await;
                Ok(())
            }
            Some(Err(failure)) => Err(failure),
            None => Ok(()),
        };
        self.stop(keepers).await;
        outcome
    }

    async fn start(&self, keepers: &mut Vec<Keeper>) -> Result<(), Failure> {
        let mut known = Vec::new();
        for role in START_ORDER
            .iter()
            .copied()
            .filter(|role| self.is_run(*role))
        {
            let launch = Launch::new(role, &self.directory, self.allow_root, &known)?;
            let keeper = Keeper::start(launch, self.events).await?;
            known.extend(keeper.addresses().iter().cloned());
            keepers.push(keeper);
        }
        if self.configuration.profile == Profile::Development {
            self.demo_account().await?;
        }
        let port = known.iter().find(|named| named.name == CHECKOUT);
        let port = port.map_or(0, |named| named.address.port());
        self.events.report(&Event::Up {
            profile: self.configuration.profile,
            checkout_origin: &origin::checkout(&self.configuration, port),
        });
        Ok(())
    }

    /// The simulator moves no money: it has no place in production unless an operator runs it on purpose.
    fn is_run(&self, role: Role) -> bool {
        match (role, self.configuration.profile) {
            (Role::Simulator, Profile::Production) => false,
            (Role::Simulator, Profile::Development) | (Role::Keys | Role::Vault | Role::Api, _) => {
                true
            }
        }
    }

    /// An account to try things with, made at the first start; its keys are shown this once.
    async fn demo_account(&self) -> Result<(), Failure> {
        if let Some(Credentials {
            account,
            publishable_key,
            secret_key,
        }) = env::demo_account(&self.directory).await?
        {
            self.events.report(&Event::Account {
                account,
                publishable_key,
                secret_key,
            });
        }
        Ok(())
    }

    async fn stop(&self, mut keepers: Vec<Keeper>) {
        self.events.report(&Event::Stopping);
        for role in STOP_ORDER {
            if let Some(place) = keepers.iter().position(|keeper| keeper.role() == *role) {
                keepers.swap_remove(place).stop().await;
            }
        }
        self.events.report(&Event::Down);
    }
}
