//! `GET /v1/payments/{id}` with a signature (HTTP Message Signatures, RFC 9421).

use std::{borrow::Cow, cell::RefCell};

use coffer_crypto::public_key::{KeyType, PublicKey, generate_pair};
use coffer_net::Clock;
use data_encoding::BASE64;
use rustls::{SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type, sign::Signer};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::{
    drive::{Figures, Plan, drive, repeat},
    http::{Next, Sender},
    machine::{Watched, fsync_time},
    stage::{Stage, Store},
    table::{Line, Measured},
};

pub(super) const HOW: &str = "As the row `payment`, with a signature over `@method`, `@target-uri` and \
    `authorization`, made before the measurement begins, each with a nonce of its own: by a key of type Ed25519, and by an RSA \
    key of 3072 bits (RSA-PSS with SHA-512). Beside that, in this process, what verifying alone costs.";
pub(super) const LIMIT: &str = "Verifying, and the nonce: that a signature counts once, on every node and after a crash, is a unique \
    row that is durable before anything is done, so a signed read costs a write. Requests that come while a commit is under way \
    share the next one.";

const PAYMENTS: usize = 1_000;
/// More than Coffer takes in a millisecond.
const PER_MS: u128 = 16;
/// The verifications in a row, which take microseconds each.
const OFTEN: (usize, usize) = (1, 10);
const MESSAGE: &[u8] = &[7; 300];

/// A key of the merchant's and its private half.
struct Key {
    id: String,
    name: &'static str,
    public: PublicKey,
    signer: Box<dyn Signer>,
}

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let (plan, fsync, store) = (shorter(plan), fsync_time(), stage.store.as_str());
    let payments = stage.payments(PAYMENTS).await;
    let mut lines = Vec::new();
    let kinds = [
        (KeyType::Ed25519, "ed25519", SignatureScheme::ED25519),
        (
            KeyType::Rsa,
            "rsa-pss-sha512",
            SignatureScheme::RSA_PSS_SHA512,
        ),
    ];
    for (key_type, name, scheme) in kinds {
        let key = Key::new(stage, (key_type, name, scheme)).await;
        lines.push(Line {
            who: format!("{name}, {store}"),
            figures: runs(stage, &payments, &key, plan).await,
            fsync: Some(fsync),
        });
        if stage.store == Store::Sqlite {
            lines.push(Line {
                who: format!("{name}, verifying alone"),
                figures: key.verifying(plan).await,
                fsync: None,
            });
        }
    }
    Measured {
        lines,
        ..Measured::default()
    }
}

/// No longer than it takes to sign so much in advance.
fn shorter(plan: Plan) -> Plan {
    Plan {
        warm_up: plan.warm_up / 8,
        measured: plan.measured / 6,
        ..plan
    }
}

async fn runs(stage: &Stage, payments: &[String], key: &Key, plan: Plan) -> Figures {
    let count = (plan.warm_up + plan.measured).as_millis() * PER_MS;
    let count = usize::try_from(count).expect("a count");
    let (mut runs, api) = (Vec::new(), stage.api());
    let host = api.host();
    for run in 0..plan.runs {
        let paths = payments.iter().map(|id| format!("/v1/payments/{id}"));
        let requests = paths.cycle().take(count).enumerate().map(|(number, path)| {
            let nonce = format!("{run:08}{number:08}");
            key.get(&host, stage.key(), (&path, &nonce))
        });
        let requests: Vec<Vec<u8>> = requests.collect();
        let left = RefCell::new(requests.into_iter());
        let next: &Next<'_> = &|| left.borrow_mut().next().map(Cow::Owned);
        let senders = Sender::all(&api, next).await;
        runs.push(drive(senders, &stage.roles(&["api"]), plan).await);
    }
    Figures::median(&runs)
}

impl Key {
    async fn new(
        stage: &Stage,
        (key_type, name, scheme): (KeyType, &'static str, SignatureScheme),
    ) -> Self {
        let (private, public) = generate_pair(key_type).expect("a key");
        let private = PrivateKeyDer::from_pem_slice(private.expose()).expect("a private key");
        let private = any_supported_type(&private).expect("a private key");
        Self {
            id: stage.signing_key(&public).await,
            name,
            public,
            signer: private
                .choose_scheme(&[scheme])
                .expect("a key that signs so"),
        }
    }

    /// A signed request.
    fn get(&self, host: &str, key: &str, (path, nonce): (&str, &str)) -> Vec<u8> {
        let bearer = format!("Bearer {key}");
        let created = Clock::system().now().as_seconds();
        let params = format!(
            "(\"@method\" \"@target-uri\" \"authorization\");created={created};nonce=\"{nonce}\";keyid=\"{}\";alg=\"{}\"",
            self.id, self.name
        );
        let base = format!(
            "\"@method\": GET\n\"@target-uri\": https://{host}{path}\n\"authorization\": {bearer}\n\"@signature-params\": {params}"
        );
        let signature = self.signer.sign(base.as_bytes()).expect("a signature");
        format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {bearer}\r\nsignature-input: sig={params}\r\n\
             signature: sig=:{}:\r\n\r\n",
            BASE64.encode(&signature)
        )
        .into_bytes()
    }

    async fn verifying(&self, plan: Plan) -> Figures {
        let signature = self.signer.sign(MESSAGE).expect("a signature");
        let verify = async || {
            let verified = self.public.verify(MESSAGE, &signature);
            verified.expect("a signature that is right");
        };
        repeat(&verify, OFTEN, &[Watched::this()], plan).await
    }
}
