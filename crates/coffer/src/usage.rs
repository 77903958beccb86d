//! `coffer usage`: how much each key of an account asked for, and what it moved.

use std::fmt::Write as _;

use coffer_api::usage_json;
use coffer_core::{
    Malformed, Mode, Timestamp,
    id::{AccountId, SigningKeyId},
};
use coffer_engine::{Engine, Error, Page, UsageFilter};
use coffer_net::contract::Place;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    accounts::{AccountWanted, Reach},
    cli::UsageArguments,
    console,
    directory::Directory,
    failure::Failure,
    runtime, sealing,
};

/// Rows of one page.
const PAGE: i64 = 100;

/// Asks for the next rows, the newest hour first.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsageWanted {
    account: AccountId,
    mode: Mode,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    after: Option<String>,
    /// For the owner of this signing key alone.
    seal_to: Option<SigningKeyId>,
}

/// The rows, and after which the next ones come.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsageShown {
    rows: Vec<Value>,
    next: Option<String>,
    /// The rows as a line with a JWE, in place of them.
    #[serde(default)]
    sealed: Option<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: UsageArguments) -> Result<(), Failure> {
    let (json, seals) = (arguments.json, arguments.seal_to.is_some());
    let (rows, sealed) = runtime::command(all(arguments))?;
    if seals {
        console::print(&sealed);
    } else if json {
        console::print(&format!("{:#}\n", Value::Array(rows)));
    } else {
        console::print(&table(&rows));
    }
    Ok(())
}

/// All rows, or lines with their JWEs.
async fn all(arguments: UsageArguments) -> Result<(Vec<Value>, String), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let (reach, _lock) = Reach::open(&directory).await?;
    let wanted = AccountWanted {
        name: arguments.account,
        create: false,
    };
    let account = reach.account(wanted).await?.account;
    let (mut rows, mut lines, mut after) = (Vec::new(), String::new(), None);
    loop {
        let wanted = UsageWanted {
            account,
            mode: arguments.mode,
            from: arguments.from,
            to: arguments.to,
            after,
            seal_to: arguments.seal_to,
        };
        let shown = reach.usage(wanted).await?;
        sealing::check(arguments.seal_to, shown.sealed.is_some())?;
        rows.extend(shown.rows);
        if let Some(sealed) = shown.sealed {
            lines.push_str(&sealed);
        }
        match shown.next {
            Some(next) => after = Some(next),
            None => return Ok((rows, lines)),
        }
    }
}

/// The next rows.
pub(crate) async fn usage(engine: &Engine, wanted: UsageWanted) -> Result<UsageShown, Error> {
    let UsageWanted {
        account,
        mode,
        from,
        to,
        after,
        seal_to,
    } = wanted;
    let place = Place { account, mode };
    let recipient = engine.recipient_of_operator(Some(place), seal_to).await?;
    let page = Page::new(Some(PAGE), after).map_err(|Malformed { expected }| Error::Invalid {
        field: "after",
        expected,
    })?;
    let filter = UsageFilter {
        key: None,
        from,
        to,
    };
    let listed = engine.usage_list(place, filter, page).await?;
    let last = listed.items.last().map(|hour| hour.id.to_string());
    let rows: Vec<_> = listed.items.into_iter().map(usage_json).collect();
    let next = last.filter(|_| listed.has_more);
    let (rows, sealed) = match recipient {
        None => (rows, None),
        Some(recipient) => {
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            let sealed = sealing::line(&recipient, "application/jsonl", &lines)?;
            (Vec::new(), Some(sealed))
        }
    };
    Ok(UsageShown { rows, next, sealed })
}

/// One line per row.
fn table(rows: &[Value]) -> String {
    let mut text = format!(
        "{:<17} {:<30} {:<44} {:>8} {:>8} {:>7} {:>9}  MONEY\n",
        "HOUR", "KEY", "ENDPOINT", "CALLS", "REFUSED", "FAILED", "MEAN MS"
    );
    for row in rows {
        let word = |name| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name| row.get(name).and_then(Value::as_i64).unwrap_or_default();
        let mean_us = number("latency_mean_us");
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<17} {:<30} {:<44} {:>8} {:>8} {:>7} {:>5}.{:03}  {}",
            word("hour").get(..16).unwrap_or_default(),
            word("api_key"),
            word("endpoint"),
            number("calls"),
            number("refused"),
            number("failed"),
            mean_us / 1000,
            mean_us % 1000,
            money(row)
        );
    }
    text
}

/// `EUR +1999 -500`: captured and refunded, in minor units.
fn money(row: &Value) -> String {
    let moved = row.get("money").and_then(Value::as_array);
    let shown = moved.into_iter().flatten().map(|moved| {
        let number = |name| moved.get(name).and_then(Value::as_i64).unwrap_or_default();
        let currency = moved.get("currency").and_then(Value::as_str);
        format!(
            "{} +{} -{}",
            currency.unwrap_or_default(),
            number("captured"),
            number("refunded")
        )
    });
    shown.collect::<Vec<_>>().join(", ")
}
