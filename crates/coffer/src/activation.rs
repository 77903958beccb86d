//! `coffer accounts …`: every account, and the step from test to live payments.

use crate::{
    accounts::{AccountWanted, ActivationWanted, Reach},
    cli::AccountsCommand,
    console,
    directory::Directory,
    failure::Failure,
    runtime,
};

/// Runs a command.
pub(crate) fn run(command: AccountsCommand) -> Result<(), Failure> {
    match command {
        AccountsCommand::List { place, json } => {
            let directory = Directory::open(&place.dir)?;
            runtime::command(list(&directory, json))
        }
        AccountsCommand::Activate { account, place } => {
            let directory = Directory::open(&place.dir)?;
            runtime::command(activate(&directory, account))
        }
    }
}

async fn list(directory: &Directory, json: bool) -> Result<(), Failure> {
    let (reach, _lock) = Reach::open(directory).await?;
    let accounts = reach.accounts().await?;
    if json {
        let text = serde_json::to_string_pretty(&accounts);
        console::say(&text.map_err(|error| Failure::doing("writing JSON", error))?);
        return Ok(());
    }
    for account in accounts {
        let live = account.activated.map_or_else(
            || "test only".to_owned(),
            |since| format!("live since {since}"),
        );
        console::say(&format!("{}  {live}  {}", account.account, account.name));
    }
    Ok(())
}

async fn activate(directory: &Directory, name: String) -> Result<(), Failure> {
    let (reach, _lock) = Reach::open(directory).await?;
    let found = reach.account(AccountWanted {
        name: name.clone(),
        create: false,
    });
    let account = found.await?.account;
    let activation = reach.activate(ActivationWanted { account }).await?;
    for (item, there) in &activation.checklist {
        console::say(&format!("{} {item}", if *there { "✓" } else { "✗" }));
    }
    match activation.activated {
        Some(since) => {
            console::say(&format!(
                "{name} takes live payments since {since}. Make a key with: coffer api-keys create --account {name} --mode live"
            ));
            Ok(())
        }
        None => Err(Failure::Operator(format!(
            "{name} is not activated: see to what is missing above, then ask again"
        ))),
    }
}
