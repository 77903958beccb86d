//! The owner's invitation: how the first person gets into an installation that has no account yet.

use coffer_audit::{Actor, ActorKind, Entry};
use coffer_crypto::{Context, random_secret};
use coffer_db::params;
use data_encoding::BASE64URL_NOPAD;

use crate::{Engine, Error, store::accounts as sql};

/// How long an invitation can be used: one hour.
const OWNER_INVITATION_TTL_MS: i64 = 60 * 60 * 1000;

impl Engine {
    /// Makes an invitation for the first owner, and ends the one before. Its secret is returned once; stored is a keyed
    /// hash.
    ///
    /// # Errors
    /// When the store cannot serve.
    pub async fn owner_invite(&self) -> Result<String, Error> {
        let (secret, now) = (random_secret()?, self.now());
        // Exposed because this is the one time that it is shown.
        let text = BASE64URL_NOPAD.encode(secret.expose());
        let context = Context::new("coffer invitation v1").text(&text);
        let hash = self.secrets().pepper.mac(&context);
        let expires = now.plus_millis(OWNER_INVITATION_TTL_MS).as_millis();
        let row = params![*hash.as_bytes(), "owner", now.as_millis(), expires];
        let entry = Entry::new(Actor::new(ActorKind::Operator, "local"), "owner.invite");
        let record = self.0.audit.leaf(now, self.0.clock.id(), entry)?;
        let steps = record
            // First, because its lock is what makes each invitation see and end the one before.
            .append(self.changed_at_once("invitation", "owner"))
            .any(&sql::INVITATIONS_END, params!["owner"])
            .one(&sql::INVITATION_INSERT, row);
        self.db().transact(steps).await?;
        Ok(text)
    }
}
