//! `coffer env`: a test key that lasts a day, as shell exports; and the demo account of a development installation.

use coffer_core::{Mode, api_key::KeyKind, time::DAY_MS};

use crate::{
    accounts::{AccountWanted, KeyMade, KeyWanted, Reach},
    admin::Socket,
    cli::EnvArguments,
    configuration::{Configuration, Profile},
    console,
    directory::{Directory, Role},
    failure::Failure,
    runtime, serve,
};

/// The account that a development installation begins with.
pub(crate) const DEMO_ACCOUNT: &str = "demo";

/// Prints the exports.
pub(crate) fn run(arguments: &EnvArguments) -> Result<(), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let configuration = Configuration::load(&directory.configuration())?;
    runtime::command(async {
        let (reach, _lock) = Reach::open(&directory).await?;
        let made = day_key(
            &reach,
            configuration.profile,
            &arguments.account,
            "coffer env",
        )
        .await?;
        let url = match reach {
            Reach::Running(socket) => running_origin(&socket).await?,
            Reach::Direct(_) => serve::origin::api(&configuration, configuration.faces.api.port()),
        };
        console::say(&format!("export COFFER_URL={}", quoted(&url)));
        console::say(&format!("export COFFER_API_KEY={}", quoted(&made.key)));
        if configuration.profile == Profile::Development {
            console::say(&format!(
                "export COFFER_CA={}",
                quoted(&directory.development_authority().display().to_string())
            ));
        }
        Ok(())
    })
}

/// A test key of this account that lasts a day, for a command; the demo account of a development installation is made if
/// need be.
pub(crate) async fn day_key(
    reach: &Reach,
    profile: Profile,
    account: &str,
    command: &str,
) -> Result<KeyMade, Failure> {
    let found = reach
        .account(AccountWanted {
            name: account.to_owned(),
            create: profile == Profile::Development && account == DEMO_ACCOUNT,
        })
        .await?;
    let wanted = KeyWanted {
        account: found.account,
        mode: Mode::Test,
        kind: KeyKind::Secret,
        name: command.to_owned(),
        permissions: None,
        lasts_ms: Some(DAY_MS),
        addresses: String::new(),
        canary: false,
        per_minute: None,
        caps: String::new(),
        signed_requests: None,
    };
    reach.key(wanted).await
}

/// A new demo account and its keys.
pub(crate) struct Credentials {
    pub(crate) account: String,
    pub(crate) publishable_key: String,
    pub(crate) secret_key: String,
}

/// Makes the demo account with its test keys through the running api, unless it exists already.
pub(crate) async fn demo_account(directory: &Directory) -> Result<Option<Credentials>, Failure> {
    let reach = Reach::Running(Socket::of(directory, Role::Api));
    let found = reach
        .account(AccountWanted {
            name: DEMO_ACCOUNT.to_owned(),
            create: true,
        })
        .await?;
    if !found.created {
        return Ok(None);
    }
    let key = async |kind| {
        let name = format!("demo {kind}");
        let wanted = KeyWanted {
            account: found.account,
            mode: Mode::Test,
            kind,
            name,
            permissions: None,
            lasts_ms: None,
            addresses: String::new(),
            canary: false,
            per_minute: None,
            caps: String::new(),
            signed_requests: None,
        };
        reach.key(wanted).await.map(|made| made.key)
    };
    Ok(Some(Credentials {
        account: found.account.to_string(),
        publishable_key: key(KeyKind::Publishable).await?,
        secret_key: key(KeyKind::Secret).await?,
    }))
}

/// Where the running api answers.
pub(crate) async fn running_origin(socket: &Socket) -> Result<String, Failure> {
    let status = socket.get("/status").await?;
    let origin = status.get("api_origin").and_then(serde_json::Value::as_str);
    origin
        .map(str::to_owned)
        .ok_or_else(|| Failure::System("the running api does not say where it is".to_owned()))
}

/// For a shell, whatever the text holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_cannot_leave_its_quotes() {
        assert_eq!(quoted("a'; rm -rf $HOME"), r"'a'\''; rm -rf $HOME'");
    }
}
