//! The root key: made once, stored only wrapped under a passphrase, and never used itself, only what is derived from it.

use coffer_audit::{Actor, ActorKind, Audit, Entry};
use coffer_core::{Timestamp, id::LeafId};
use coffer_crypto::{
    Context, Key, SecretBytes, SigningKey, Stretch, pki::Authority, random, random_secret, seal,
    stretch, unwrap, wrap,
};
use coffer_db::{Database, Row, Transaction, params};
use coffer_net::contract::Refusal;

use crate::{
    Error,
    store::{AUTHORITY_INSERT, AUTHORITY_READ, ROOT_INSERT, ROOT_READ},
};

/// The version of the root key; part of every context directly below it.
pub(crate) const ROOT_VERSION: i64 = 1;

const SALT_BYTES: usize = 16;
/// The dearest stretching that a stored row may ask for, so that a changed row cannot exhaust the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// What the operator gets from initialising.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// The certificate of the internal authority, which every role trusts.
    pub ca_certificate_pem: String,
    /// The Ed25519 key that checkpoints of all logs are verified with.
    pub checkpoint_public_key: [u8; 32],
}

/// The opened root key, alive only while what is needed is derived from it.
pub(crate) struct Root(Key);

impl Root {
    /// Wraps account keys.
    pub(crate) fn accounts(&self) -> Key {
        self.0.derive(&Context::new("coffer keys accounts v1"))
    }

    /// Derives order keys.
    pub(crate) fn orders(&self) -> Key {
        self.0.derive(&Context::new("coffer keys orders v1"))
    }

    fn authority(&self) -> Key {
        self.0.derive(&Context::new("coffer keys authority v1"))
    }

    fn checkpoints(&self) -> Key {
        self.0.derive(&Context::new("coffer keys checkpoints v1"))
    }

    /// The internal certificate authority and the key that signs checkpoints.
    pub(crate) async fn signers(&self, db: &Database) -> Result<(Authority, SigningKey), Error> {
        let row = db
            .read_optional(&AUTHORITY_READ, params![ROOT_VERSION])
            .await?
            .ok_or(Error::NotInitialised)?;
        let key = coffer_crypto::open(
            &self.authority(),
            &authority_context(),
            row.bytes("sealed_key")?,
        )?;
        let authority = Authority::restore(row.text("certificate")?, &key)?;
        let seed = unwrap(
            &self.checkpoints(),
            &checkpoint_context(),
            row.bytes("checkpoint_wrapped")?,
        )?;
        Ok((authority, SigningKey::from_seed(&seed)?))
    }
}

/// Makes the root key under this passphrase, the internal certificate authority and the checkpoint key.
///
/// # Errors
/// `AlreadyInitialised` when there is a root key; nothing is changed then. `Unavailable` when the store or the machine
/// cannot serve.
pub async fn initialise(
    db: &Database,
    passphrase: &SecretBytes,
    now: Timestamp,
    cost: Stretch,
) -> Result<Initialised, Error> {
    if is_initialised(db).await? {
        return Err(Error::AlreadyInitialised);
    }
    let root = Root(random_secret()?);
    let authority = Authority::create("Coffer internal authority", now.as_seconds())?;
    let signing = SigningKey::generate()?;
    let steps = stored_root(&root, passphrase, now, cost)
        .await?
        .append(stored_signers(&root, &authority, &signing, now)?)
        .append(record(now)?);
    match db.transact(steps).await {
        Ok(_) => Ok(Initialised {
            ca_certificate_pem: authority.certificate_pem().to_owned(),
            checkpoint_public_key: *signing.public().as_bytes(),
        }),
        Err(error) if error.is_conflict_at(&ROOT_INSERT) => Err(Error::AlreadyInitialised),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn is_initialised(db: &Database) -> Result<bool, Error> {
    Ok(db
        .read_optional(&ROOT_READ, params![ROOT_VERSION])
        .await?
        .is_some())
}

/// Opens the root key.
pub(crate) async fn open(db: &Database, passphrase: &SecretBytes) -> Result<Root, Error> {
    let row = db
        .read_optional(&ROOT_READ, params![ROOT_VERSION])
        .await?
        .ok_or(Error::NotInitialised)?;
    let (salt, cost) = stretching(&row)?;
    let key = stretched(passphrase, salt, cost).await?;
    match unwrap(&key, &root_context(&salt, cost), row.bytes("wrapped")?) {
        Ok(root) => Ok(Root(root)),
        Err(coffer_crypto::Error::Refused) => Err(Refusal::PassphraseWrong.into()),
        Err(error) => Err(error.into()),
    }
}

async fn stored_root(
    root: &Root,
    passphrase: &SecretBytes,
    now: Timestamp,
    cost: Stretch,
) -> Result<Transaction, Error> {
    let salt = random::<SALT_BYTES>()?;
    let key = stretched(passphrase, salt, cost).await?;
    let wrapped = wrap(&key, &root_context(&salt, cost), &root.0)?;
    let values = params![
        ROOT_VERSION,
        salt,
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        wrapped,
        now.as_millis()
    ];
    Ok(Transaction::new().one(&ROOT_INSERT, values))
}

fn stored_signers(
    root: &Root,
    authority: &Authority,
    signing: &SigningKey,
    now: Timestamp,
) -> Result<Transaction, Error> {
    // Sealed at once: this is the only place where the authority's key leaves its type.
    let sealed_key = seal(
        &root.authority(),
        &authority_context(),
        authority.key_secret().expose(),
    )?;
    let wrapped = wrap(&root.checkpoints(), &checkpoint_context(), &signing.seed())?;
    let public = *signing.public().as_bytes();
    let values = params![
        ROOT_VERSION,
        authority.certificate_pem(),
        sealed_key,
        public,
        wrapped,
        now.as_millis()
    ];
    Ok(Transaction::new().one(&AUTHORITY_INSERT, values))
}

fn record(now: Timestamp) -> Result<Transaction, Error> {
    let entry = Entry::new(
        Actor::new(ActorKind::Operator, "local"),
        "custody.initialise",
    );
    Ok(Audit::impersonal("initialise").leaf(now, LeafId::from_parts(now, random()?), entry)?)
}

fn stretching(row: &Row) -> Result<([u8; SALT_BYTES], Stretch), Error> {
    let number = |column, most: u32| {
        let stored = u32::try_from(row.integer(column)?)
            .ok()
            .filter(|stored| *stored <= most);
        stored.ok_or_else(|| Error::Defect(format!("the root key's {column} is out of range")))
    };
    let cost = Stretch {
        memory_kib: number("memory_kib", MEMORY_KIB_MAX)?,
        passes: number("passes", PASSES_MAX)?,
        lanes: number("lanes", LANES_MAX)?,
    };
    let salt = row
        .bytes("salt")?
        .try_into()
        .map_err(|_| Error::Defect("the root key's salt is damaged".to_owned()))?;
    Ok((salt, cost))
}

/// Stretches on a thread of its own: it takes a large part of a second, in which others must be served.
async fn stretched(
    passphrase: &SecretBytes,
    salt: [u8; SALT_BYTES],
    cost: Stretch,
) -> Result<Key, Error> {
    let passphrase = SecretBytes::from_vec(passphrase.expose().to_vec());
    tokio::task::spawn_blocking(move || stretch(&passphrase, &salt, cost))
        .await
        .map_err(|_| Error::Defect("the stretching of the passphrase ended early".to_owned()))?
        .map_err(Error::from)
}

fn root_context(salt: &[u8; SALT_BYTES], cost: Stretch) -> Context {
    Context::new("coffer root key v1")
        .number(ROOT_VERSION)
        .bytes(salt)
        .number(cost.memory_kib.into())
        .number(cost.passes.into())
        .number(cost.lanes.into())
}

fn authority_context() -> Context {
    Context::new("coffer authority key v1").number(ROOT_VERSION)
}

fn checkpoint_context() -> Context {
    Context::new("coffer checkpoint key v1").number(ROOT_VERSION)
}
