//! `coffer audit export`: the api's record of an account, or of the installation itself, or another role's own, as a file on
//! standard output.

use coffer_api::{ExportFormat, export};
use coffer_audit::Audit;
use coffer_core::{
    Mode, Timestamp,
    id::{AccountId, SigningKeyId},
};
use coffer_engine::{Engine, Error, RecordFilter, RecordName, records_of};
use coffer_net::{Clock, contract::Place};
use serde::{Deserialize, Serialize};

use super::Site;
use crate::{
    accounts::{AccountWanted, Reach},
    cli::ExportArguments,
    console,
    directory::{Directory, Role},
    failure::Failure,
    sealing,
};

/// Asks for the next records.
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordsWanted {
    /// Of this account and mode; without, of the installation itself.
    of: Option<(AccountId, Mode)>,
    format: ExportFormat,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    after: Option<String>,
    /// For the owner of this signing key alone.
    seal_to: Option<SigningKeyId>,
}

/// So many of them as are exported at a time.
#[derive(Serialize, Deserialize)]
pub(crate) struct Records {
    text: String,
    next: Option<String>,
    /// Whether the text is a JWE.
    #[serde(default)]
    sealed: bool,
}

pub(super) async fn run(arguments: ExportArguments) -> Result<(), Failure> {
    match arguments.role {
        Role::Api => of_api(arguments).await,
        Role::Vault | Role::Keys if arguments.account.is_none() && arguments.seal_to.is_none() => {
            of_store(arguments).await
        }
        Role::Vault | Role::Keys => Err(Failure::Operator(
            "accounts and their signing keys are the api's; leave out --account and --seal-to"
                .to_owned(),
        )),
        Role::Simulator => Err(Failure::Operator(
            "the simulator keeps no log; name api, vault or keys".to_owned(),
        )),
    }
}

/// Reads until there are no more, beside the role if it runs.
async fn of_store(arguments: ExportArguments) -> Result<(), Failure> {
    let ExportArguments { place, role, .. } = &arguments;
    let db = Site::open(&place.dir)?.store(*role).await?;
    let db = db.ok_or_else(|| {
        Failure::Operator(format!(
            "the store of {role} is not on this machine; run this where {role} is"
        ))
    })?;
    let audit = Audit::impersonal("export");
    let filter = RecordFilter {
        from: arguments.from,
        to: arguments.to,
        ..RecordFilter::default()
    };
    let mut after = None;
    loop {
        let log = (&audit, &db, Clock::system().now());
        let part = records_of(log, &filter, after).await;
        let part =
            part.map_err(|error| Failure::doing(format_args!("reading the log of {role}"), error))?;
        console::print(&export(arguments.format, part.items, after.is_none()));
        after = part.next;
        if after.is_none() {
            db.close().await;
            return Ok(());
        }
    }
}

/// Asks until there are no more.
async fn of_api(arguments: ExportArguments) -> Result<(), Failure> {
    let directory = Directory::open(&arguments.place.dir)?;
    let (reach, _lock) = Reach::open(&directory).await?;
    let of = match arguments.account {
        Some(name) => {
            let wanted = AccountWanted {
                name,
                create: false,
            };
            Some((reach.account(wanted).await?.account, arguments.mode))
        }
        None => None,
    };
    let mut after = None;
    loop {
        let wanted = RecordsWanted {
            of,
            format: arguments.format,
            from: arguments.from,
            to: arguments.to,
            after,
            seal_to: arguments.seal_to,
        };
        let Records { text, next, sealed } = reach.records(wanted).await?;
        sealing::check(arguments.seal_to, sealed)?;
        console::print(&text);
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// The next records, which is on record itself.
pub(crate) async fn records(engine: &Engine, wanted: RecordsWanted) -> Result<Records, Error> {
    let after: Option<RecordName> = wanted
        .after
        .map(|after| after.parse())
        .transpose()
        .map_err(|malformed: coffer_core::Malformed| Error::Invalid {
            field: "after",
            expected: malformed.expected,
        })?;
    let filter = RecordFilter {
        from: wanted.from,
        to: wanted.to,
        ..RecordFilter::default()
    };
    let of = wanted.of.map(|(account, mode)| Place { account, mode });
    let recipient = engine.recipient_of_operator(of, wanted.seal_to).await?;
    let part = engine.record_export_by_operator(of, &filter, after).await?;
    let text = export(wanted.format, part.items, after.is_none());
    Ok(Records {
        sealed: recipient.is_some(),
        text: match recipient {
            Some(recipient) => sealing::line(&recipient, wanted.format.media_type().0, &text)?,
            None => text,
        },
        next: part.next.map(|next| next.to_string()),
    })
}
