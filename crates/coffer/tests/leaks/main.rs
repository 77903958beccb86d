//! Canaries: card numbers, security codes, keys and secrets that pass through a whole Coffer in every way there is, right
//! and wrong, and are then looked for in everything that stays behind or comes out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod memory;
mod mistakes;

use std::{fs, sync::Mutex};

use coffer_core::api_key::KeyText;
use coffer_testkit::{
    Answer, Card, Chance, Client, Coffer, Hunt, Installation, Merchant, Receiver, Reply,
    files_under,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
const ROLES: [&str; 4] = ["api", "vault", "keys", "simulator"];
const NOTHING: [&str; 0] = [];
/// Each role's own secret files are what they are: nothing that a merchant or payer gave is in them, and they are looked
/// through as well. Only the passphrase is looked for elsewhere than in its own.
const PASSPHRASE: &str = "keys/passphrase";
const PASSWORDS: [&str; 3] = [
    "api/postgres.password",
    "vault/postgres.password",
    "keys/postgres.password",
];

/// A merchant, and everything that it and its payers were ever answered.
struct Watched {
    shop: Merchant,
    client: Client,
    answers: Mutex<Vec<String>>,
}

impl Watched {
    fn note(&self, answer: Answer) -> Answer {
        let said = format!("{:?} {}", answer.headers, answer.text);
        self.answers.lock().unwrap().push(said);
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.note(self.shop.get(path).await)
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.note(self.shop.post(path, body).await)
    }

    async fn deposit(&self, card: Card) -> String {
        let ticket = self.shop.ticket().await;
        let deposited = self.shop.deposit_with(&ticket, card).await;
        self.note(deposited).expect(201).id()
    }

    async fn pay(&self, amount: i64, with: Value) -> Answer {
        let mut order = json!({"amount": amount, "currency": "EUR"});
        let fields = order.as_object_mut().unwrap();
        fields.extend(with.as_object().unwrap().clone());
        self.post("/v1/payments", &order).await
    }

    /// Any bytes to any address, with the merchant's key if no other authorization is given.
    async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.shop.secret_key);
        let own = [("authorization", bearer.as_str())];
        let has_own = headers.iter().any(|(name, _)| *name == "authorization");
        let headers: Vec<_> = own
            .into_iter()
            .filter(|_| !has_own)
            .chain(headers.iter().copied())
            .collect();
        let body = body.as_bytes().to_vec();
        let sent = self.client.send_bytes(method, url, &headers, body).await;
        self.note(sent.unwrap())
    }
}

/// Logs everything there is to log: what must not be logged must not be logged at any level.
async fn log_all(installation: &Installation) {
    let file = installation.directory().join("coffer.toml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replace("# level = \"info\"", "level = \"trace\"");
    assert_ne!(changed, text);
    fs::write(file, changed).unwrap();
}

/// A day of payments with canary cards, and of mistakes with them.
struct Day {
    coffer: Coffer,
    watched: Watched,
    hook: Receiver,
    chance: Chance,
    /// What must be found nowhere.
    cards: Hunt,
    /// What is shown once, in an answer, and must be found nowhere else.
    secrets: Hunt,
    /// What is no secret, and must be found.
    control: Hunt,
}

impl Day {
    async fn begin() -> Self {
        let coffer = Coffer::start_prepared(BINARY, log_all).await;
        let shop = coffer.merchant().await;
        let watched = Watched {
            client: coffer.client(),
            answers: Mutex::default(),
            shop,
        };
        let hook = Receiver::listen(|_| Reply::Status(204)).await;
        let mut day = Self {
            coffer,
            watched,
            hook,
            chance: Chance::new(Chance::seed()),
            cards: Hunt::default(),
            secrets: Hunt::default(),
            control: Hunt::default(),
        };
        let account = day.watched.shop.account.clone();
        day.control.text("the account", &account);
        day.watch_keys();
        day
    }

    fn watch_keys(&mut self) {
        let demo = self.coffer.demo().clone();
        let key = self.watched.shop.secret_key.clone();
        let other = demo["secret_key"].as_str().unwrap().to_owned();
        for key in [key, other] {
            // sk_test_, the id, the secret, the checksum.
            self.secrets.text("an API key", &key);
            self.secrets.text("an API key's secret", &key[30..73]);
        }
        let file = self.coffer.directory().join(PASSPHRASE);
        let passphrase = fs::read_to_string(file).unwrap();
        self.secrets.text("the passphrase", passphrase.trim_end());
        for file in ["api/service.key", "vault/service.key"] {
            let key = fs::read(self.coffer.directory().join(file)).unwrap();
            self.secrets.bytes(file, &key);
        }
        for file in PASSWORDS {
            // On SQLite there are none.
            if let Ok(password) = fs::read_to_string(self.coffer.directory().join(file)) {
                self.secrets.text(file, password.trim_end());
            }
        }
    }

    /// An approved card that is looked for from now on, with its security code as it travels.
    fn canary(&mut self, name: &str) -> Card {
        let card = Card::canary(&mut self.chance);
        self.watch(name, card);
        card
    }

    fn watch(&mut self, name: &str, card: Card) {
        self.cards.card_number(name, card.number);
        // Three digits alone are everywhere; these are not.
        let code = card.cvc;
        for (spelling, text) in [
            ("as JSON", format!("\"cvc\":\"{code}\"")),
            ("as a field", format!("cvc={code}")),
            ("with its number", format!("{}{code}", &card.number[10..])),
        ] {
            self.cards
                .text(&format!("the security code of {name} {spelling}"), &text);
        }
    }

    async fn webhooks(&mut self) {
        let body = json!({"url": format!("{}/hook", self.hook.url)});
        let made = self.watched.shop.post("/v1/webhook_endpoints", &body).await;
        let made = made.expect(201);
        self.watch_webhook_secret(&made);
        let path = format!("/v1/webhook_endpoints/{}/rotate_secret", made.id());
        let rotated = self.watched.shop.post(&path, &json!({})).await.expect(200);
        self.watch_webhook_secret(&rotated);
        let again = self.watched.get("/v1/webhook_endpoints").await;
        assert_eq!(self.secrets.found_in(again.text.as_bytes()), NOTHING);
    }

    fn watch_webhook_secret(&mut self, answer: &Answer) {
        let secret = answer.json["secret"].as_str().unwrap();
        let bytes = BASE64.decode(secret.trim_start_matches("whsec_").as_bytes());
        self.secrets.text("a webhook secret", secret);
        self.secrets
            .bytes("a webhook secret's bytes", &bytes.unwrap());
    }

    /// Cards go where cards go.
    async fn pay(&mut self) {
        let paid = self.canary("the card that paid");
        let token = self.watched.deposit(paid).await;
        let done = self
            .watched
            .pay(1999, json!({"token": token}))
            .await
            .expect(201);
        self.control.text("a payment", &done.id());
        self.hook
            .event("/hook", "payment.captured", &done.id())
            .await;
        let refund = json!({"payment": done.id(), "amount": 500});
        self.watched.post("/v1/refunds", &refund).await.expect(201);
        self.watched
            .pay(1, json!({"token": token}))
            .await
            .expect(409);

        let kept = self.canary("the card that was kept");
        let customer = self
            .watched
            .post("/v1/customers", &json!({}))
            .await
            .expect(201)
            .id();
        let token = self.watched.deposit(kept).await;
        let path = format!("/v1/customers/{customer}/cards");
        let card = self
            .watched
            .post(&path, &json!({"token": token}))
            .await
            .expect(201)
            .id();
        let by_card = json!({"card": card, "customer": customer});
        self.watched.pay(700, by_card).await.expect(201);
        self.watched.get(&path).await.expect(200);

        let unused = self.canary("the card that was never used");
        self.watched.deposit(unused).await;
    }

    /// Also when things go wrong at the provider.
    async fn fail(&mut self) {
        let unknown = Card::unknown_canary(&mut self.chance);
        self.watch("the card that was declined", unknown);
        let token = self.watched.deposit(unknown).await;
        let declined = self
            .watched
            .pay(300, json!({"token": token}))
            .await
            .expect(201);
        assert_eq!(declined.json["status"], "declined");
        for behaviour in ["garbage", "error_after_charging", "drop_after_charging"] {
            let card = self.canary(&format!("the card that met {behaviour}"));
            let token = self.watched.deposit(card).await;
            let switch = json!({"behaviour": behaviour, "operation": "authorize", "count": 1});
            self.coffer.misbehave(switch).await;
            self.watched
                .pay(400, json!({"token": token}))
                .await
                .expect(202);
        }
        let sealed = self.canary("the card that came while the key server was sealed");
        let token = self.watched.deposit(sealed).await;
        self.coffer.seal().await;
        self.watched
            .pay(500, json!({"token": token}))
            .await
            .expect(503);
        let ticket = self.watched.shop.ticket().await;
        let refused = self.canary("the card that was refused");
        let answer = self.watched.shop.deposit_with(&ticket, refused).await;
        self.watched.note(answer).expect(503);
        self.coffer.unseal().await;
    }

    /// What lets a payer deposit a card is itself kept nowhere.
    async fn tickets(&mut self) {
        let card = self.canary("the card of a ticket");
        let ticket = self.watched.shop.ticket().await;
        self.secrets.text("a ticket", &ticket);
        let deposited = self.watched.shop.deposit_with(&ticket, card).await;
        self.watched.note(deposited).expect(201);

        let order = json!({"amount": 100, "currency": "EUR"});
        let waiting = self
            .watched
            .shop
            .post_once("/v1/payments", "checkout-1", &order)
            .await;
        let waiting = waiting.expect(201);
        let url = waiting.json["checkout_url"].as_str().unwrap().to_owned();
        let secret = url.rsplit('/').next().unwrap();
        // The account and mode, which are no secret, and the MAC, which is.
        let bytes = BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap();
        self.secrets.bytes("a checkout secret", &bytes[17..]);
        let body = json!({"payment": waiting.id(), "checkout_secret": secret});
        let url = self.watched.shop.url("/v1/intakes");
        let intake = self
            .watched
            .client
            .send("POST", &url, &[], Some(&body))
            .await;
        let ticket = intake.expect(201).json["ticket"]
            .as_str()
            .unwrap()
            .to_owned();
        self.secrets.text("a checkout's ticket", &ticket);
        let again = self
            .watched
            .shop
            .post_once("/v1/payments", "checkout-1", &order)
            .await;
        assert_eq!(again.json, waiting.json);
    }

    /// The whole key stands in a form, and the token that it is exchanged for in its answer, and nowhere else.
    async fn tokens(&mut self) {
        let (key, client) = (&self.watched.shop.secret_key, &self.watched.client);
        let id = KeyText::parse(key).unwrap().id;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let ask = format!("grant_type=client_credentials&client_id={id}&client_secret={key}");
        let url = self.watched.shop.url("/oauth/token");
        let sent = client.send_bytes("POST", &url, &form, ask.into_bytes());
        let asked = sent.await.unwrap().expect(200);
        let token = asked.json["access_token"].as_str().unwrap();
        // What stands before is no secret: which key, which token, what for. After it stands the checksum.
        self.secrets.text("an access token's code", &token[97..141]);
        let basic = BASE64.encode(format!("{id}:{}", self.watched.shop.secret_key).as_bytes());
        let basic = format!("Basic {basic}");
        let by_basic = [form[0], ("authorization", basic.as_str())];
        let bearer = format!("Bearer {token}");
        let url = self.watched.shop.url("/v1/payments");
        let by_token = [("authorization", bearer.as_str())];
        self.watched
            .send("GET", &url, &by_token, "")
            .await
            .expect(200);
        for path in ["/oauth/introspect", "/oauth/revoke"] {
            let (url, body) = (self.watched.shop.url(path), format!("token={token}"));
            let done = self.watched.send("POST", &url, &by_basic, &body).await;
            done.expect(200);
        }
        self.watched
            .send("GET", &url, &by_token, "")
            .await
            .expect(401);
    }

    /// Looks everywhere: in all files of all roles, in the log, in the metrics, in all that was answered and told.
    async fn look(&self) {
        let directory = self.coffer.directory();
        let log = self.coffer.log();
        let mut metrics = String::new();
        for role in ROLES {
            metrics.push_str(&self.coffer.metrics(role).await);
        }
        let told: Vec<String> = self
            .hook
            .everything()
            .iter()
            .map(|message| format!("{} {:?} {}", message.path, message.headers, message.body))
            .collect();
        let answers = self.watched.answers.lock().unwrap().join("\n");
        let told = told.join("\n");

        for (place, text) in [
            ("the log", &log),
            ("the metrics", &metrics),
            ("the webhooks", &told),
        ] {
            assert_eq!(self.cards.found_in(text.as_bytes()), NOTHING, "in {place}");
            assert_eq!(
                self.secrets.found_in(text.as_bytes()),
                NOTHING,
                "in {place}"
            );
        }
        assert_eq!(
            self.cards.found_in(answers.as_bytes()),
            NOTHING,
            "in the answers"
        );
        assert_eq!(self.cards.found_under(directory, &[]), NOTHING);
        let keys = [PASSPHRASE, "api/service.key", "vault/service.key"];
        let own = [&keys[..], &PASSWORDS].concat();
        assert_eq!(self.secrets.found_under(directory, &own), NOTHING);
        self.look_at_the_server();

        self.look_for_what_is_there(&log, &metrics, &told, &answers);
    }

    /// On PostgreSQL: what is in the databases, and what the server has on its disk of them, its log included.
    fn look_at_the_server(&self) {
        let installation = self.coffer.installation();
        for role in ["api", "vault", "keys"] {
            let dump = installation.dump(role).unwrap_or_default();
            assert_eq!(self.cards.found_in(&dump), NOTHING, "in {role}'s dump");
            assert_eq!(self.secrets.found_in(&dump), NOTHING, "in {role}'s dump");
        }
        let (files, mut seen) = (installation.files_of_the_server(), false);
        for file in &files {
            // A log may be gone by now.
            let (bytes, shown) = (fs::read(file).unwrap_or_default(), file.display());
            assert_eq!(self.cards.found_in(&bytes), NOTHING, "in {shown}");
            assert_eq!(self.secrets.found_in(&bytes), NOTHING, "in {shown}");
            seen |= !self.control.found_in(&bytes).is_empty();
        }
        assert!(
            seen || files.is_empty(),
            "the control is in none of {files:?}"
        );
    }

    /// The control: what is no secret is found in all these places, so a secret would have been.
    fn look_for_what_is_there(&self, log: &str, metrics: &str, told: &str, answers: &str) {
        let (directory, installation) = (self.coffer.directory(), self.coffer.installation());
        for role in ["api", "vault", "keys"] {
            let found = installation.dump(role).map_or_else(
                || self.control.found_under(&directory.join(role), &[]),
                |dump| self.control.found_in(&dump),
            );
            assert!(!found.is_empty(), "nothing is found in {role}");
        }
        assert!(!self.control.found_in(told.as_bytes()).is_empty());
        assert!(!self.control.found_in(answers.as_bytes()).is_empty());
        assert!(log.contains(" TRACE ") && log.contains("req_"));
        assert!(
            metrics.contains("coffer_requests_total") && metrics.contains("coffer_calls_total")
        );
        let files = files_under(directory);
        let with_files = ROLES
            .into_iter()
            .filter(|role| installation.dump(role).is_none());
        for role in with_files {
            for ending in ["db", "db-wal"] {
                let file = directory.join(role).join(format!("{role}.{ending}"));
                assert!(files.contains(&file), "{}", file.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_card_number_no_security_code_and_no_secret_is_left_anywhere() {
    let mut day = Day::begin().await;
    day.webhooks().await;
    day.pay().await;
    day.fail().await;
    day.tickets().await;
    day.tokens().await;
    day.make_mistakes().await;
    day.make_noise().await;
    day.look().await;

    // What was written at the end of a process, and what the next one makes of it.
    day.coffer.at_rest(async |_| ()).await;
    assert_eq!(day.cards.found_under(day.coffer.directory(), &[]), NOTHING);
    assert_eq!(day.cards.found_in(day.coffer.log().as_bytes()), NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hunt_finds_what_is_hidden() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let card = Card::canary(&mut Chance::new(Chance::seed()));
    let mut hunt = Hunt::default();
    hunt.card_number("the canary", card.number);
    shop.deposit(card).await;
    assert_eq!(hunt.found_under(coffer.directory(), &[]), NOTHING);
    for text in [
        format!("x{}", card.number),
        BASE64.encode(format!("number={}", card.number).as_bytes()),
        mistakes::grouped(card.number, "-"),
    ] {
        let file = coffer.directory().join("vault/planted");
        fs::write(&file, text).unwrap();
        let found = hunt.found_under(coffer.directory(), &[]);
        assert!(!found.is_empty());
        assert!(found.iter().all(|line| line.contains("vault/planted")));
        fs::remove_file(file).unwrap();
    }
    // A merchant's own text is stored, so it is found where a leak would be: in the api's database.
    let mut control = Hunt::default();
    control.text("a reference", "a-reference-like-no-other");
    let order = json!({
        "amount": 1, "currency": "EUR", "token": "tok_test_approved", "reference": "a-reference-like-no-other"
    });
    shop.post("/v1/payments", &order).await.expect(201);
    let found = coffer.installation().dump("api").map_or_else(
        || control.found_under(&coffer.directory().join("api"), &[]),
        |dump| control.found_in(&dump),
    );
    assert!(!found.is_empty());
}
