//! Looks at the fields page from outside, as a payer's browser gets it, and holds what it found until it looks again.
//!
//! The api asks for it and raises the alerts: nothing else may be asked of it about the page.

use std::time::Duration;

use axum::http::header;
use coffer_core::{
    Mode,
    id::{AccountId, IntakeId},
};
use coffer_net::{
    Tasks,
    contract::{Place, vault::MintIntake},
    face::HSTS,
    page::{self, Finding, Header, Page, PageName},
};

use super::page::{HEADERS, made};
use crate::{
    Error, Vault,
    intake::{Ticket, mint},
};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The tickets of these looks belong to an account that does not exist.
const NOBODY: Place = Place {
    account: AccountId::from_bytes([0; 16]),
    mode: Mode::Test,
};

impl Vault {
    pub(crate) fn watch_fields(&self, tasks: &Tasks) {
        tasks.every("fields_watch", LOOK_EVERY, self, |vault| async move {
            vault.look_at_fields().await
        });
    }

    /// Looks once.
    ///
    /// # Errors
    /// When the page cannot be made here.
    pub async fn look_at_fields(&self) -> Result<(), Error> {
        let page = self.fields_as_made()?;
        let found = page::differences(&self.parts.outside, &page).await;
        let held = &self.parts.fields.differences;
        let before = std::mem::replace(&mut *coffer_net::lock(held), found.clone());
        for new in found.iter().filter(|one| !before.contains(one)) {
            tracing::warn!(page.difference = %new, "a payer would not get the fields page that was made");
        }
        Ok(())
    }

    /// What a person must look at about the fields page.
    pub(crate) fn fields_findings(&self) -> Vec<Finding> {
        let fields = &self.parts.fields;
        let violations = fields.reports.recent(self.parts.clock.now());
        let held = coffer_net::lock(&fields.differences);
        let differences = held.iter().cloned().map(Finding::Differs);
        differences
            .chain(violations.into_iter().map(Finding::Violated))
            .collect()
    }

    fn fields_as_made(&self) -> Result<Page, Error> {
        let defect = || Error::Defect("the fields page cannot be made".to_owned());
        let (parts, now) = (&self.parts, self.parts.clock.now());
        let (key, id): (_, IntakeId) = (&parts.service_keys.intake, parts.clock.id());
        let asked = MintIntake {
            place: NOBODY,
            origin: parts.fields_origin.clone(),
            payment: None,
        };
        let text = mint(key, id, asked, now)?.ok_or_else(defect)?.ticket;
        let ticket = Ticket::verify(key, &text, now).map_err(|_| defect())?;
        let assets = &parts.fields.assets;
        let made = made(&ticket, &text, assets, page::NONCE).map_err(|_| defect())?;
        let policy = (
            header::CONTENT_SECURITY_POLICY.as_str(),
            made.policy.as_str(),
        );
        let always = super::HEADERS
            .iter()
            .filter(|(name, _)| {
                *name != header::CONTENT_SECURITY_POLICY && *name != super::RESOURCE_POLICY
            })
            .chain(&HEADERS)
            .map(|(name, value)| (name.as_str(), *value));
        let headers = always.chain([policy, (header::STRICT_TRANSPORT_SECURITY.as_str(), HSTS)]);
        Ok(Page {
            name: PageName::Fields,
            origin: parts.fields_origin.clone(),
            path: format!("/v1/fields?ticket={text}"),
            headers: headers
                .map(|(name, value)| Header::new(name, value))
                .collect(),
            body: made.html,
            varies_after: None,
            assets: vec![assets.script.listed(), assets.style.listed()],
        })
    }
}
