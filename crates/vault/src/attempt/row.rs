//! How an attempt is stored, and how the stored form answers for it.

use coffer_core::{
    Timestamp,
    decline::DeclineReason,
    id::{AttemptId, PaymentId},
    payment::Operation,
    provider::Provider,
    words,
};
use coffer_db::{Row, Transaction, params};
use coffer_net::contract::{self, Place, vault::AttemptOutcome};

use crate::{
    Error, Vault,
    adapter::{Reply, Verdict},
    record::row_key,
    store,
};

words! {
    /// How an attempt stands in the vault.
    pub enum Status {
        /// Recorded, perhaps on its way.
        Sending = "sending",
        /// The provider did it.
        Succeeded = "succeeded",
        /// The provider did not do it and never will.
        Failed = "failed",
        /// The payer must pass a challenge first.
        Challenged = "challenged",
        /// Sent, perhaps, and nobody knows.
        Unknown = "unknown",
        /// Certainly not sent, and never will be; the token was given back.
        NotSent = "not_sent",
    }
}

/// A row of `attempts`.
pub(crate) struct AttemptRow {
    pub(crate) payment: PaymentId,
    pub(crate) provider: Provider,
    pub(crate) operation: Operation,
    pub(crate) content: Vec<u8>,
    pub(crate) deadline: Timestamp,
    pub(crate) status: Status,
    pub(crate) provider_reference: Option<String>,
    not_sent_because: Option<String>,
    decline_reason: Option<DeclineReason>,
    challenge_url: Option<String>,
}

impl AttemptRow {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let text = |column| Ok::<_, Error>(row.optional_text(column)?.map(str::to_owned));
        Ok(Self {
            payment: row.text("payment")?.parse()?,
            provider: row.text("provider")?.to_owned().try_into()?,
            operation: row.text("operation")?.parse()?,
            content: row.bytes("content")?.to_vec(),
            deadline: Timestamp::from_millis(row.integer("deadline")?),
            status: row.text("status")?.parse()?,
            provider_reference: text("provider_reference")?,
            not_sent_because: text("not_sent_because")?,
            decline_reason: row
                .optional_text("decline_reason")?
                .map(str::parse)
                .transpose()?,
            challenge_url: text("challenge_url")?,
        })
    }

    /// What whoever asked for the attempt gets, as far as it is known.
    pub(crate) fn answer(&self) -> Result<AttemptOutcome, contract::Error> {
        match self.status {
            Status::Succeeded => Ok(AttemptOutcome::Succeeded),
            Status::Failed => {
                let reason = self
                    .decline_reason
                    .unwrap_or(DeclineReason::ProcessingError);
                Ok(AttemptOutcome::Failed { reason })
            }
            Status::Challenged => match &self.challenge_url {
                Some(url) => Ok(AttemptOutcome::Challenged { url: url.clone() }),
                None => Ok(AttemptOutcome::Unknown),
            },
            Status::Sending | Status::Unknown => Ok(AttemptOutcome::Unknown),
            Status::NotSent => Err(error_of(
                self.not_sent_because.as_deref().unwrap_or_default(),
            )),
        }
    }
}

impl Vault {
    pub(crate) async fn attempt_row(
        &self,
        place: Place,
        id: AttemptId,
    ) -> Result<Option<AttemptRow>, Error> {
        let row = self
            .parts
            .db
            .read_optional(&store::ATTEMPT_BY_ID, row_key(place, id))
            .await?;
        row.as_ref().map(AttemptRow::from_row).transpose()
    }
}

/// The outcome that a provider's answer means. `NotFound` says nothing here: whether it counts depends on the time.
pub(super) fn outcome_of(verdict: &Verdict) -> AttemptOutcome {
    match verdict {
        Verdict::Succeeded => AttemptOutcome::Succeeded,
        Verdict::Challenged(url) => AttemptOutcome::Challenged { url: url.clone() },
        Verdict::Failed(reason) => AttemptOutcome::Failed { reason: *reason },
        Verdict::NotFound | Verdict::Unclear => AttemptOutcome::Unknown,
    }
}

/// The step that stores what a provider's answer means.
pub(super) fn settled(place: Place, id: AttemptId, reply: &Reply, now: Timestamp) -> Transaction {
    let (status, reason, url) = match &reply.verdict {
        Verdict::Succeeded => (Status::Succeeded, None, None),
        Verdict::Challenged(url) => (Status::Challenged, None, Some(url)),
        Verdict::Failed(reason) => (Status::Failed, Some(reason.as_str()), None),
        Verdict::NotFound | Verdict::Unclear => (Status::Unknown, None, None),
    };
    let mut values = row_key(place, id);
    values.extend(params![
        status.as_str(),
        reason,
        url,
        reply.reference.as_ref(),
        now.as_millis()
    ]);
    Transaction::new().one(&store::ATTEMPT_SETTLE, values)
}

/// The word under which an error is stored with an attempt that was not sent.
pub(super) fn word_of(error: &contract::Error) -> &'static str {
    match error {
        contract::Error::Away | contract::Error::Unavailable => "unavailable",
        contract::Error::Sealed => "sealed",
        contract::Error::Refused(refusal) => refusal.as_str(),
        contract::Error::NotAllowed | contract::Error::Defect => "defect",
    }
}

fn error_of(word: &str) -> contract::Error {
    match word {
        "unavailable" => contract::Error::Unavailable,
        "sealed" => contract::Error::Sealed,
        _ => word
            .parse()
            .map_or(contract::Error::Defect, contract::Error::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_net::contract::Refusal;

    #[test]
    fn a_stored_error_reads_back() {
        let refusals = Refusal::ALL
            .iter()
            .map(|refusal| contract::Error::Refused(*refusal));
        for error in refusals.chain([
            contract::Error::Unavailable,
            contract::Error::Sealed,
            contract::Error::Defect,
        ]) {
            assert_eq!(error_of(word_of(&error)), error);
        }
    }
}
