//! Looks at the payment page from outside, as a payer gets it, asks the vault about the card fields, and raises an alert
//! for whatever is not as it was made (PCI DSS 11.6.1).

use std::time::Duration;

use coffer_core::alert::AlertKind;
use coffer_engine::{CheckoutView, Error};
use coffer_net::{
    Tasks,
    page::{self, Finding, NONCE, Page, PageName},
};

use super::{inventory::page_headers, page::written};
use crate::Api;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Api {
    /// Starts what the faces do by themselves, until the tasks are stopped.
    pub fn run(&self, tasks: &Tasks) {
        tasks.every("page watch", LOOK_EVERY, self, |api| async move {
            api.look_at_pages().await.map(drop)
        });
    }

    /// Looks now, and raises an alert for everything that it finds.
    ///
    /// # Errors
    /// When an alert cannot be stored.
    pub async fn look_at_pages(&self) -> Result<Vec<Finding>, Error> {
        let page = checkout_as_made(self)?;
        let settings = self.settings();
        let differences = page::differences(&settings.outside, &page).await;
        let violations = self.reports().recent(settings.clock.now());
        let mut findings: Vec<Finding> = differences.into_iter().map(Finding::Differs).collect();
        findings.extend(violations.into_iter().map(Finding::Violated));
        match self.engine().fields_findings().await {
            Ok(of_fields) => findings.extend(of_fields),
            Err(error) => tracing::warn!(?error, "the vault could not be asked about its page"),
        }
        for finding in &findings {
            let kind = match finding {
                Finding::Differs(_) => AlertKind::PageDiffers,
                Finding::Violated(_) => AlertKind::PageViolated,
            };
            self.engine()
                .alert_raise(None, kind, &finding.to_string())
                .await?;
        }
        Ok(findings)
    }
}

/// The page of a specimen, whose address only we can tell from a payment's.
fn checkout_as_made(api: &Api) -> Result<Page, Error> {
    let settings = api.settings();
    let (payment, address) = api.engine().checkout_specimen();
    let path = address.strip_prefix(&settings.checkout_origin);
    let path = path.unwrap_or_default().to_owned();
    let specimen = CheckoutView {
        payment,
        ..CheckoutView::specimen()?
    };
    let fields = format!("{}/v1/fields?ticket=", settings.fields_origin);
    Ok(Page {
        name: PageName::Checkout,
        origin: settings.checkout_origin.clone(),
        body: written(api, &specimen, &path, Some(&fields), NONCE)?,
        varies_after: Some(fields),
        headers: page_headers(api),
        assets: vec![api.assets().js.listed(), api.assets().css.listed()],
        path,
    })
}
