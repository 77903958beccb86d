//! What an operator does with accounts and API keys: one set of functions over the engine, reached through the running
//! api's admin socket, or directly when no api runs.

pub(crate) mod blocks;
mod keys;
mod refusal;
mod signing_keys;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use coffer_core::{Timestamp, id::AccountId};
use coffer_engine::Engine;
use coffer_net::Clock;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use refusal::failed;

pub(crate) use keys::{KeyAct, KeyMade, KeyTask, KeyWanted, KeysWanted};
pub(crate) use signing_keys::{SigningKeyAct, SigningKeyTask, SigningKeyWanted};

use crate::{
    admin::Socket,
    alerts,
    audit::{self, Records, RecordsWanted},
    directory::{Directory, OwnersLock, Role},
    failure::Failure,
    serve::api as api_role,
    usage::{self, UsageShown, UsageWanted},
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

/// An account, as the operator sees it.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountShown {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    pub(crate) activated: Option<Timestamp>,
}

/// Asks to activate an account for live payments.
#[derive(Serialize, Deserialize)]
pub(crate) struct ActivationWanted {
    pub(crate) account: AccountId,
}

/// What an activation needs, and whether it is done.
#[derive(Serialize, Deserialize)]
pub(crate) struct ActivationShown {
    /// Each thing that is needed, in words, and whether it is there.
    pub(crate) checklist: Vec<(String, bool)>,
    pub(crate) activated: Option<Timestamp>,
}

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
        macro_rules! asks {
            ($act:ident) => {
                post(async |State(desk): State<Self>, Json(body)| answer(desk.$act(body).await))
            };
        }
        macro_rules! shows {
            ($act:ident) => {
                async |State(desk): State<Self>| answer(desk.$act().await)
            };
        }
        Router::new()
            .route("/accounts", asks!(account).get(shows!(account_list)))
            .route("/accounts/activate", asks!(activate))
            .route("/api-keys", asks!(key_create))
            .route("/api-keys/list", asks!(key_list))
            .route("/api-keys/task", asks!(key_task))
            .route("/signing-keys", asks!(signing_key_create))
            .route("/signing-keys/list", asks!(signing_key_list))
            .route("/signing-keys/task", asks!(signing_key_task))
            .route("/audit-records", asks!(records))
            .route("/usage", asks!(usage))
            .route("/alerts", get(shows!(alerts)))
            .merge(blocks::routes())
            .route("/owner-invitations", post(shows!(invite_owner)))
            .with_state(self)
    }

    async fn records(&self, wanted: RecordsWanted) -> Result<Records, Failure> {
        audit::records(&self.engine, wanted).await.map_err(failed)
    }

    async fn usage(&self, wanted: UsageWanted) -> Result<UsageShown, Failure> {
        usage::usage(&self.engine, wanted).await.map_err(failed)
    }

    async fn alerts(&self) -> Result<Vec<alerts::Shown>, Failure> {
        alerts::newest(&self.engine).await
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

    async fn account_list(&self) -> Result<Vec<AccountShown>, Failure> {
        let accounts = self.engine.account_list().await.map_err(failed)?;
        let shown = accounts.into_iter().map(|account| AccountShown {
            account: account.id,
            name: account.name,
            created: account.created,
            activated: account.activated,
        });
        Ok(shown.collect())
    }

    async fn activate(&self, wanted: ActivationWanted) -> Result<ActivationShown, Failure> {
        let activation = self.engine.account_activate(wanted.account).await;
        let activation = activation.map_err(failed)?;
        let checklist = activation.checklist.into_iter();
        Ok(ActivationShown {
            checklist: checklist
                .map(|(item, there)| (item.meaning().to_owned(), there))
                .collect(),
            activated: activation.activated,
        })
    }

    async fn invite_owner(&self) -> Result<Invited, Failure> {
        let secret = self.engine.owner_invite().await.map_err(failed)?;
        Ok(Invited { secret })
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
    pub(crate) async fn open(directory: &Directory) -> Result<(Self, Option<OwnersLock>), Failure> {
        match directory.try_lock_as_owner(Role::Api)? {
            None => Ok((Self::Running(Socket::of(directory, Role::Api)), None)),
            Some(lock) => Ok((Self::Direct(api_role::desk(directory).await?), Some(lock))),
        }
    }

    /// The running api's socket, or that nothing runs.
    pub(crate) fn running(directory: &Directory) -> Result<Self, Failure> {
        match directory.try_lock_as_owner(Role::Api)? {
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
            Self::Direct(desk) => desk.key_create(wanted).await,
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
            Self::Direct(desk) => desk.alerts().await,
        }
    }

    pub(crate) async fn records(&self, wanted: RecordsWanted) -> Result<Records, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/audit-records", &wanted).await,
            Self::Direct(desk) => desk.records(wanted).await,
        }
    }

    pub(crate) async fn usage(&self, wanted: UsageWanted) -> Result<UsageShown, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/usage", &wanted).await,
            Self::Direct(desk) => desk.usage(wanted).await,
        }
    }

    pub(crate) async fn accounts(&self) -> Result<Vec<AccountShown>, Failure> {
        match self {
            Self::Running(socket) => read(socket.get("/accounts").await?),
            Self::Direct(desk) => desk.account_list().await,
        }
    }

    pub(crate) async fn activate(
        &self,
        wanted: ActivationWanted,
    ) -> Result<ActivationShown, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/accounts/activate", &wanted).await,
            Self::Direct(desk) => desk.activate(wanted).await,
        }
    }

    pub(crate) async fn keys(&self, wanted: KeysWanted) -> Result<Value, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/api-keys/list", &wanted).await,
            Self::Direct(desk) => desk.key_list(wanted).await,
        }
    }

    pub(crate) async fn key_task(&self, task: KeyTask) -> Result<Value, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/api-keys/task", &task).await,
            Self::Direct(desk) => desk.key_task(task).await,
        }
    }

    pub(crate) async fn signing_key(&self, wanted: SigningKeyWanted) -> Result<Value, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/signing-keys", &wanted).await,
            Self::Direct(desk) => desk.signing_key_create(wanted).await,
        }
    }

    pub(crate) async fn signing_keys(&self, wanted: KeysWanted) -> Result<Value, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/signing-keys/list", &wanted).await,
            Self::Direct(desk) => desk.signing_key_list(wanted).await,
        }
    }

    pub(crate) async fn signing_key_task(&self, task: SigningKeyTask) -> Result<Value, Failure> {
        match self {
            Self::Running(socket) => ask(socket, "/signing-keys/task", &task).await,
            Self::Direct(desk) => desk.signing_key_task(task).await,
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
