//! `coffer api-keys …`: keys of every account, by the operator.

use std::fmt::Write as _;

use coffer_core::{Mode, id::AccountId, time::DAY_MS};
use serde_json::Value;

use crate::{
    accounts::{AccountWanted, KeyAct, KeyTask, KeyWanted, KeysWanted, Reach},
    cli::{ApiKeysCommand, KeyNamed, KeysListed, NewKeyArguments},
    console,
    directory::Directory,
    failure::Failure,
    runtime,
};

/// What a list shows of a key.
const COLUMNS: [(&str, &str); 8] = [
    ("ID", "/id"),
    ("KIND", "/kind"),
    ("STATE", "/state"),
    ("LAST4", "/last4"),
    ("EXPIRES", "/expires"),
    ("LAST USED", "/last_use/time"),
    ("FROM", "/last_use/address"),
    ("NAME", "/name"),
];

/// Runs a command.
pub(crate) fn run(command: ApiKeysCommand) -> Result<(), Failure> {
    match command {
        ApiKeysCommand::Create(new) => {
            let directory = Directory::open(&new.owner.place.dir)?;
            runtime::command(create(&directory, new))
        }
        ApiKeysCommand::List(listed) => {
            list(listed, COLUMNS, async |reach, page| reach.keys(page).await)
        }
        ApiKeysCommand::Show(key) => task(&key, KeyAct::Show),
        ApiKeysCommand::Uses(key) => task(&key, KeyAct::Uses),
        ApiKeysCommand::Change {
            key,
            name,
            permissions,
            addresses,
            per_minute,
            caps,
            signed_requests,
        } => {
            let addresses = addresses.map(|addresses| addresses.join(" "));
            let change = KeyAct::Change {
                name,
                permissions,
                addresses,
                per_minute,
                caps: caps.map(|caps| caps.join(" ")),
                signed_requests,
            };
            task(&key, change)
        }
        ApiKeysCommand::Rotate { key, overlap_hours } => {
            task(&key, KeyAct::Rotate { overlap_hours })
        }
        ApiKeysCommand::EndRotation(key) => task(&key, KeyAct::EndRotation),
        ApiKeysCommand::Freeze(key) => task(&key, KeyAct::Freeze),
        ApiKeysCommand::Unfreeze(key) => task(&key, KeyAct::Unfreeze),
        ApiKeysCommand::Revoke(key) => task(&key, KeyAct::Revoke),
    }
}

async fn create(directory: &Directory, new: NewKeyArguments) -> Result<(), Failure> {
    let (reach, _lock) = Reach::open(directory).await?;
    let account = account_of(&reach, new.owner.account, true).await?;
    let wanted = KeyWanted {
        account,
        mode: new.owner.mode,
        kind: new.kind,
        name: new.owner.name,
        permissions: new.permissions,
        lasts_ms: new.days.map(|days| days.saturating_mul(DAY_MS)),
        addresses: new.addresses.join(" "),
        canary: new.canary,
        per_minute: new.per_minute,
        caps: new.caps.join(" "),
        signed_requests: new.signed_requests,
    };
    let made = reach.key(wanted).await?;
    console::say(&format!("{}\n{}", made.id, made.key));
    Ok(())
}

/// Shows all that an account has, by pages, in these columns or as JSON.
pub(crate) fn list<const N: usize>(
    listed: KeysListed,
    columns: [(&str, &str); N],
    page: impl AsyncFn(&Reach, KeysWanted) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    let directory = Directory::open(&listed.place.dir)?;
    let keys = runtime::command(async {
        let (reach, _lock) = Reach::open(&directory).await?;
        let account = account_of(&reach, listed.account, false).await?;
        all((account, listed.mode), async |wanted| {
            page(&reach, wanted).await
        })
        .await
    })?;
    console::print(&if listed.json {
        pretty(&keys)
    } else {
        table(&keys, columns)
    });
    Ok(())
}

/// The account of this name.
pub(crate) async fn account_of(
    reach: &Reach,
    name: String,
    create: bool,
) -> Result<AccountId, Failure> {
    let wanted = AccountWanted { name, create };
    Ok(reach.account(wanted).await?.account)
}

/// Every page of a list.
async fn all(
    (account, mode): (AccountId, Mode),
    page: impl AsyncFn(KeysWanted) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let mut page = page(KeysWanted {
            account,
            mode,
            after,
        })
        .await?;
        if let Some(Value::Array(some)) = page.get_mut("data").map(Value::take) {
            keys.extend(some);
        }
        let last = keys.last().and_then(|key| key.get("id")?.as_str());
        after = last.map(str::to_owned);
        if after.is_none() || page.get("has_more") != Some(&Value::Bool(true)) {
            return Ok(Value::Array(keys));
        }
    }
}

fn task(key: &KeyNamed, act: KeyAct) -> Result<(), Failure> {
    let directory = Directory::open(&key.place.dir)?;
    runtime::command(async {
        let (reach, _lock) = Reach::open(&directory).await?;
        let done = reach.key_task(KeyTask { id: key.key, act }).await?;
        console::print(&pretty(&done));
        Ok(())
    })
}

/// JSON for people.
pub(crate) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// One line per key, with what stands at these places of it.
fn table<const N: usize>(keys: &Value, columns: [(&str, &str); N]) -> String {
    let cell = |key: &Value, pointer: &str| {
        let text = key.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or("–").to_owned()
    };
    let keys = keys.as_array().map_or(&[][..], Vec::as_slice);
    let mut rows = vec![columns.map(|(title, _)| title.to_owned())];
    rows.extend(keys.iter().map(|key| columns.map(|(_, at)| cell(key, at))));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (place, cell) in row.iter().enumerate() {
            let widths = rows.iter().filter_map(|row| row.get(place));
            let width = widths.map(|cell| cell.chars().count()).max().unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
