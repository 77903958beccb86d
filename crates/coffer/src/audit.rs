//! `coffer audit …`: the logs of all roles verified from their stores alone, without a running process and without trust in
//! one, and their heads kept elsewhere, so that all of it together cannot be rolled back unnoticed.

mod export;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use coffer_audit::{Anchor, Trust, Verdict, merkle::Tree};
use coffer_crypto::VerifyingKey;
use coffer_db::Database;
use coffer_net::{Clock, contract};

use crate::{
    cli::AuditCommand,
    configuration::Configuration,
    console,
    directory::{Directory, Role},
    failure::Failure,
    init::SERVICE_KEY,
    runtime, secret_file,
    serve::{schema::Schema, store::Store},
};

/// The roles with a log. The key server first: it remembers the heads of the others.
const ROLES: [Role; 3] = [Role::Keys, Role::Vault, Role::Api];

pub(crate) use export::{Records, RecordsWanted, records};

/// Runs a command.
pub(crate) fn run(command: AuditCommand) -> Result<(), Failure> {
    coffer_net::tls::install_provider();
    match command {
        AuditCommand::Verify { place, anchor } => {
            let site = Site::open(&place.dir)?;
            let anchors = anchor.as_deref().map(read_anchors).transpose()?;
            runtime::command(site.verify(&anchors.unwrap_or_default()))
        }
        AuditCommand::Anchor { place, to } => {
            let site = Site::open(&place.dir)?;
            let anchors = runtime::command(site.anchors())?;
            write_anchors(&to, &anchors)
        }
        AuditCommand::Export(arguments) => runtime::command(export::run(arguments)),
    }
}

fn read_anchors(path: &Path) -> Result<Vec<Anchor>, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure::Operator(format!("{}: {error}", path.display())))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    let anchors: Result<Vec<_>, _> = lines.map(serde_json::from_str).collect();
    anchors.map_err(|error| Failure::Operator(format!("{}: {error}", path.display())))
}

fn write_anchors(to: &Path, anchors: &[Anchor]) -> Result<(), Failure> {
    let doing = |error| Failure::doing(format_args!("writing {}", to.display()), error);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(to)
        .map_err(doing)?;
    for anchor in anchors {
        file.write_all(anchor.line().as_bytes()).map_err(doing)?;
        console::say(&format!("{}: {} entries", anchor.log, anchor.size));
    }
    file.sync_all().map_err(doing)
}

/// The stores of an installation, as far as they are here.
struct Site {
    directory: Directory,
    configuration: Configuration,
}

impl Site {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let directory = Directory::open(dir)?;
        let configuration = Configuration::load(&directory.configuration())?;
        Ok(Self {
            directory,
            configuration,
        })
    }

    /// The role's store, beside the role if it runs; none when it is not on this machine.
    async fn store(&self, role: Role) -> Result<Option<Database>, Failure> {
        let postgres = self.configuration.postgres.as_ref();
        let store = Store::of(&self.directory, postgres, role)?;
        if store.is_file() && !self.directory.database(role).exists() {
            return Ok(None);
        }
        let schema = Schema::of(role);
        store
            .open(schema.migrations, schema.statements)
            .await
            .map(Some)
    }

    async fn anchors(&self) -> Result<Vec<Anchor>, Failure> {
        let mut anchors = Vec::new();
        for role in ROLES {
            let Some(db) = self.store(role).await? else {
                continue;
            };
            let signed = coffer_audit::last_signed(&db).await;
            db.close().await;
            let signed = signed
                .map_err(|error| Failure::doing(format_args!("reading {role}'s log"), error))?;
            anchors.extend(signed.map(|signed| Anchor::of(role.as_str(), &signed)));
        }
        Ok(anchors)
    }

    /// Verifies every log that is here; all of them, even when one is broken.
    async fn verify(&self, anchors: &[Anchor]) -> Result<(), Failure> {
        let keys = self.store(Role::Keys).await?;
        let public_key = match &keys {
            Some(keys) => coffer_keys::checkpoint_key(keys).await.ok(),
            None => None,
        };
        let mut broken = Vec::new();
        for role in ROLES {
            let Some(db) = self.store(role).await? else {
                console::say(&format!("{role}: not on this machine"));
                continue;
            };
            let remembered = self.remembered(keys.as_ref(), role).await?;
            let mut verdict = self.verify_log(&db, role, (public_key, remembered)).await;
            for anchor in anchored(anchors, role)? {
                if matches!(&verdict, Ok(Verdict { fault: None, .. })) {
                    let head = (public_key, Some(anchor));
                    verdict = self.verify_log(&db, role, head).await;
                }
            }
            broken.extend(told(role, verdict));
            db.close().await;
        }
        if let Some(keys) = keys {
            keys.close().await;
        }
        if broken.is_empty() {
            Ok(())
        } else {
            Err(Failure::System(broken.join("\n")))
        }
    }

    /// What the key server has signed last of this role's log.
    async fn remembered(
        &self,
        keys: Option<&Database>,
        role: Role,
    ) -> Result<Option<Tree>, Failure> {
        let Some(keys) = keys else {
            return Ok(None);
        };
        let log = match role {
            Role::Api => contract::Role::Api,
            Role::Vault => contract::Role::Vault,
            Role::Keys => contract::Role::Keys,
            Role::Simulator => return Ok(None),
        };
        let remembered = coffer_keys::remembered(keys, log).await;
        remembered
            .map(Some)
            .map_err(|error| Failure::doing("reading what the key server remembers", error))
    }

    async fn verify_log(
        &self,
        db: &Database,
        role: Role,
        (public_key, remembered): (Option<VerifyingKey>, Option<Tree>),
    ) -> Result<Verdict, coffer_audit::Error> {
        let service_key = self.directory.file(role, SERVICE_KEY);
        let audit = match role {
            Role::Api => secret_file::read_key(&service_key)
                .ok()
                .map(|key| coffer_engine::log_of(&key, "verify")),
            Role::Vault | Role::Keys | Role::Simulator => None,
        };
        let trust = Trust {
            role: role.as_str(),
            public_key,
            remembered,
            audit: audit.as_ref(),
            now: Clock::system().now(),
        };
        coffer_audit::verify(db, &trust).await
    }
}

/// The heads of this role's log that were kept elsewhere.
fn anchored(anchors: &[Anchor], role: Role) -> Result<Vec<Tree>, Failure> {
    let of_role = anchors.iter().filter(|anchor| anchor.log == role.as_str());
    let trees: Option<Vec<_>> = of_role.map(Anchor::tree).collect();
    trees.ok_or_else(|| Failure::Operator("an anchor's root is no hash".to_owned()))
}

/// Says what was found of a log; what is wrong with it, if anything is.
fn told(role: Role, verdict: Result<Verdict, coffer_audit::Error>) -> Option<String> {
    let wrong = match verdict {
        Ok(Verdict {
            tree,
            unsequenced,
            checkpoints,
            pruned,
            contents_from,
            fault: None,
        }) => {
            console::say(&format!(
                "{role}: {} entries as they were recorded, {checkpoints} signed heads, {unsequenced} waiting",
                tree.size
            ));
            if let (1.., Some(from)) = (pruned, contents_from) {
                console::say(&format!(
                    "{role}: the first {pruned} of them were pruned; contents are there since {from}"
                ));
            }
            return None;
        }
        Ok(Verdict {
            fault: Some(fault), ..
        }) => fault.to_string(),
        Err(error) => error.to_string(),
    };
    Some(format!("{role}: {wrong}"))
}
