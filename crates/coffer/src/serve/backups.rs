//! Puts on record what was done with the role's store from outside: `coffer backup` works beside the role, which alone writes its
//! log.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use coffer_audit::{Actor, ActorKind, Audit, Entry, Error};
use coffer_core::id::LeafId;
use coffer_crypto::digest;
use coffer_db::Database;
use coffer_net::Tasks;

use super::process::Process;
use crate::{
    backup::{Act, Notes},
    directory::{Directory, Role},
};

/// How often the role looks for something new.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Records what is noted and not on record yet, until the tasks are stopped.
pub(super) fn record(process: &Process, db: &Database, tasks: &Tasks) {
    let recorder = Recorder {
        directory: process.directory.clone(),
        role: process.role,
        db: db.clone(),
        recorded: Mutex::default(),
    };
    let recorder = Arc::new(recorder);
    tasks.every(
        "record of backups",
        LOOK_EVERY,
        &recorder,
        async |recorder| recorder.record().await,
    );
}

struct Recorder {
    directory: Directory,
    role: Role,
    db: Database,
    /// What is known to be on record.
    recorded: Mutex<HashSet<LeafId>>,
}

impl Recorder {
    async fn record(&self) -> Result<(), Error> {
        let notes = Notes::of(&self.directory, self.role).unwrap_or_default();
        for act in &notes.acts {
            let id = self.leaf_of(act);
            if coffer_net::lock(&self.recorded).contains(&id) {
                continue;
            }
            let operator = Actor::new(ActorKind::Operator, "local");
            let entry = Entry::new(operator, act.deed.as_str()).object(&act.backup);
            let leaf = Audit::impersonal(self.role.as_str()).leaf(act.at, id, entry)?;
            match self.db.transact(leaf).await {
                // Recorded now, or before this process was started.
                Ok(_) | Err(coffer_db::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
            coffer_net::lock(&self.recorded).insert(id);
        }
        Ok(())
    }

    /// The same for the same act, so that it is recorded once.
    fn leaf_of(&self, act: &Act) -> LeafId {
        let parts = [self.role.as_str(), act.deed.as_str(), &act.backup].map(str::as_bytes);
        let digest = digest(&parts);
        LeafId::from_parts(act.at, digest.first_chunk().copied().unwrap_or_default())
    }
}
