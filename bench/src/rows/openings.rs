//! Cards opened per second, at the vault.

use coffer_core::{
    Money,
    id::{AttemptId, RecordId},
    provider::Provider,
};
use coffer_crypto::Key;
use coffer_net::{
    Clock,
    contract::{
        Place, Role,
        keys::{GetOrderKey, Keys as _, KeysClient},
        order::{Order, SignedOrder},
        vault::{Act, AttemptOutcome, CardSource, KeepCard, Perform, Vault as _, VaultClient},
    },
};

use crate::{
    drive::{Client, Figures, Plan, drive},
    machine::fsync_time,
    peer::Peer,
    stage::{PROVIDER, Stage},
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "Orders for kept cards, 64 at a time over one link with the api's certificate. The vault opens a \
    card only to send it to a provider and has no door that hands one out, so each is a whole attempt: recorded durably, the \
    card opened by the key server (its own durable record), the authorization sent to a provider over HTTPS, its outcome \
    recorded durably. The provider is the least that one can be: a fixed approval behind TLS, which remembers nothing. What \
    it does is not Coffer's work and not counted, but it takes its part of both cores, as the load does.";
pub(super) const LIMIT: &str = "Three durable writes in two stores, and three calls: from the api, to the key server, to the \
    provider, of which only one write and one call are the opening itself (the next row). Both roles record in packs, and \
    calls to the key server travel in packs; the call of the api and that of the provider are each one's own. The peer only \
    gives a stored card back: it reads one row, records nothing and sends nothing anywhere.";

/// Orders on their way at a time.
const CLIENTS: usize = 64;
/// An order's time: its attempt's deadline.
const ORDER_MS: i64 = 20_000;
/// What hyperswitch-card-vault retrieved on such a machine (2026-11-22), in one process, over plain HTTP, without a record.
const CARD_VAULT: f64 = 11_500.0;

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let fsync = Some(fsync_time());
    let signer = Signer::new(stage).await;
    let vault = VaultClient::new(stage.link(Role::Api, Role::Vault));
    let records = kept(stage, &vault).await;
    let _provider = Peer::provider(stage);
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let clients = records.iter().map(|record| Opener {
            signer: &signer,
            vault: &vault,
            record: *record,
        });
        let watched = stage.roles(&["vault", "keys"]);
        runs.push(drive(clients.collect(), &watched, plan).await);
    }
    let (figures, store) = (Figures::median(&runs), stage.store.as_str());
    let judged = Judged {
        what: format!("open a card at the vault, {store}"),
        value: figures.rate,
        unit: Unit::PerSecond,
        floor: 0.5 * CARD_VAULT,
        aim: CARD_VAULT,
        from: "0.5 and 1 × hyperswitch-card-vault's retrieval, 11,500/s".to_owned(),
        fsync,
    };
    Measured {
        judged: vec![judged],
        lines: vec![Line {
            who: format!("Coffer, {store}"),
            figures,
            fsync,
        }],
        notes: Vec::new(),
    }
}

fn bare() -> Provider {
    PROVIDER.to_owned().try_into().expect("a provider's name")
}

/// The records of cards that are kept with a customer, one for each client.
async fn kept(stage: &Stage, vault: &VaultClient) -> Vec<RecordId> {
    let (clock, mut records) = (Clock::system(), Vec::new());
    let customer = clock.id();
    for token in stage.tokens(CLIENTS).await {
        let request = KeepCard {
            place: stage.place(),
            token,
            customer,
            card: clock.id(),
        };
        records.push(vault.keep_card(request).await.expect("a kept card").record);
    }
    records
}

/// Signs orders as the api does.
pub(super) struct Signer {
    clock: Clock,
    place: Place,
    key_id: String,
    key: Key,
}

impl Signer {
    /// With the key of the api's certificate.
    pub(super) async fn new(stage: &Stage) -> Self {
        let keys = KeysClient::new(stage.link(Role::Api, Role::Keys));
        let granted = keys.order_key(GetOrderKey {}).await.expect("an order key");
        Self {
            clock: Clock::system(),
            place: stage.place(),
            key_id: granted.key_id,
            key: granted.key.into_key(),
        }
    }

    /// An order for a new attempt of a new payment.
    pub(super) fn order(&self, record: RecordId, to: Provider) -> (Order, SignedOrder) {
        let attempt: AttemptId = self.clock.id();
        let order = Order {
            place: self.place,
            payment: self.clock.id(),
            attempt,
            record,
            money: Money::new(1999, "EUR".parse().expect("EUR")).expect("an amount"),
            destination: to,
            expires: self.clock.now().plus_millis(ORDER_MS),
        };
        (order.clone(), order.sign(self.key_id.clone(), &self.key))
    }
}

struct Opener<'s> {
    signer: &'s Signer,
    vault: &'s VaultClient,
    record: RecordId,
}

impl Client for Opener<'_> {
    async fn act(&mut self) -> bool {
        let (order, signed) = self.signer.order(self.record, bare());
        let perform = Perform {
            place: order.place,
            payment: order.payment,
            attempt: order.attempt,
            provider: order.destination,
            deadline: order.expires,
            act: Act::Authorize {
                money: order.money,
                source: CardSource::Kept { order: signed },
                return_url: None,
            },
        };
        let outcome = self.vault.perform(perform).await;
        assert_eq!(outcome, Ok(AttemptOutcome::Succeeded));
        true
    }
}
