//! The step from test to live payments: an account takes it once, when all that live payments need is there.

use coffer_core::{Timestamp, id::AccountId, words};
use coffer_db::{Transaction, params};

use crate::{Engine, Error, commit::By, store::accounts as sql};

words! {
    /// What an activation needs.
    pub enum ActivationNeed {
        /// The production profile.
        ProductionProfile = "production_profile",
        /// Somebody who takes live payments.
        LiveProvider = "live_provider",
        /// A payment that was captured in test mode.
        TestPayment = "test_payment",
    }
}

impl ActivationNeed {
    /// What it is, in a sentence for operators.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ProductionProfile => {
                "the installation has the production profile (coffer init makes it)"
            }
            Self::LiveProvider => {
                "a provider for live payments is configured ([providers] in coffer.toml)"
            }
            Self::TestPayment => {
                "a payment was captured in test mode, so that the integration works"
            }
        }
    }
}

/// How an activation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// What it needs, and whether that is there.
    pub checklist: Vec<(ActivationNeed, bool)>,
    /// Since when the account takes live payments, if it does.
    pub activated: Option<Timestamp>,
}

impl Engine {
    /// Activates an account for live payments when nothing is missing. Activating it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account.
    pub async fn account_activate(&self, account: AccountId) -> Result<Activation, Error> {
        let mut checklist = Vec::new();
        for &need in ActivationNeed::ALL {
            checklist.push((need, self.has(need, account).await?));
        }
        if checklist.iter().all(|(_, there)| *there) {
            let row = params![account.to_string(), self.now().as_millis()];
            let change = Transaction::new().one(&sql::ACCOUNT_ACTIVATE, row);
            let id = account.to_string();
            let done = self.commit(By::Operator, None, "account.activate", &id, change);
            match done.await {
                // Activated before.
                Err(error) if error.is_conflict_at(&sql::ACCOUNT_ACTIVATE) => {}
                done => done.map(drop)?,
            }
        }
        Ok(Activation {
            checklist,
            activated: super::activated(self, account).await?,
        })
    }

    async fn has(&self, need: ActivationNeed, account: AccountId) -> Result<bool, Error> {
        match need {
            ActivationNeed::ProductionProfile => Ok(!self.0.development),
            ActivationNeed::LiveProvider => Ok(self.0.live_provider.is_some()),
            ActivationNeed::TestPayment => {
                let row = params![account.to_string()];
                let found = self.db().read_optional(&sql::ACCOUNT_TESTED, row).await?;
                Ok(found.is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use coffer_core::payment::CaptureMode;

    use super::*;
    use crate::fixture::Shop;

    #[tokio::test]
    async fn an_account_is_activated_only_when_nothing_is_missing() {
        let shop = Shop::open().await;
        let activate = async |engine: &Engine| {
            let activation = engine.account_activate(shop.place.account).await.unwrap();
            let missing = activation.checklist.into_iter();
            let missing: Vec<_> = missing
                .filter(|(_, there)| !there)
                .map(|(need, _)| need)
                .collect();
            (missing, activation.activated)
        };
        assert_eq!(
            activate(&shop.engine).await,
            (ActivationNeed::ALL.to_vec(), None)
        );
        shop.pay(CaptureMode::Automatic).await.unwrap();
        let production = shop.in_production().await;
        let (missing, activated) = activate(&production).await;
        assert!(missing.is_empty() && activated.is_some());
        // Once is enough.
        shop.clock.advance(1000);
        assert_eq!(activate(&production).await.1, activated);
        let stranger = production
            .account_activate(AccountId::from_bytes([1; 16]))
            .await;
        assert!(stranger.is_err());
    }
}
