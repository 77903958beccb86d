//! The vault as other roles see it: each method of the contract, one call each.

use coffer_net::contract::{
    self, Answer, Peer, Refusal,
    vault::{
        AttemptOutcome, DeleteRecord, Deleted, DiskHistory, FieldsFindings, GetDisk, InspectFields,
        Intake, KeepCard, KeptCard, MintIntake, Perform, ResolveToken, ResolvedToken, Settle,
        Settlement, VaultService,
    },
};

use crate::{Error, Vault, intake};

impl VaultService for Vault {
    fn mint_intake<'a>(&'a self, _peer: &'a Peer, request: MintIntake) -> Answer<'a, Intake> {
        Box::pin(async move {
            let (id, now) = (self.parts.clock.id(), self.parts.clock.now());
            let minted = intake::mint(&self.parts.service_keys.intake, id, request, now)
                .map_err(Error::into_contract)?;
            minted.ok_or(contract::Error::Refused(Refusal::Malformed))
        })
    }

    fn resolve_token<'a>(
        &'a self,
        _peer: &'a Peer,
        request: ResolveToken,
    ) -> Answer<'a, ResolvedToken> {
        Box::pin(async move {
            self.resolve_token(request)
                .await
                .map_err(Error::into_contract)
        })
    }

    fn keep_card<'a>(&'a self, peer: &'a Peer, request: KeepCard) -> Answer<'a, KeptCard> {
        Box::pin(async move {
            self.keep_card(peer, request)
                .await
                .map_err(Error::into_contract)
        })
    }

    fn delete_record<'a>(&'a self, peer: &'a Peer, request: DeleteRecord) -> Answer<'a, Deleted> {
        Box::pin(async move {
            self.delete_record(peer, request)
                .await
                .map_err(Error::into_contract)
        })
    }

    fn perform<'a>(&'a self, peer: &'a Peer, request: Perform) -> Answer<'a, AttemptOutcome> {
        Box::pin(self.perform(peer, request))
    }

    fn settle<'a>(&'a self, peer: &'a Peer, request: Settle) -> Answer<'a, Settlement> {
        Box::pin(async move {
            self.settle(peer, request)
                .await
                .map_err(Error::into_contract)
        })
    }

    fn inspect_fields<'a>(
        &'a self,
        _peer: &'a Peer,
        _request: InspectFields,
    ) -> Answer<'a, FieldsFindings> {
        Box::pin(async move {
            self.look_at_fields().await.map_err(Error::into_contract)?;
            Ok(FieldsFindings {
                findings: self.fields_findings(),
            })
        })
    }

    fn disk<'a>(&'a self, _peer: &'a Peer, _request: GetDisk) -> Answer<'a, DiskHistory> {
        let full_times = self.parts.db.disk().full_times;
        Box::pin(async move { Ok(DiskHistory { full_times }) })
    }
}
