//! `coffer alerts` and `coffer pages check`: what needs a person's attention.

use std::{pin::Pin, sync::Arc};

use axum::response::Response;
use coffer_api::Api;
use coffer_core::alert::AlertKind;
use coffer_engine::{Alert, Engine};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    accounts::{Reach, answer},
    admin::Socket,
    cli::{AlertsArguments, Place},
    console,
    directory::{Directory, Role},
    failure::Failure,
    runtime,
};

/// Raises an alert of the operator's about this.
pub(crate) type Alarm =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The alarm for one kind of alert.
pub(crate) fn alarm(engine: &Engine, kind: AlertKind) -> Alarm {
    let engine = engine.clone();
    Arc::new(move |what| {
        let engine = engine.clone();
        Box::pin(async move {
            if let Err(error) = engine.alert_raise(None, kind, &what).await {
                tracing::warn!(?error, alert.kind = %kind, "an alert cannot be stored");
            }
        })
    })
}

/// An alert, as the operator sees it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shown {
    id: String,
    /// Whose it is; none for the operator's own.
    account: Option<String>,
    mode: Option<String>,
    kind: String,
    subject: String,
    times: i64,
    first: String,
    last: String,
    /// Of what detection has found.
    score: Option<i64>,
    detail: Option<String>,
}

/// What `coffer pages check` found.
#[derive(Serialize, Deserialize)]
pub(crate) struct Checked {
    findings: Vec<String>,
}

impl Shown {
    fn of(alert: Alert) -> Self {
        let Alert {
            id,
            place,
            kind,
            subject,
            times,
            version: _,
            created,
            updated,
            score,
            detail,
        } = alert;
        Self {
            id: id.to_string(),
            account: place.map(|place| place.account.to_string()),
            mode: place.map(|place| place.mode.to_string()),
            kind: kind.to_string(),
            subject,
            times,
            first: created.to_string(),
            last: updated.to_string(),
            score,
            detail,
        }
    }
}

/// Everybody's alerts, what was seen last first.
pub(crate) async fn newest(engine: &Engine) -> Result<Vec<Shown>, Failure> {
    let alerts = engine.alerts_newest().await;
    let alerts = alerts.map_err(|error| Failure::System(format!("reading alerts: {error:?}")))?;
    Ok(alerts.into_iter().map(Shown::of).collect())
}

/// Looks at the payment pages now.
pub(crate) async fn check(api: &Api) -> Response {
    let looked = api.look_at_pages().await;
    let looked =
        looked.map_err(|error| Failure::System(format!("looking at the pages: {error:?}")));
    let shown = |finding: &coffer_net::page::Finding| finding.to_string();
    let checked = looked.map(|findings| Checked {
        findings: findings.iter().map(shown).collect(),
    });
    answer(checked)
}

/// `coffer alerts`.
pub(crate) fn list(arguments: &AlertsArguments) -> Result<(), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let alerts = runtime::command(async {
        let (reach, _lock) = Reach::open(&directory).await?;
        reach.alerts().await
    })?;
    if arguments.json {
        console::say(&json!({"alerts": alerts}).to_string());
        return Ok(());
    }
    if alerts.is_empty() {
        console::say("no alerts");
    }
    for alert in &alerts {
        console::say(&line(alert));
    }
    Ok(())
}

fn line(alert: &Shown) -> String {
    let whose = match (&alert.account, &alert.mode) {
        (Some(account), Some(mode)) => format!("{account} {mode}"),
        _ => "operator".to_owned(),
    };
    let Shown {
        kind,
        subject,
        times,
        first,
        last,
        detail,
        ..
    } = alert;
    let why = detail
        .as_ref()
        .map_or_else(String::new, |detail| format!("\n    {detail}"));
    format!("{last}  {kind}  {subject}\n    {whose}, seen {times} times since {first}{why}")
}

/// `coffer pages check`.
pub(crate) fn pages_check(place: &Place) -> Result<(), Failure> {
    let directory = Directory::open(&place.dir)?;
    Reach::running(&directory)?;
    let socket = Socket::of(&directory, Role::Api);
    let answer = runtime::command(socket.post("/pages/check", json!({})))?;
    let Checked { findings } = serde_json::from_value(answer)
        .map_err(|error| Failure::doing("reading the answer", error))?;
    if findings.is_empty() {
        console::say("the payment pages are as they were made");
        return Ok(());
    }
    for finding in &findings {
        console::say(finding);
    }
    Err(Failure::Operator(
        "the payment pages are not as they were made: find out what changes them between Coffer and the payer".to_owned(),
    ))
}
