//! The operator's commands to running roles, and the socket that carries them.

use std::path::Path;

use axum::http::Method;
use coffer_crypto::pki::KeyPair;
use coffer_net::admin::AdminClient;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::{
    cli::KeysCommand,
    console,
    directory::{Directory, Role},
    failure::Failure,
    init::{
        development::write_public,
        roles::{CERTIFICATE, CERTIFICATE_KEY},
    },
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

/// The key is made here, and does not leave its file.
async fn issue(socket: &Socket, role: Role, instance: &str, to: &Path) -> Result<Value, Failure> {
    let doing = |error| Failure::doing("making the key of a certificate", error);
    let key = KeyPair::generate().map_err(doing)?;
    let request = key.request().map_err(doing)?;
    let request = HEXLOWER.encode(request.as_der());
    let body = json!({"role": role.as_str(), "instance": instance, "request": request});
    let answer = socket.post("/certificates", body).await?;
    let chain = answer.get("chain").and_then(Value::as_str);
    secret_file::create(&to.join(CERTIFICATE_KEY), key.pem().expose())?;
    write_public(&to.join(CERTIFICATE), chain.unwrap_or_default())?;
    Ok(answer)
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
        KeysCommand::Issue {
            role,
            place,
            instance,
            to,
        } => {
            let socket = socket(place)?;
            runtime::command(issue(&socket, *role, instance, to))?
        }
        KeysCommand::AcceptRestore {
            role,
            place,
            size,
            root,
        } => {
            let body = json!({"log": role.as_str(), "size": size, "root": root});
            let socket = socket(place)?;
            let accepted: Value = runtime::command(socket.post("/restores/accept", body))?;
            let entries = |name| {
                let entries = accepted.get(name).and_then(Value::as_u64);
                entries.unwrap_or_default()
            };
            console::say(&format!(
                "the log of {role} had {} entries, and goes on from {}; coffer audit verify says whether that is this one",
                entries("was"),
                entries("is")
            ));
            return Ok(());
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
