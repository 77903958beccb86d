//! The key server alone: verify an order, record it, hand out a data key.

use coffer_core::{id::RecordId, provider::Provider};
use coffer_net::{
    Clock,
    contract::{
        Role,
        keys::{Class, Issue, Keys as _, KeysClient, Open, Subject, WrappedKey},
    },
};

use super::openings::Signer;
use crate::{
    drive::{Client, Figures, Plan, drive},
    machine::fsync_time,
    stage::Stage,
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "Signed orders to the key server, 64 at a time over one link with the vault's certificate, each \
    for a new attempt: the order's MAC, the certificate behind it and the budget are checked, the opening is recorded \
    durably, the data key is unwrapped. On SQLite the key server and the load have one core each; on PostgreSQL all three \
    share both.";
pub(super) const LIMIT: &str = "What each opening needs for itself: its order and its MAC, its row and the two index entries that \
    make it the attempt's only one, its part of the log, and unwrapping its key. Calls that wait travel together over the \
    link, and openings that wait are recorded together, by one transaction with one leaf of the log; how many that are \
    depends on how long a commit takes.";

/// Orders on their way at a time.
const CLIENTS: usize = 64;
/// What OpenBao's transit engine did on such a machine (2026-11-22) with its audit log in a buffered file.
const OPENBAO: f64 = 7_300.0;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let fsync = Some(fsync_time());
    let signer = Signer::new(stage).await;
    let keys = KeysClient::new(stage.link(Role::Vault, Role::Keys));
    let issued = issued(stage, &keys).await;
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let clients = issued.iter().map(|(record, wrapped)| Asker {
            signer: &signer,
            keys: &keys,
            record: *record,
            wrapped,
        });
        runs.push(drive(clients.collect(), &stage.roles(&["keys"]), plan).await);
    }
    let (figures, store) = (Figures::median(&runs), stage.store.as_str());
    let judged = Judged {
        what: format!("key server: verify an order, open a data key, durably recorded, {store}"),
        value: figures.rate,
        unit: Unit::PerSecond,
        floor: 3.0 * OPENBAO,
        aim: 5.0 * OPENBAO,
        from: "3 and 5 × OpenBao transit with a buffered audit file, 7,300/s".to_owned(),
        fsync,
    };
    Measured {
        judged: vec![judged],
        lines: vec![Line {
            who: format!("Coffer, {store}"),
            figures,
            fsync,
        }],
        notes: Vec::new(),
    }
}

/// Data keys of records, one for each client.
async fn issued(stage: &Stage, keys: &KeysClient) -> Vec<(RecordId, WrappedKey)> {
    let clock = Clock::system();
    let request = Issue {
        place: stage.place(),
        subject: Subject::Account,
        class: Class::Card,
        records: (0..CLIENTS).map(|_| clock.id()).collect(),
    };
    let issued = keys.issue(request).await.expect("data keys").keys;
    issued
        .into_iter()
        .map(|key| (key.record, key.wrapped))
        .collect()
}

struct Asker<'s> {
    signer: &'s Signer,
    keys: &'s KeysClient,
    record: RecordId,
    wrapped: &'s WrappedKey,
}

impl Client for Asker<'_> {
    async fn act(&mut self) -> bool {
        let open = Open {
            subject: Subject::Account,
            class: Class::Card,
            wrapped: self.wrapped.clone(),
            order: self.signer.order(self.record, Provider::simulator()).1,
        };
        self.keys.open(open).await.map(drop).expect("a data key");
        true
    }
}
