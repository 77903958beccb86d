//! `coffer audit export`: the api's record of an account, or of the installation itself, as a file on standard output.

use coffer_api::{ExportFormat, export};
use coffer_core::{
    Mode, Timestamp,
    id::{AccountId, SigningKeyId},
};
use coffer_engine::{Engine, Error, RecordFilter, RecordName};
use coffer_net::contract::Place;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::{AccountWanted, Reach},
    cli::ExportArguments,
    console,
    directory::Directory,
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

/// Asks until there are no more.
pub(super) async fn run(arguments: ExportArguments) -> Result<(), Failure> {
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
