//! Data keys: issued for records that do not exist yet, and moved from one subject to another without their record
//! being opened. The record of it is durable before the answer.

use coffer_core::{id::RecordId, limits::DATA_KEY_BATCH_MAX};
use coffer_crypto::{random_secret, unwrap, wrap};
use coffer_net::contract::{
    KeyOnLink, Peer, Refusal,
    keys::{Issue, Issued, IssuedKey, Rewrap, WrappedKey},
};

use crate::{
    Error, Keys,
    custody::entry,
    hierarchy::{Versioned, Which, data_key_context, live, used},
};

impl Keys {
    /// New data keys, one per record.
    pub(crate) async fn issue_keys(&self, peer: &Peer, request: &Issue) -> Result<Issued, Error> {
        let unsealed = self.unsealed()?;
        let count = request.records.len();
        if count == 0 || count > DATA_KEY_BATCH_MAX {
            return Err(Refusal::Malformed.into());
        }
        let (place, subject) = (request.place, request.subject);
        let parent = unsealed
            .hierarchy
            .subject(place, subject, Which::Newest, self.clock().now())
            .await?;
        let keys = request
            .records
            .iter()
            .map(|record| issued(request, *record, &parent));
        let keys = keys.collect::<Result<Vec<IssuedKey>, Error>>()?;
        let entry = entry(peer, "data_key.issue")
            .place(place.account, place.mode)
            .object(subject)
            .object(format_args!("count={count}"));
        self.commit(live(place, subject, parent.version), entry)
            .await
            .map_err(used)?;
        Ok(Issued { keys })
    }

    /// The same data key, wrapped under another subject's key.
    pub(crate) async fn rewrap_key(
        &self,
        peer: &Peer,
        request: &Rewrap,
    ) -> Result<WrappedKey, Error> {
        let unsealed = self.unsealed()?;
        let (place, now) = (request.place, self.clock().now());
        let from = Which::Version(request.wrapped.parent_version);
        let from = unsealed
            .hierarchy
            .subject(place, request.from, from, now)
            .await?;
        let to = unsealed
            .hierarchy
            .subject(place, request.to, Which::Newest, now)
            .await?;
        let context = |parent: &Versioned| {
            data_key_context(place, request.class, request.record, parent.version)
        };
        let key = unwrap(&from.key, &context(&from), &request.wrapped.bytes)
            .map_err(|_| Refusal::WrappedKeyInvalid)?;
        let bytes = wrap(&to.key, &context(&to), &key)?;
        let steps =
            live(place, request.from, from.version).append(live(place, request.to, to.version));
        let entry = entry(peer, "data_key.rewrap")
            .place(place.account, place.mode)
            .object(request.record)
            .object(request.from)
            .object(request.to);
        self.commit(steps, entry).await.map_err(used)?;
        Ok(WrappedKey {
            parent_version: to.version,
            bytes,
        })
    }
}

fn issued(request: &Issue, record: RecordId, parent: &Versioned) -> Result<IssuedKey, Error> {
    let key = random_secret()?;
    let context = data_key_context(request.place, request.class, record, parent.version);
    let wrapped = WrappedKey {
        parent_version: parent.version,
        bytes: wrap(&parent.key, &context, &key)?,
    };
    Ok(IssuedKey {
        record,
        key: KeyOnLink::new(key),
        wrapped,
    })
}
