//! Alerts: what needs a person's attention, an account's or the operator's. One alert per kind and subject: what goes on is
//! counted, and told again only when it comes back after a silence.

use coffer_core::{
    Mode, Timestamp,
    alert::AlertKind,
    event::EventType,
    id::{AccountId, AlertId},
};
use coffer_db::{Row, Transaction, Value, params};
use coffer_net::contract::Place;

use crate::{
    Caller, Engine, Error, Listed, Page,
    commit::By,
    events::Happened,
    rows::{self, key_of},
    store::alerts as sql,
};

/// What comes back after this long is told anew.
const SILENCE_MS: i64 = 60 * 60 * 1000;
/// The longest subject.
const SUBJECT_MAX: usize = 200;
/// How many alerts the operator is shown.
const NEWEST_MAX: i64 = 100;

/// Something that needs a person's attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Whose it is; none for the operator's.
    pub place: Option<Place>,
    /// What happened.
    pub kind: AlertKind,
    /// To what: words of ours, never a value of a request.
    pub subject: String,
    /// How often it was seen.
    pub times: i64,
    /// Grows when it is told again.
    pub version: i64,
    /// When it was seen first.
    pub created: Timestamp,
    /// When it was seen last.
    pub updated: Timestamp,
    /// How much more than usual it was when it was seen last, for what detection has found: 100 at its threshold.
    pub score: Option<i64>,
    /// What was seen last, and what would be usual.
    pub detail: Option<String>,
}

/// What there is to say of an alert, beside its subject.
#[derive(Clone, Copy)]
pub(crate) struct Detail<'a> {
    pub(crate) score: i64,
    pub(crate) text: &'a str,
}

impl Engine {
    /// Raises an alert: an account's gets the event `alert.raised`, the operator's a line in the log.
    ///
    /// # Errors
    /// When the store cannot serve.
    pub async fn alert_raise(
        &self,
        place: Option<Place>,
        kind: AlertKind,
        subject: &str,
    ) -> Result<(), Error> {
        self.raise(place, kind, subject, None).await
    }

    /// As [`Self::alert_raise`], with what was seen.
    pub(crate) async fn alert_explained(
        &self,
        place: Option<Place>,
        kind: AlertKind,
        subject: &str,
        detail: Detail<'_>,
    ) -> Result<(), Error> {
        self.raise(place, kind, subject, Some(detail)).await
    }

    async fn raise(
        &self,
        place: Option<Place>,
        kind: AlertKind,
        subject: &str,
        detail: Option<Detail<'_>>,
    ) -> Result<(), Error> {
        let subject: String = subject.chars().take(SUBJECT_MAX).collect();
        let [account, mode] = owner(place);
        let find = params![account, mode, kind.as_str(), subject.as_str()];
        let known = self
            .db()
            .read_optional(&sql::ALERT_BY_SUBJECT, find)
            .await?
            .map(|row| read(&row))
            .transpose()?;
        let now = self.now();
        let told = match known {
            Some(known) if now.since(known.updated) < SILENCE_MS => {
                let [account, mode] = owner(place);
                let mut row = params![account, mode, known.id.to_string(), now.as_millis()];
                row.extend(explained(detail));
                let count = Transaction::new().one(&sql::ALERT_COUNT, row);
                self.db().transact(count).await?;
                return Ok(());
            }
            Some(known) => self.alert_again(&known, now, detail).await,
            None => {
                self.alert_insert(place, (kind, &subject), now, detail)
                    .await
            }
        };
        match told {
            Ok(()) => {
                let why = detail.map_or("", |detail| detail.text);
                tracing::warn!(alert.kind = %kind, alert.subject = subject, why, "an alert was raised");
                Ok(())
            }
            // Another node, or another request, was faster with the same.
            Err(error)
                if error.is_conflict_at(&sql::ALERT_INSERT)
                    || error.is_conflict_at(&sql::ALERT_AGAIN) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn alert_insert(
        &self,
        place: Option<Place>,
        (kind, subject): (AlertKind, &str),
        now: Timestamp,
        detail: Option<Detail<'_>>,
    ) -> Result<(), coffer_db::Error> {
        let (id, [account, mode]): (AlertId, _) = (self.0.clock.id(), owner(place));
        let mut row = params![
            account,
            mode,
            id.to_string(),
            kind.as_str(),
            subject,
            now.as_millis()
        ];
        row.extend(explained(detail));
        let change = Transaction::new().one(&sql::ALERT_INSERT, row);
        self.alert_commit(place, id, 1, change).await
    }

    async fn alert_again(
        &self,
        known: &Alert,
        now: Timestamp,
        detail: Option<Detail<'_>>,
    ) -> Result<(), coffer_db::Error> {
        let [account, mode] = owner(known.place);
        let mut row = params![account, mode, known.id.to_string(), now.as_millis()];
        row.extend(explained(detail));
        row.push(known.version.into());
        let change = Transaction::new().one(&sql::ALERT_AGAIN, row);
        let version = known.version.saturating_add(1);
        self.alert_commit(known.place, known.id, version, change)
            .await
    }

    /// With its record, and with its event if it is an account's.
    async fn alert_commit(
        &self,
        place: Option<Place>,
        id: AlertId,
        version: i64,
        change: Transaction,
    ) -> Result<(), coffer_db::Error> {
        let change = match place {
            Some(place) => {
                let raised = Happened::to(id, version, EventType::AlertRaised);
                change.append(self.tell(place, &[raised]))
            }
            None => change,
        };
        self.commit(By::System, place, "alert.raise", &id.to_string(), change)
            .await
            .map(drop)
    }

    /// One alert of the caller's account and mode.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn alert(&self, caller: &Caller, id: AlertId) -> Result<Alert, Error> {
        let row = self.find(&sql::ALERT_FIND, "alert", caller.place, id);
        read(&row.await?)
    }

    /// Alerts of the caller's account and mode, the newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cursor that is no id of an alert.
    pub async fn alert_list(&self, caller: &Caller, page: Page) -> Result<Listed<Alert>, Error> {
        let [account, mode] = key_of(caller.place);
        let row = params![account, mode, page.before_id::<AlertId>()?, page.fetch()];
        page.read(&self.db().read(&sql::ALERT_LIST, row).await?, read)
    }

    /// Everybody's alerts, what was seen last first, for the operator.
    ///
    /// # Errors
    /// When the store cannot serve.
    pub async fn alerts_newest(&self) -> Result<Vec<Alert>, Error> {
        let rows = self.db().read(&sql::ALERT_NEWEST, params![NEWEST_MAX]);
        rows.await?.iter().map(read).collect()
    }
}

/// The columns of what there is to say.
fn explained(detail: Option<Detail<'_>>) -> Vec<Value> {
    params![
        detail.map(|detail| detail.score),
        detail.map(|detail| detail.text)
    ]
}

/// Account and mode of an alert's key.
fn owner(place: Option<Place>) -> [Value; 2] {
    place.map_or_else(|| ["".into(), "".into()], key_of)
}

fn read(row: &Row) -> Result<Alert, Error> {
    let place = match row.text("account")? {
        "" => None,
        _ => Some(Place {
            account: rows::word::<AccountId>(row, "account")?,
            mode: rows::word::<Mode>(row, "mode")?,
        }),
    };
    Ok(Alert {
        id: rows::word(row, "alert")?,
        place,
        kind: rows::word(row, "kind")?,
        subject: row.text("subject")?.to_owned(),
        times: row.integer("times")?,
        version: row.integer("version")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
        score: row.optional_integer("score")?,
        detail: row.optional_text("detail")?.map(str::to_owned),
    })
}
