//! An alert: what needs a person's attention, and what to do about it.

use coffer_core::{Mode, alert::AlertKind, id::AlertId};
use coffer_engine::Alert;

use crate::shape::{Time, object};

object! {
    /// Something that needs a person's attention.
    pub(crate) struct AlertView as "Alert" {
        /// Its id.
        id: AlertId,
        /// Always `alert`.
        r#type: &'static str,
        /// Test or live.
        mode: Option<Mode>,
        /// What happened.
        kind: AlertKind,
        /// To what.
        subject: String,
        /// How often it was seen.
        times: i64,
        /// Grows when it is told again.
        version: i64,
        /// When it was seen first.
        created: Time,
        /// When it was seen last.
        updated: Time,
        /// For what detection has found: 100 at the threshold of its signal, 200 at twice as much in the same time.
        score: Option<i64>,
        /// For what detection has found: what was seen last, and what would be usual.
        detail: Option<String>,
    }
}

impl AlertView {
    /// An alert as its account sees it.
    pub(crate) fn of(alert: Alert) -> Self {
        let Alert {
            id,
            place,
            kind,
            subject,
            times,
            version,
            created,
            updated,
            score,
            detail,
        } = alert;
        Self {
            id,
            r#type: "alert",
            mode: place.map(|place| place.mode),
            kind,
            subject,
            times,
            version,
            created: Time(created),
            updated: Time(updated),
            score,
            detail,
        }
    }
}
