//! An entry of the log.

use coffer_core::Mode;
use coffer_engine::{ActorKind, AuditRecord, Outcome, Public, RecordName, Recorded};

use crate::shape::{ObjectType, Time, object};

object! {
    /// Something that was done, read or refused.
    pub(crate) struct AuditRecordView as "AuditRecord" {
        /// Its id: that of the leaf of the log, and the place in it.
        id: RecordName,
        /// The kind of object.
        r#type: ObjectType,
        /// Test or live; none for what belongs to neither.
        mode: Option<Mode>,
        /// When it happened.
        time: Time,
        /// Who did it.
        actor: ActorView,
        /// What was done: an event's type, or the name of an operation.
        action: String,
        /// Method and route, never the values in them.
        endpoint: String,
        /// How it ended.
        outcome: Outcome,
        /// What it concerned; of a signed request last the signing key.
        objects: Vec<String>,
        /// In the course of which request.
        request_id: Option<coffer_core::id::RequestId>,
        /// From which address, unless that was erased.
        address: Option<String>,
        /// The version of TLS.
        tls_version: Option<String>,
        /// How long it took, in milliseconds.
        latency_ms: i64,
        /// The leaf's place in the log; none in the first second.
        sequence: Option<i64>,
    }
}

object! {
    /// Who did it.
    pub(crate) struct ActorView as "Actor" {
        /// What kind of actor.
        r#type: ActorKind,
        /// Its id: an API key's, for instance.
        id: String,
    }
}

impl AuditRecordView {
    /// The columns of a table of records.
    pub(crate) const COLUMNS: &'static [&'static str] = &[
        "time",
        "id",
        "mode",
        "actor_type",
        "actor_id",
        "action",
        "endpoint",
        "outcome",
        "objects",
        "request_id",
        "address",
        "tls_version",
        "latency_ms",
        "sequence",
    ];

    /// The row of one.
    pub(crate) fn cells(self) -> [String; Self::COLUMNS.len()] {
        fn word(value: Option<impl ToString>) -> String {
            value.map(|value| value.to_string()).unwrap_or_default()
        }
        let Self {
            id,
            r#type: _,
            mode,
            time: Time(time),
            actor: ActorView { r#type, id: actor },
            action,
            endpoint,
            outcome,
            objects,
            request_id,
            address,
            tls_version,
            latency_ms,
            sequence,
        } = self;
        [
            time.to_string(),
            id.to_string(),
            word(mode),
            r#type.to_string(),
            actor,
            action,
            endpoint,
            outcome.to_string(),
            objects.join(" "),
            word(request_id),
            word(address),
            word(tls_version),
            latency_ms.to_string(),
            word(sequence),
        ]
    }

    /// An entry as its account sees it.
    pub(crate) fn of(record: AuditRecord) -> Self {
        let AuditRecord { id, entry } = record;
        let Recorded { time, public } = entry.recorded;
        let Public {
            actor,
            action,
            route,
            outcome,
            objects,
            mode,
            request,
            latency_ms,
            tls,
        } = public;
        Self {
            id,
            r#type: ObjectType::AuditRecord,
            mode,
            time: Time(time),
            actor: ActorView {
                r#type: actor.kind,
                id: actor.id,
            },
            action: action.into_owned(),
            endpoint: route.into_owned(),
            outcome,
            objects,
            request_id: request,
            address: entry.address,
            tls_version: Some(tls.into_owned()).filter(|tls| !tls.is_empty()),
            latency_ms,
            sequence: entry.sequence,
        }
    }
}
