//! Accounts and their settings per mode.

mod activation;

use coffer_core::{Mode, Timestamp, detection::Policy, id::AccountId, limits::ORIGINS_MAX};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::Place;

pub use activation::{Activation, ActivationNeed};

use crate::{
    Caller, Engine, Error,
    commit::By,
    detection::usual_policy,
    error::corrupt,
    rows::{self, key_of},
    store::{accounts as sql, events},
};

/// An account, as its own keys see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// Its name, shown to payers.
    pub name: String,
    /// The mode of the key that asks.
    pub mode: Mode,
    /// Web origins that may hold card fields and use a publishable key.
    pub origins: Vec<String>,
    /// Whether a key that was seen where anybody could read it is frozen at once.
    pub freeze_exposed_keys: bool,
    /// What is done about what looks hostile.
    pub detection: Policy,
    /// Since when live payments are possible, if they are.
    pub activated: Option<Timestamp>,
    /// Grows with every change of the settings.
    pub version: i64,
    /// When the account was made.
    pub created: Timestamp,
    /// When the settings changed last.
    pub updated: Timestamp,
}

impl Engine {
    /// Makes an account, with test and live settings.
    ///
    /// # Errors
    /// [`Error::Refused`] when one of this name exists.
    pub async fn account_create(&self, name: &str) -> Result<AccountId, Error> {
        let (id, now): (AccountId, _) = (self.0.clock.id(), self.now());
        let insert = Transaction::new().one(
            &sql::ACCOUNT_INSERT,
            params![id.to_string(), name, now.as_millis()],
        );
        let change = Mode::ALL.iter().fold(insert, |steps, mode| {
            let key = || params![id.to_string(), mode.as_str()];
            let mut settings = key();
            settings.push(now.as_millis().into());
            steps
                .one(&sql::SETTINGS_INSERT, settings)
                .one(&events::COUNTER_INSERT, key())
        });
        let place = Place {
            account: id,
            mode: Mode::Test,
        };
        match self
            .commit(
                By::Operator,
                place,
                "account.create",
                &id.to_string(),
                change,
            )
            .await
        {
            Ok(_) => Ok(id),
            Err(error) if error.is_conflict_at(&sql::ACCOUNT_INSERT) => Err(Error::Refused(
                "an account of this name exists: use its id, or choose another name",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The account of this name, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn account_named(&self, name: &str) -> Result<Option<AccountId>, Error> {
        let row = self
            .db()
            .read_optional(&sql::ACCOUNT_BY_NAME, params![name])
            .await?;
        row.map(|row| rows::word(&row, "account")).transpose()
    }

    /// The caller's account.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn account(&self, caller: &Caller) -> Result<AccountView, Error> {
        let place = caller.place();
        let found = self
            .db()
            .read_optional(&sql::ACCOUNT_FIND, params![place.account.to_string()])
            .await?;
        let found = found.ok_or(Error::NotFound { object: "account" })?;
        let settings = settings(self, place).await?;
        Ok(AccountView {
            id: place.account,
            name: found.text("name")?.to_owned(),
            mode: place.mode,
            origins: settings.origins,
            freeze_exposed_keys: settings.freeze_exposed_keys,
            detection: settings.detection,
            activated: found
                .optional_integer("activated")?
                .map(Timestamp::from_millis),
            version: settings.version,
            created: rows::time(&found, "created")?,
            updated: settings.updated,
        })
    }

    /// Every account, for the operator, in the order of their making.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn account_list(&self) -> Result<Vec<AccountSummary>, Error> {
        let rows = self.db().read(&sql::ACCOUNT_LIST, params![]).await?;
        let summary = |row: &Row| {
            Ok(AccountSummary {
                id: rows::word(row, "account")?,
                name: row.text("name")?.to_owned(),
                created: rows::time(row, "created")?,
                activated: row
                    .optional_integer("activated")?
                    .map(Timestamp::from_millis),
            })
        };
        rows.iter().map(summary).collect()
    }

    /// Changes the settings of the caller's account and mode.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no origin, and for too many.
    pub async fn account_update(
        &self,
        caller: &Caller,
        change: AccountChange,
    ) -> Result<AccountView, Error> {
        let settings = settings(self, caller.place()).await?;
        let origins = change.origins.unwrap_or(settings.origins);
        if origins.len() > ORIGINS_MAX {
            return Err(Error::Invalid {
                field: "origins",
                expected: "at most 20 origins",
            });
        }
        check_origins(&origins, self.0.development)?;
        let freeze = change
            .freeze_exposed_keys
            .unwrap_or(settings.freeze_exposed_keys);
        let [account, mode] = key_of(caller.place());
        let row = params![
            account,
            mode,
            settings.version,
            origins.join(" "),
            i64::from(freeze),
            self.now().as_millis(),
            change.detection.or(settings.chosen).map(Policy::as_str),
        ];
        let change = Transaction::new().one(&sql::SETTINGS_UPDATE, row);
        let (by, place) = (By::Caller(caller), caller.place());
        let id = place.account.to_string();
        match self.commit(by, place, "account.update", &id, change).await {
            Ok(_) => self.account(caller).await,
            Err(error) if error.is_conflict_at(&sql::SETTINGS_UPDATE) => {
                Err(Error::changing("account"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// An account, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSummary {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Since when live payments are possible, if they are.
    pub activated: Option<Timestamp>,
}

/// What to change of an account's settings; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// Other web origins.
    pub origins: Option<Vec<String>>,
    /// Whether a key that was seen where anybody could read it is frozen at once.
    pub freeze_exposed_keys: Option<bool>,
    /// What is done about what looks hostile.
    pub detection: Option<Policy>,
}

/// Settings of an account in one mode.
pub(crate) struct AccountSettings {
    pub(crate) origins: Vec<String>,
    pub(crate) freeze_exposed_keys: bool,
    pub(crate) detection: Policy,
    /// What the account chose, if it did.
    chosen: Option<Policy>,
    version: i64,
    updated: Timestamp,
}

/// The settings of a place.
pub(crate) async fn settings(engine: &Engine, place: Place) -> Result<AccountSettings, Error> {
    let [account, mode] = key_of(place);
    let row = engine
        .db()
        .read_optional(&sql::SETTINGS_FIND, params![account, mode])
        .await?;
    let row = row.ok_or_else(|| {
        corrupt(coffer_core::Malformed {
            expected: "an account's settings",
        })
    })?;
    let chosen = rows::maybe_word(&row, "detection")?;
    Ok(AccountSettings {
        detection: chosen.unwrap_or_else(|| usual_policy(place.mode)),
        chosen,
        origins: rows::list(&row, "origins")?,
        freeze_exposed_keys: row.integer("freeze_exposed")? != 0,
        version: row.integer("version")?,
        updated: rows::time(&row, "updated")?,
    })
}

/// Since when live payments are possible for the account, if they are.
pub(crate) async fn activated(
    engine: &Engine,
    account: AccountId,
) -> Result<Option<Timestamp>, Error> {
    let row = engine
        .db()
        .read_optional(&sql::ACCOUNT_FIND, params![account.to_string()])
        .await?;
    let row = row.ok_or(Error::NotFound { object: "account" })?;
    let activated = row.optional_integer("activated")?;
    Ok(activated.map(Timestamp::from_millis))
}

/// Web origins that callers gave.
pub(crate) fn check_origins(origins: &[String], development: bool) -> Result<(), Error> {
    if origins.iter().all(|origin| is_origin(origin, development)) {
        return Ok(());
    }
    Err(Error::Invalid {
        field: "origins",
        expected: "web origins such as https://shop.example: https, a host, no path",
    })
}

/// An origin as browsers write it (RFC 6454): scheme, host in lowercase, and a port unless it is the usual one.
/// Plain http is for development only.
pub(crate) fn is_origin(text: &str, development: bool) -> bool {
    let rest = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => rest,
        (None, Some(rest)) if development => rest,
        (None, _) => return false,
    };
    let (host, port) = rest
        .split_once(':')
        .map_or((rest, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let usual = if text.starts_with("https") { 443 } else { 80 };
    let port_fits = port.is_none_or(|port| {
        port.parse::<u16>()
            .is_ok_and(|number| number != 0 && number != usual && number.to_string() == port)
    });
    host.len() <= 253 && host.split('.').all(label) && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_web_origins_are_taken() {
        for good in [
            "https://shop.example",
            "https://shop.example:8443",
            "https://xn--bcher-kva.example",
        ] {
            assert!(is_origin(good, false), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "shop.example",
            "http://shop.example",
            "https://",
            "https://shop.example/",
            "https://Shop.example",
            "https://shop.example:443",
            "https://shop.example:0443",
            "https://a b",
            "https://*.example",
            "https://user@shop.example",
            "https://shop.example?",
            "https://-a.example",
        ] {
            assert!(!is_origin(bad, false), "{bad}");
        }
        assert!(is_origin("http://localhost:3000", true));
    }
}
