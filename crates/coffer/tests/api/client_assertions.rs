//! OAuth clients that sign what they say they are (`private_key_jwt`), with a foreign implementation (PyPI jwcrypto): what gets a
//! token, and what gets none.

use std::time::Duration;

use coffer_crypto::public_key::{KeyType, PublicKey};
use coffer_net::outbound::Method;
use coffer_testkit::{Answer, Coffer, Merchant, eventually};
use serde_json::{Value, json};

use crate::{
    BINARY,
    keys::key,
    oauth::{self, FORM, refused},
    signatures::{Signer, python},
};

/// Signs each of the assertions on stdin. A number as `exp` is one of seconds from now.
const SIGN: &str = r#"
import base64, json, sys, time
from jwcrypto import jwk, jws

signed = []
for one in json.load(sys.stdin):
    for name in {"exp", "iat", "nbf"} & set(one["claims"]): one["claims"][name] += int(time.time())
    if one["secret"]: key = jwk.JWK(kty="oct", k=base64.urlsafe_b64encode(one["secret"].encode()).decode().rstrip("="))
    else: key = jwk.JWK.from_pem(one["private"].encode())
    token = jws.JWS(one["text"] or json.dumps(one["claims"]))
    token.add_signature(key, one["header"]["alg"], json.dumps(one["header"]))
    signed.append(token.serialize(compact=True))
json.dump(signed, sys.stdout)
"#;

/// Does all that a client does, from what the metadata tells.
const CLIENT: &str = r#"
import json, sys, ssl, time, urllib.parse, urllib.request, uuid
from jwcrypto import jwk, jwt
said = json.load(sys.stdin)
trust = ssl.create_default_context(cafile=said["authority"])
def fetch(url, form=None, headers={}):
    body = form and urllib.parse.urlencode(form).encode()
    answer = urllib.request.urlopen(urllib.request.Request(url, body, headers), context=trust).read().decode()
    return json.loads(answer) if answer else None
metadata = fetch(said["origin"] + "/.well-known/oauth-authorization-server")
key = jwk.JWK.from_pem(said["private"].encode())
alg = "PS512" if key["kty"] == "RSA" else "EdDSA"
def ask(endpoint, audience, **form):
    assert "private_key_jwt" in metadata[endpoint + "_endpoint_auth_methods_supported"], metadata
    assert alg in metadata[endpoint + "_endpoint_auth_signing_alg_values_supported"], metadata
    now = int(time.time())
    claims = {"iss": said["client"], "sub": said["client"], "aud": audience, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
    assertion = jwt.JWT(header={"alg": alg, "kid": said["kid"], "typ": "JWT"}, claims=claims)
    assertion.make_signed_token(key)
    form |= {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
             "client_assertion": assertion.serialize()}
    return fetch(metadata[endpoint + "_endpoint"], form)
issuer, endpoint = metadata["issuer"], metadata["token_endpoint"]
token = ask("token", issuer, grant_type="client_credentials", scope="payments:read", client_id=said["client"])["access_token"]
bearer = {"Authorization": "Bearer " + token}
listed = fetch(said["origin"] + "/v1/payments", headers=bearer)
seen = ask("introspection", [issuer], token=token)
ask("revocation", endpoint, token=token)
after = ask("introspection", endpoint, token=token)
json.dump({"listed": listed, "seen": seen, "after": after}, sys.stdout)
"#;

/// A client: an API key, and what signs for it.
struct Client<'a> {
    coffer: &'a Coffer,
    shop: &'a Merchant,
    key: String,
    signer: Signer,
}

impl<'a> Client<'a> {
    async fn of(coffer: &'a Coffer, shop: &'a Merchant, key_type: KeyType) -> Self {
        let (key, _) = key(coffer, shop, json!({"permissions": "payments:read"})).await;
        let signer = Signer::of_client(coffer, shop, key_type, Some(&key)).await;
        Self {
            coffer,
            shop,
            key,
            signer,
        }
    }

    /// An assertion as it should be.
    fn assertion(&self, id: &str) -> Value {
        json!({
            "private": self.signer.private, "secret": null, "text": null,
            "header": {"alg": "EdDSA", "kid": self.signer.id},
            "claims": {"iss": self.key, "sub": self.key, "aud": self.shop.url(""), "exp": 60, "jti": format!("the-assertion-with-{id}")},
        })
    }

    async fn ask(&self, assertion: &str) -> Answer {
        let form = format!(
            "grant_type=client_credentials&client_assertion={assertion}&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let client = oauth::of(self.coffer, self.shop);
        client.send("/oauth/token", &[FORM], &form).await
    }

    async fn act(&self, act: &str) {
        let task = json!({"id": self.key, "act": act});
        let admin = self.coffer.admin("api");
        let acted = admin.call("/api-keys/task", Method::POST, Some(&task));
        acted.await.unwrap();
    }
}

fn sign(assertions: &[Value]) -> Vec<String> {
    let signed = python(SIGN, &json!(assertions));
    serde_json::from_value(signed).unwrap()
}

/// Checks that an answer says that the client is none, and why.
#[track_caller]
fn told(answer: &Answer, word: &str) {
    refused(answer, 401, "invalid_client");
    let text = answer.json["error_description"].as_str().unwrap();
    assert!(text.contains(word), "{text}");
}

#[tokio::test]
async fn a_foreign_client_proves_by_its_signing_key_who_it_is() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    for key_type in [KeyType::Ed25519, KeyType::Rsa] {
        let client = Client::of(&coffer, &shop, key_type).await;
        let said = json!({
            "origin": shop.url(""),
            "authority": coffer.directory().join("public/development-ca.pem"),
            "client": client.key,
            "kid": client.signer.id,
            "private": client.signer.private,
        });
        let told = tokio::task::spawn_blocking(move || python(CLIENT, &said));
        let told = told.await.unwrap();
        assert_eq!(told["listed"]["data"], json!([]));
        let seen = &told["seen"];
        assert_eq!(
            (&seen["client_id"], &seen["scope"]),
            (&json!(client.key), &json!("payments:read"))
        );
        assert_eq!(told["after"], json!({"active": false}));
        // The record names the API key, and what signed for it.
        let objects = json!([seen["jti"], client.signer.id]);
        let query = format!("/v1/audit_records?limit=100&object={}", client.signer.id);
        let on_record = async |action: &str| {
            let listed = shop.get(&query).await.expect(200);
            let found = listed.json["data"]
                .as_array()
                .unwrap()
                .iter()
                .any(|record| {
                    record["action"] == action
                        && record["objects"] == objects
                        && record["actor"]["id"] == json!(client.key)
                });
            found.then_some(())
        };
        for action in ["access_token.issued", "access_token.revoked"] {
            eventually(Duration::from_secs(5), action, async || {
                on_record(action).await
            })
            .await;
        }
    }
}

/// What is changed of an assertion before it is signed, and a word of the answer; none when it gets a token.
type Case = (fn(&mut Value), &'static str);

const CASES: &[Case] = &[
    (|_| {}, ""),
    (
        |one| one["header"]["typ"] = json!("client-authentication+jwt"),
        "",
    ),
    (|one| one["claims"]["iat"] = json!(-10), ""),
    (|one| one["header"]["kid"] = Value::Null, "kid"),
    (|one| one["header"]["typ"] = json!("at+jwt"), "typ"),
    (
        |one| one["header"]["jwk"] = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        "jwk",
    ),
    (
        |one| one["claims"]["sub"] = json!("key_00000000000000000000000000"),
        "sub",
    ),
    (
        |one| one["claims"]["aud"] = json!("https://other.example"),
        "aud",
    ),
    (|one| one["claims"]["exp"] = json!(-1), "exp has come"),
    (|one| one["claims"]["exp"] = json!(400), "300 seconds away"),
    (|one| one["claims"]["iat"] = json!(-400), "iat"),
    (|one| one["claims"]["nbf"] = json!(90), "in time to come"),
    (|one| one["claims"]["jti"] = json!("short"), "jti"),
    (
        |one| one["text"] = json!(format!("{{\"sub\":1,{}", &one["claims"].to_string()[1..])),
        "twice",
    ),
    // The public key is no secret (RFC 8725, 2.1).
    (
        |one| {
            one["secret"] = json!(public(one["private"].as_str().unwrap()));
            one["header"]["alg"] = json!("HS512");
        },
        "alg",
    ),
];

/// The public half of a private key, as PEM.
fn public(private: &str) -> String {
    let told = json!({"private": private});
    let program = "import json, sys; from jwcrypto import jwk; json.dump(jwk.JWK.from_pem(json.load(sys.stdin)['private'].encode()).export_to_pem().decode(), sys.stdout)";
    let public = python(program, &told);
    let public = public.as_str().unwrap();
    assert!(PublicKey::from_pem(public).is_ok());
    public.to_owned()
}

#[tokio::test]
async fn an_assertion_is_as_it_should_be_or_gets_no_token() {
    let coffer = Coffer::start(BINARY).await;
    let shop = coffer.merchant().await;
    let client = Client::of(&coffer, &shop, KeyType::Ed25519).await;
    let mut assertions: Vec<_> = (0..CASES.len())
        .map(|case| client.assertion(&case.to_string()))
        .collect();
    for (assertion, (change, _)) in assertions.iter_mut().zip(CASES) {
        change(assertion);
    }
    for (assertion, (_, word)) in sign(&assertions).iter().zip(CASES) {
        let answer = client.ask(assertion).await;
        if word.is_empty() {
            answer.expect(200);
        } else {
            told(&answer, word);
        }
    }
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    told(&client.ask(unsigned).await, "alg");
}

#[tokio::test]
async fn an_assertion_counts_once_for_its_own_client_as_long_as_both_keys_work() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, other) = (coffer.merchant().await, coffer.merchant().await);
    let client = Client::of(&coffer, &shop, KeyType::Ed25519).await;
    let (sibling, _) = key(&coffer, &shop, json!({})).await;
    let signs_only = Signer::of(&coffer, &shop, KeyType::Ed25519).await;
    let strange = Signer::of(&coffer, &other, KeyType::Ed25519).await;
    let by = |signer: &Signer| {
        let mut assertion = client.assertion("another");
        assertion["private"] = json!(signer.private);
        assertion["header"]["kid"] = json!(signer.id);
        assertion
    };
    let mut of_sibling = client.assertion("a-sibling");
    of_sibling["claims"]["iss"] = json!(sibling);
    of_sibling["claims"]["sub"] = json!(sibling);
    let mut pretended = by(&strange);
    pretended["header"]["kid"] = json!(client.signer.id);
    let signed = sign(&[
        client.assertion("once"),
        of_sibling,
        by(&signs_only),
        by(&strange),
        pretended,
        client.assertion("frozen"),
        client.assertion("revoked"),
    ]);
    client.ask(&signed[0]).await.expect(200);
    told(&client.ask(&signed[0]).await, "jti was used");
    told(&client.ask(&signed[1]).await, "does not stand");
    told(&client.ask(&signed[2]).await, "does not stand");
    told(&client.ask(&signed[3]).await, "not the signature");
    told(&client.ask(&signed[4]).await, "not the signature");
    client.act("freeze").await;
    told(&client.ask(&signed[5]).await, "frozen");
    client.act("unfreeze").await;
    client.ask(&signed[5]).await.expect(200);
    let task = json!({"id": client.signer.id, "act": "revoke"});
    let admin = coffer.admin("api");
    let revoked = admin.call("/signing-keys/task", Method::POST, Some(&task));
    revoked.await.unwrap();
    told(&client.ask(&signed[6]).await, "revoked");
}
