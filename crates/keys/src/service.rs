//! The key server as other roles see it: each method of the contract in one line, its failures logged here once.

use coffer_crypto::SecretBytes;
use coffer_net::contract::{
    self, Answer, Peer,
    keys::{
        Custody, DiskHistory, Fingerprint, Fingerprinted, GetCheckpoint, GetCustody, GetDisk,
        GetHeads, GetOrderKey, GetRevoked, Issue, Issued, KeysService, Open, Opened, OrderKey,
        RememberedCheckpoint, Renew, Renewed, Revoked, Rewrap, Seal, SignCheckpoint,
        SignedCheckpoint, SignedHeads, Unseal, WrappedKey,
    },
};

use crate::{Error, Keys, custody::actor};

impl KeysService for Keys {
    fn issue<'a>(&'a self, peer: &'a Peer, request: Issue) -> Answer<'a, Issued> {
        answer("issue", peer, async move {
            self.issue_keys(peer, &request).await
        })
    }

    fn fingerprint<'a>(
        &'a self,
        peer: &'a Peer,
        request: Fingerprint,
    ) -> Answer<'a, Fingerprinted> {
        answer("fingerprint", peer, async move {
            self.fingerprint_of(peer, &request).await
        })
    }

    fn open<'a>(&'a self, peer: &'a Peer, request: Open) -> Answer<'a, Opened> {
        answer("open", peer, async move {
            self.open_record(peer, &request).await
        })
    }

    fn rewrap<'a>(&'a self, peer: &'a Peer, request: Rewrap) -> Answer<'a, WrappedKey> {
        answer("rewrap", peer, async move {
            self.rewrap_key(peer, &request).await
        })
    }

    fn order_key<'a>(&'a self, peer: &'a Peer, _: GetOrderKey) -> Answer<'a, OrderKey> {
        answer("order_key", peer, self.order_key_of(peer))
    }

    fn sign_checkpoint<'a>(
        &'a self,
        peer: &'a Peer,
        request: SignCheckpoint,
    ) -> Answer<'a, SignedCheckpoint> {
        answer("sign_checkpoint", peer, self.sign_head(peer, request))
    }

    fn checkpoint<'a>(
        &'a self,
        peer: &'a Peer,
        _: GetCheckpoint,
    ) -> Answer<'a, RememberedCheckpoint> {
        answer("checkpoint", peer, self.remembered_by(peer))
    }

    fn heads<'a>(&'a self, peer: &'a Peer, _: GetHeads) -> Answer<'a, SignedHeads> {
        answer("heads", peer, self.heads())
    }

    fn renew<'a>(&'a self, peer: &'a Peer, request: Renew) -> Answer<'a, Renewed> {
        answer("renew", peer, async move {
            self.renew_certificate(peer, &request).await
        })
    }

    fn revoked<'a>(&'a self, peer: &'a Peer, _: GetRevoked) -> Answer<'a, Revoked> {
        answer("revoked", peer, async move {
            Ok(Revoked {
                serials: self.revoked_serials().await?,
            })
        })
    }

    fn custody<'a>(&'a self, peer: &'a Peer, _: GetCustody) -> Answer<'a, Custody> {
        answer("custody", peer, async move { Ok(self.state()) })
    }

    fn disk<'a>(&'a self, peer: &'a Peer, _: GetDisk) -> Answer<'a, DiskHistory> {
        let full_times = self.db().disk().full_times;
        answer("disk", peer, async move { Ok(DiskHistory { full_times }) })
    }

    fn seal<'a>(&'a self, peer: &'a Peer, _: Seal) -> Answer<'a, Custody> {
        answer("seal", peer, async move {
            self.seal_by(actor(peer)).await.map(|()| self.state())
        })
    }

    fn unseal<'a>(&'a self, peer: &'a Peer, request: Unseal) -> Answer<'a, Custody> {
        let passphrase: SecretBytes = request.passphrase.into_secret();
        answer("unseal", peer, async move {
            self.unseal_by(actor(peer), &passphrase)
                .await
                .map(|()| self.state())
        })
    }
}

impl Keys {
    fn state(&self) -> Custody {
        Custody {
            sealed: self.is_sealed(),
        }
    }
}

/// Runs the method and says its failure in the contract's words. What the caller may not know is in the log only.
fn answer<'a, T: 'a>(
    method: &'static str,
    peer: &'a Peer,
    work: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> Answer<'a, T> {
    Box::pin(async move {
        work.await.map_err(|error| {
            log(method, peer, &error);
            contract::Error::from(error)
        })
    })
}

fn log(method: &'static str, peer: &Peer, error: &Error) {
    match error {
        Error::Sealed | Error::NotInitialised => {}
        Error::Refused(refusal) => {
            tracing::warn!(method, peer.role = %peer.role, peer.instance, %refusal, "a request was refused");
        }
        Error::Unavailable(_) | Error::AlreadyInitialised | Error::Defect(_) => {
            tracing::error!(method, peer.role = %peer.role, peer.instance, %error, "a request failed");
        }
    }
}
