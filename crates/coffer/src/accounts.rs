//! What an operator does with accounts and API keys: one set of functions over the engine, reached through the running
//! api's admin socket, or directly when no api runs.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use coffer_core::{
    Mode, Timestamp,
    api_key::KeyKind,
    id::{AccountId, ApiKeyId},
    permission::Permissions,
};
use coffer_engine::{Engine, NewApiKey};
use coffer_net::{Clock, contract::Place};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    admin::Socket,
    alerts,
    directory::{Directory, Role},
    failure::Failure,
    serve::api as api_role,
};

/// Asks for the account of this name.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountWanted {
    pub(crate) name: String,
    /// Whether to make it when there is none.
    pub(crate) create: bool,
}

/// The account.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountFound {
    pub(crate) account: AccountId,
    /// Whether it was made just now.
    pub(crate) created: bool,
}

/// Asks for a new API key.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyWanted {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) kind: KeyKind,
    pub(crate) name: String,
    /// All that its kind may have, unless told.
    pub(crate) permissions: Option<String>,
    pub(crate) lasts_ms: Option<i64>,
}

/// The new key. Its text is shown once.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyMade {
    pub(crate) id: ApiKeyId,
    pub(crate) key: String,
}

/// Asks to revoke a key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) id: ApiKeyId,
}

/// It is done.
#[derive(Serialize, Deserialize)]
pub(crate) struct Done {}

/// An invitation for the first owner, for one hour.
#[derive(Serialize, Deserialize)]
pub(crate) struct Invited {
    pub(crate) secret: String,
}

/// The operator's desk: what stands behind the admin socket, and in its place when there is none.
#[derive(Clone)]
pub(crate) struct Desk {
    engine: Engine,
    clock: Clock,
}

impl Desk {
    pub(crate) const fn new(engine: Engine, clock: Clock) -> Self {
        Self { engine, clock }
    }

    /// The routes of the admin socket.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route(
                "/accounts",
                post(async |State(desk): State<Self>, Json(body)| answer(desk.account(body).await)),
            )
            .route(
                "/api-keys",
                post(async |State(desk): State<Self>, Json(body)| answer(desk.key(body).await)),
            )
            .route(
                "/api-keys/revoke",
                post(async |State(desk): State<Self>, Json(body)| answer(desk.revoke(body).await)),
            )
            .route(
                "/alerts",
                get(async |State(desk): State<Self>| answer(alerts::newest(&desk.engine).await)),
            )
            .route(
                "/owner-invitations",
                post(async |State(desk): State<Self>| answer(desk.invite_owner().await)),
            )
            .with_state(self)
    }

    async fn account(&self, wanted: AccountWanted) -> Result<AccountFound, Failure> {
        if let Some(account) = self
            .engine
            .account_named(&wanted.name)
            .await
            .map_err(failed)?
        {
            return Ok(AccountFound {
                account,
                created: false,
            });
        }
        if !wanted.create {
            return Err(Failure::Operator(format!(
                "there is no account named {}",
                wanted.name
            )));
        }
        let account = self
            .engine
            .account_create(&wanted.name)
            .await
            .map_err(failed)?;
        Ok(AccountFound {
            account,
            created: true,
        })
    }

    async fn key(&self, wanted: KeyWanted) -> Result<KeyMade, Failure> {
        let malformed = |malformed: coffer_core::Malformed| {
            Failure::Operator(format!("permissions: {malformed}"))
        };
        let permissions = match (wanted.permissions, wanted.kind) {
            (Some(text), _) => text.parse::<Permissions>().map_err(malformed)?,
            (None, KeyKind::Secret) => Permissions::full(),
            (None, KeyKind::Publishable) => Permissions::none(),
        };
        let expires = wanted
            .lasts_ms
            .map(|lasts_ms| self.now().plus_millis(lasts_ms));
        let new = NewApiKey {
            kind: wanted.kind,
            name: wanted.name,
            permissions,
            expires,
        };
        let place = Place {
            account: wanted.account,
            mode: wanted.mode,
        };
        let made = self
            .engine
            .api_key_create(place, new)
            .await
            .map_err(failed)?;
        // Exposed because this is the one time that it is shown.
        let key = String::from_utf8(made.text.expose().to_vec())
            .map_err(|error| Failure::doing("reading the new key", error))?;
        Ok(KeyMade { id: made.id, key })
    }

    async fn invite_owner(&self) -> Result<Invited, Failure> {
        let secret = self.engine.owner_invite().await.map_err(failed)?;
        Ok(Invited { secret })
    }

    async fn revoke(&self, revocation: Revocation) -> Result<Done, Failure> {
        let place = Place {
            account: revocation.account,
            mode: revocation.mode,
        };
        self.engine
            .api_key_revoke(place, revocation.id)
            .await
            .map_err(failed)?;
        Ok(Done {})
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// How the command line reaches the desk.
pub(crate) enum Reach {
    /// Through the process that serves the api.
    Running(Socket),
    /// Directly: no api runs.
    Direct(Desk),
}

impl Reach {
    /// The running api's socket; or its store, locked for as long as the answer lives, when no api runs.
    pub(crate) async fn open(
        directory: &Directory,
    ) -> Result<(Self, Option<crate::directory::Lock>), Failure> {
        match directory.try_lock(Role::Api)? {
            None => Ok((Self::Running(Socket::of(directory, Role::Api)), None)),
            Some(lock) => Ok((Self::Direct(api_role::desk(directory).await?), Some(lock))),
        }
    }

    /// The running api's socket, or that nothing runs.
    pub(crate) fn running(directory: &Directory) -> Result<Self, Failure> {
        match directory.try_lock(Role::Api)? {
            None => Ok(Self::Running(Socket::of(directory, Role::Api))),
            Some(_) => {
                let shown = directory.path().display();
                Err(Failure::Operator(format!(
                    "nothing runs in {shown}; start it with: coffer up --dir {shown}"
                )))
            }
        }
    }

    pub(crate) async fn account(&self, wanted: AccountWanted) -> Result<AccountFound, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/accounts", &wanted).await,
            Self::Direct(desk) => desk.account(wanted).await,
        }
    }

    pub(crate) async fn key(&self, wanted: KeyWanted) -> Result<KeyMade, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/api-keys", &wanted).await,
            Self::Direct(desk) => desk.key(wanted).await,
        }
    }

    pub(crate) async fn invite_owner(&self) -> Result<Invited, Failure> {
        match self {
            Self::Running(socket) => {
                ask(socket, "/owner-invitations", &serde_json::json!({})).await
            }
            Self::Direct(desk) => desk.invite_owner().await,
        }
    }

    pub(crate) async fn alerts(&self) -> Result<Vec<alerts::Shown>, Failure> {
        match self {
            Self::Running(socket) => read(socket.get("/alerts").await?),
            Self::Direct(desk) => alerts::newest(&desk.engine).await,
        }
    }

    pub(crate) async fn revoke(&self, revocation: Revocation) -> Result<Done, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/api-keys/revoke", &revocation).await,
            Self::Direct(desk) => desk.revoke(revocation).await,
        }
    }
}

async fn ask<T: DeserializeOwned>(
    socket: &Socket,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Failure> {
    let body =
        serde_json::to_value(body).map_err(|error| Failure::doing("writing the request", error))?;
    read(socket.post(path, body).await?)
}

fn read<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure::doing("reading the answer", error))
}

/// An answer on an admin socket: the object, or a problem with its `detail`.
pub(crate) fn answer<T: Serialize>(outcome: Result<T, Failure>) -> Response {
    match outcome {
        Ok(object) => Json(object).into_response(),
        Err(failure) => {
            let status = match failure {
                Failure::Operator(_) => StatusCode::BAD_REQUEST,
                Failure::Away(_) | Failure::System(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (
                status,
                Json(serde_json::json!({"detail": failure.to_string()})),
            )
                .into_response()
        }
    }
}

fn failed(error: coffer_engine::Error) -> Failure {
    if let coffer_engine::Error::NotFound { object } = error {
        return Failure::Operator(format!("there is no such {object}"));
    }
    if let coffer_engine::Error::Refused(why) = error {
        return Failure::Operator(why.to_owned());
    }
    Failure::System(format!("the api's store refused: {error:?}"))
}
