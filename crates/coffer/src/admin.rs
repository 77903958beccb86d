//! The operator's commands to running roles, and the socket that carries them.

use axum::http::Method;
use coffer_core::{Mode, id::ApiKeyId};
use coffer_net::admin::AdminClient;
use serde_json::{Value, json};

use crate::{
    accounts::{AccountWanted, KeyWanted, Reach, Revocation},
    cli::{ApiKeysCommand, KeysCommand},
    console,
    directory::{Directory, Role},
    failure::Failure,
    runtime, secret_file,
};

/// A running role's admin socket.
pub(crate) struct Socket {
    role: Role,
    client: AdminClient,
}

impl Socket {
    /// That of this role in this directory.
    pub(crate) fn of(directory: &Directory, role: Role) -> Self {
        Self {
            role,
            client: AdminClient::new(directory.admin_socket(role)),
        }
    }

    /// Asks.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(path, Method::GET, None).await
    }

    /// Tells.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(path, Method::POST, Some(&body)).await
    }

    async fn call(
        &self,
        path: &str,
        method: Method,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self.client.call(path, method, body).await;
        answer.map_err(|error| {
            Failure::System(format!("the role {} did not do it: {error}", self.role))
        })
    }
}

/// `coffer keys …`.
pub(crate) fn keys(command: &KeysCommand) -> Result<(), Failure> {
    let socket = |place: &crate::cli::Place| {
        Directory::open(&place.dir).map(|directory| Socket::of(&directory, Role::Keys))
    };
    let answer = match command {
        KeysCommand::Status(place) => {
            let socket = socket(place)?;
            runtime::command(socket.get("/custody"))?
        }
        KeysCommand::Seal(place) => {
            let socket = socket(place)?;
            runtime::command(socket.post("/seal", json!({})))?
        }
        KeysCommand::AcceptRestore {
            role,
            place,
            size,
            root,
        } => {
            let body = json!({"log": role.as_str(), "size": size, "root": root});
            let socket = socket(place)?;
            runtime::command(socket.post("/restores/accept", body))?
        }
        KeysCommand::Unseal {
            place,
            passphrase_file,
        } => {
            let socket = socket(place)?;
            let passphrase = secret_file::read_text(passphrase_file)?;
            // Exposed to travel over the socket, which only this user can open.
            let text = std::str::from_utf8(passphrase.expose())
                .map_err(|_| Failure::Operator("the passphrase is not text".to_owned()))?;
            runtime::command(socket.post("/unseal", json!({"passphrase": text})))?
        }
    };
    let sealed = answer
        .get("sealed")
        .and_then(Value::as_bool)
        .unwrap_or(true);
    console::say(if sealed { "sealed" } else { "open" });
    Ok(())
}

/// `coffer api-keys …`.
pub(crate) fn api_keys(command: &ApiKeysCommand) -> Result<(), Failure> {
    match command {
        ApiKeysCommand::Create {
            place,
            account,
            mode,
            kind,
            name,
            permissions,
        } => {
            let directory = Directory::open(&place.dir)?;
            runtime::command(async {
                let (reach, _lock) = Reach::open(&directory).await?;
                let found = reach
                    .account(AccountWanted {
                        name: account.clone(),
                        create: true,
                    })
                    .await?;
                let wanted = KeyWanted {
                    account: found.account,
                    mode: *mode,
                    kind: *kind,
                    name: name.clone(),
                    permissions: permissions.clone(),
                    lasts_ms: None,
                };
                let made = reach.key(wanted).await?;
                console::say(&format!("{}\n{}", made.id, made.key));
                Ok(())
            })
        }
        ApiKeysCommand::Revoke {
            place,
            account,
            mode,
            key,
        } => {
            let directory = Directory::open(&place.dir)?;
            let id: ApiKeyId = key
                .parse()
                .map_err(|malformed| Failure::Operator(format!("{malformed}")))?;
            runtime::command(revoke(&directory, account, *mode, id))
        }
    }
}

async fn revoke(
    directory: &Directory,
    account: &str,
    mode: Mode,
    id: ApiKeyId,
) -> Result<(), Failure> {
    let (reach, _lock) = Reach::open(directory).await?;
    let found = reach
        .account(AccountWanted {
            name: account.to_owned(),
            create: false,
        })
        .await?;
    reach
        .revoke(Revocation {
            account: found.account,
            mode,
            id,
        })
        .await?;
    console::say(&format!("{id} is revoked"));
    Ok(())
}
