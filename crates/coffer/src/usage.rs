//! `coffer usage`: how much each key of an account asked for, and what it moved.

use std::fmt::Write as _;

use coffer_api::usage_json;
use coffer_core::{Malformed, Mode, Timestamp, id::AccountId};
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
    runtime,
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
}

/// The rows, and after which the next ones come.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsageShown {
    rows: Vec<Value>,
    next: Option<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: UsageArguments) -> Result<(), Failure> {
    let json = arguments.json;
    let rows = runtime::command(all(arguments))?;
    if json {
        console::print(&format!("{:#}\n", Value::Array(rows)));
    } else {
        console::print(&table(&rows));
    }
    Ok(())
}

async fn all(arguments: UsageArguments) -> Result<Vec<Value>, Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let (reach, _lock) = Reach::open(&directory).await?;
    let wanted = AccountWanted {
        name: arguments.account,
        create: false,
    };
    let account = reach.account(wanted).await?.account;
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let wanted = UsageWanted {
            account,
            mode: arguments.mode,
            from: arguments.from,
            to: arguments.to,
            after,
        };
        let shown = reach.usage(wanted).await?;
        rows.extend(shown.rows);
        match shown.next {
            Some(next) => after = Some(next),
            None => return Ok(rows),
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
    } = wanted;
    let page = Page::new(Some(PAGE), after).map_err(|Malformed { expected }| Error::Invalid {
        field: "after",
        expected,
    })?;
    let filter = UsageFilter {
        key: None,
        from,
        to,
    };
    let listed = engine
        .usage_list(Place { account, mode }, filter, page)
        .await?;
    let last = listed.items.last().map(|hour| hour.id.to_string());
    Ok(UsageShown {
        rows: listed.items.into_iter().map(usage_json).collect(),
        next: last.filter(|_| listed.has_more),
    })
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
