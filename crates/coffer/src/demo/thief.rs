//! Plays a row of the theft table: what somebody gets who stole a machine or its databases. The thief has read the source,
//! so this uses the stolen certificates and files as Coffer itself does.

use std::{path::PathBuf, sync::Arc};

use clap::ValueEnum;
use coffer_core::{Money, id::RecordId, provider::Provider};
use coffer_crypto::{Key, SecretBytes, random_secret};
use coffer_db::{Database, Row, Statement, params};
use coffer_net::{
    Clock,
    contract::{
        Error, Place, Refusal, Role as LinkRole,
        keys::{Class, GetOrderKey, Keys as _, KeysClient, Open, Subject, WrappedKey},
        order::{Order, SignedOrder},
        vault::METHODS as VAULT_METHODS,
    },
    link::{Identity, Link},
};

use super::{
    hunt,
    shop::Shop,
    stage::{Stage, system},
    transcript::Transcript,
};
use crate::{
    directory::{Directory, Role},
    failure::Failure,
    init::roles::{CERTIFICATE, CERTIFICATE_KEY},
    secret_file,
};

/// What is stolen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Loot {
    /// The api's machine: its database, certificate and own key.
    Api,
    /// The vault's machine.
    Vault,
    /// The key server's database.
    Keys,
    /// All databases, as from backups.
    Databases,
}

/// What a thief reads of the stored cards.
static STOLEN_RECORDS: Statement = Statement::new(
    "stolen_records",
    "SELECT account, mode, record, last4, number, wrapped_key, parent_version FROM records",
);

/// Lets a payer deposit and pay with a card, then lets the thief try.
pub(super) async fn play(
    script: &mut Transcript,
    stage: &Stage,
    shop: &mut Shop,
    loot: Loot,
) -> Result<(), Failure> {
    script.title("A merchant's day: a card is deposited, another one pays");
    super::act::tell_me(script, shop).await?;
    let token = super::act::deposit(script, shop).await?;
    super::act::pay(script, shop, &token).await?;
    super::act::deposit(script, shop).await?;
    let directory = stage.directory()?;
    match loot {
        Loot::Api => api(script, stage, shop, &directory).await,
        Loot::Vault => vault(script, stage, &directory).await,
        Loot::Keys => keys(script, stage, &directory).await,
        Loot::Databases => databases(script, stage, shop, &directory).await,
    }
}

async fn api(
    script: &mut Transcript,
    stage: &Stage,
    shop: &Shop,
    directory: &Directory,
) -> Result<(), Failure> {
    script.title("The thief has the api's machine: database, certificate, private key");
    let files = [
        directory.database(Role::Api),
        directory.file(Role::Api, "api.db-wal"),
    ];
    script.check("no card number is in its database", !found_in(&files, shop));
    let keys = KeysClient::new(link(stage, directory, Role::Api, "keys", LinkRole::Keys)?);
    let signer = keys.order_key(GetOrderKey {}).await;
    script.check("it can sign orders, as the api can", signer.is_ok());
    let record = stolen_record(stage, directory).await?;
    let (key_id, key) = signer
        .map(|granted| (granted.key_id, granted.key.into_key()))
        .map_err(system("the order key"))?;
    let opened = keys
        .open(opening(
            &record,
            record.order(one_cent()?).sign(key_id, &key),
        ))
        .await
        .err();
    script.line(&format!(
        "open, called with the api's certificate and a good order: {}",
        said(&opened)
    ));
    script.check(
        "but the key server opens nothing for an api",
        opened == Some(Error::NotAllowed),
    );
    let methods = VAULT_METHODS
        .iter()
        .map(|method| method.name)
        .collect::<Vec<_>>()
        .join(", ");
    script.line(&format!(
        "what the vault does for an api: {methods}; none of these answers with a card"
    ));
    Ok(())
}

async fn vault(
    script: &mut Transcript,
    stage: &Stage,
    directory: &Directory,
) -> Result<(), Failure> {
    script.title(
        "The thief has the vault's machine: database, certificate, private key, service key",
    );
    let keys = KeysClient::new(link(stage, directory, Role::Vault, "keys", LinkRole::Keys)?);
    let record = stolen_record(stage, directory).await?;
    script.line(&format!(
        "a stolen record: ends in {}, {} bytes of ciphertext",
        record.last4, record.number
    ));
    let signer = keys.order_key(GetOrderKey {}).await;
    script.check(
        "it gets no key to sign orders with",
        signer.err() == Some(Error::NotAllowed),
    );
    let forger: Key = random_secret().map_err(system("a key"))?;
    for key_id in ["00", &api_serial(directory)?] {
        let forged = record.order(one_cent()?).sign(key_id.to_owned(), &forger);
        let opened = keys.open(opening(&record, forged)).await.err();
        script.line(&format!(
            "open, with an order forged as of certificate {key_id}: {}",
            said(&opened)
        ));
        script.check(
            "a card that nobody ordered stays closed",
            opened == Some(Error::Refused(Refusal::OrderInvalid)),
        );
    }
    Ok(())
}

async fn keys(
    script: &mut Transcript,
    stage: &Stage,
    directory: &Directory,
) -> Result<(), Failure> {
    script.title("The thief has the key server's database");
    let copy = copied(stage, directory, Role::Keys)?;
    let stolen = Database::open_sqlite(&copy, coffer_keys::MIGRATIONS, coffer_keys::STATEMENTS)
        .map_err(system("the copy"))?;
    let settings = coffer_keys::Settings::new("thief", Clock::system());
    let thief = coffer_keys::Keys::open(stolen, settings)
        .await
        .map_err(system("the copy"))?;
    for guess in ["", "password", "correct horse battery staple"] {
        let opened = thief
            .unseal(&SecretBytes::from_vec(guess.as_bytes().to_vec()))
            .await;
        script.check(&format!("the passphrase is not {guess:?}; each guess costs 64 MiB and three passes of Argon2id"), opened.is_err());
    }
    script.check("without the root key it stays sealed", thief.is_sealed());
    Ok(())
}

async fn databases(
    script: &mut Transcript,
    stage: &Stage,
    shop: &Shop,
    directory: &Directory,
) -> Result<(), Failure> {
    script.title("The thief has all the databases, as from backups");
    let files: Vec<PathBuf> = [Role::Api, Role::Vault, Role::Keys]
        .into_iter()
        .flat_map(|role| {
            [
                directory.database(role),
                directory.file(role, &format!("{role}.db-wal")),
            ]
        })
        .collect();
    script.check(
        "no card number is in any of them, in any spelling",
        !found_in(&files, shop),
    );
    let record = stolen_record(stage, directory).await?;
    script.line(&format!("a stored card is: its last four digits {}, {} bytes of ciphertext, {} bytes of wrapped key", record.last4, record.number, record.wrapped.bytes.len()));
    let guess: Key = random_secret().map_err(system("a key"))?;
    let context = coffer_crypto::Context::new("a thief's guess");
    let opened = coffer_crypto::unwrap(&guess, &context, &record.wrapped.bytes);
    script.check(
        "a wrapped key opens with no other key than its own",
        opened.is_err(),
    );
    Ok(())
}

/// A stored card, as it lies in the vault's database.
struct Stolen {
    place: Place,
    record: RecordId,
    last4: String,
    number: usize,
    wrapped: WrappedKey,
}

impl Stolen {
    /// An order for it, as the thief would like one.
    fn order(&self, money: Money) -> Order {
        let clock = Clock::system();
        Order {
            place: self.place,
            payment: clock.id(),
            attempt: clock.id(),
            record: self.record,
            money,
            destination: Provider::simulator(),
            expires: clock.now().plus_millis(20_000),
        }
    }
}

fn opening(stolen: &Stolen, order: SignedOrder) -> Open {
    Open {
        subject: Subject::Account,
        class: Class::Card,
        wrapped: stolen.wrapped.clone(),
        order,
    }
}

async fn stolen_record(stage: &Stage, directory: &Directory) -> Result<Stolen, Failure> {
    let copy = copied(stage, directory, Role::Vault)?;
    let stolen = Database::open_sqlite(&copy, coffer_vault::MIGRATIONS, &[&[&STOLEN_RECORDS]])
        .map_err(system("the copy"))?;
    let rows = stolen
        .read(&STOLEN_RECORDS, params![])
        .await
        .map_err(system("the copy"))?;
    rows.last()
        .ok_or_else(|| Failure::System("no card is stored".to_owned()))
        .and_then(|row| read(row).map_err(system("the copy")))
}

fn read(row: &Row) -> Result<Stolen, Box<dyn std::error::Error>> {
    Ok(Stolen {
        place: Place {
            account: row.text("account")?.parse()?,
            mode: row.text("mode")?.parse()?,
        },
        record: row.text("record")?.parse()?,
        last4: row.text("last4")?.to_owned(),
        number: row.bytes("number")?.len(),
        wrapped: WrappedKey {
            parent_version: row.integer("parent_version")?,
            bytes: row.bytes("wrapped_key")?.to_vec(),
        },
    })
}

/// A copy of a role's database and its log, as a thief takes them.
fn copied(stage: &Stage, directory: &Directory, role: Role) -> Result<PathBuf, Failure> {
    let folder = stage.folder.path().join("loot");
    std::fs::create_dir_all(&folder).map_err(system("the loot"))?;
    let copy = folder.join(format!("{role}.db"));
    for ending in ["", "-wal"] {
        let from = directory.file(role, &format!("{role}.db{ending}"));
        std::fs::copy(&from, folder.join(format!("{role}.db{ending}")))
            .map_err(system("the loot"))?;
    }
    Ok(copy)
}

fn link(
    stage: &Stage,
    directory: &Directory,
    as_role: Role,
    to: &str,
    expect: LinkRole,
) -> Result<Link, Failure> {
    let identity = identity(directory, as_role)?;
    Ok(Link::new(
        Arc::new(identity),
        format!("127.0.0.1:{}", stage.port(to)),
        expect,
    ))
}

fn identity(directory: &Directory, role: Role) -> Result<Identity, Failure> {
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).map_err(|error| Failure::doing(path.display(), error))
    };
    let key = secret_file::read(&directory.file(role, CERTIFICATE_KEY))?;
    Identity::load(
        &read(directory.file(role, CERTIFICATE))?,
        &key,
        &read(directory.authority())?,
    )
    .map_err(system("a stolen certificate"))
}

fn api_serial(directory: &Directory) -> Result<String, Failure> {
    Ok(identity(directory, Role::Api)?.peer().serial)
}

fn found_in(files: &[PathBuf], shop: &Shop) -> bool {
    let needles = hunt::spellings(&shop.number);
    files
        .iter()
        .any(|file| std::fs::read(file).is_ok_and(|bytes| hunt::holds_any(&bytes, &needles)))
}

fn one_cent() -> Result<Money, Failure> {
    "EUR"
        .parse()
        .and_then(|currency| Money::new(1, currency))
        .map_err(system("one cent"))
}

fn said(error: &Option<Error>) -> String {
    error
        .as_ref()
        .map_or_else(|| "opened".to_owned(), Error::to_string)
}
