//! The fields page: who may hold it, what it loads, and what it does not tell.

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use coffer_core::limits::INTAKE_TTL_MS;
use coffer_crypto::digest_384;
use data_encoding::{BASE64, BASE64URL_NOPAD};

use crate::shop::{PAYMENT, SHOP_ORIGIN, Said, Shop};

const INVENTORY: &str = "/.well-known/payment-fields.json";

async fn page(shop: &Shop, ticket: &str) -> Said {
    shop.get(&format!("/v1/fields?ticket={ticket}")).await
}

fn csp(headers: &HeaderMap) -> &str {
    headers["content-security-policy"].to_str().unwrap()
}

/// The nonce, which the policy allows and the page gives to its script and style sheet.
fn nonce(said: &Said) -> String {
    let (_, rest) = csp(&said.headers).split_once("style-src 'nonce-").unwrap();
    rest.split_once('\'').unwrap().0.to_owned()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Every value that this attribute has in the page's head.
fn attributes(page: &str, name: &str) -> Vec<String> {
    let (head, _) = page.split_once("</head>").unwrap();
    let opening = format!(" {name}=\"");
    head.split(&opening)
        .skip(1)
        .map(|part| part.split_once('"').unwrap().0.to_owned())
        .collect()
}

#[tokio::test]
async fn only_the_tickets_own_origin_may_hold_the_page() {
    let shop = Shop::open().await;
    for (origin, payment) in [
        (SHOP_ORIGIN, None),
        ("https://pay.coffer.localhost:8444", Some(PAYMENT)),
    ] {
        let said = page(&shop, &shop.ticket_for(origin, payment).await).await;
        assert_eq!(said.status, StatusCode::OK);
        let nonce = nonce(&said);
        let expected = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
             img-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors {origin}; \
             require-trusted-types-for 'script'; trusted-types 'none'; report-uri /v1/reports; report-to csp"
        );
        assert_eq!(csp(&said.headers), expected);
        assert_eq!(attributes(&said.text, "data-origin"), [origin]);
        assert_eq!(attributes(&said.text, "data-mode"), ["test"]);
    }
}

#[tokio::test]
async fn every_page_has_a_nonce_of_its_own() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let (one, other) = (page(&shop, &ticket).await, page(&shop, &ticket).await);
    assert_ne!(nonce(&one), nonce(&other));
    assert_eq!(BASE64.decode(nonce(&one).as_bytes()).unwrap().len(), 16);
    assert!(
        attributes(&one.text, "nonce")
            .iter()
            .all(|each| *each == nonce(&one))
    );
}

#[tokio::test]
async fn a_ticket_that_is_forged_or_over_shows_no_form() {
    let shop = Shop::open().await;
    let good = shop.ticket().await;
    let mut bytes = BASE64URL_NOPAD.decode(good.as_bytes()).unwrap();
    // Whatever is changed in it.
    bytes[5] ^= 1;
    let changed = BASE64URL_NOPAD.encode(&bytes);
    let twice = format!("{good}&ticket={good}");
    let mut refused = Vec::new();
    for ticket in ["", "x", "%00", &changed, &twice] {
        refused.push(page(&shop, ticket).await);
    }
    refused.push(shop.get("/v1/fields").await);
    shop.clock.advance(INTAKE_TTL_MS);
    refused.push(page(&shop, &good).await);
    for said in &refused {
        assert_eq!(said.status, StatusCode::FORBIDDEN);
        assert_eq!(said.headers["content-type"], "text/html; charset=utf-8");
        for part in ["<form", "<input", "<script", "data-", &good] {
            assert!(!said.text.contains(part), "{part}: {}", said.text);
        }
        let expected = format!(
            "default-src 'none'; style-src 'nonce-{}'; form-action 'none'; base-uri 'none'; frame-ancestors *",
            nonce(said)
        );
        assert_eq!(csp(&said.headers), expected);
    }
    assert!(refused[0].text.contains("cannot be shown"));
    assert!(refused.last().unwrap().text.contains("open for too long"));
}

#[tokio::test]
async fn the_headers_are_these_and_no_cookie_is_set() {
    let shop = Shop::open().await;
    let said = page(&shop, &shop.ticket().await).await;
    assert_eq!(
        names(&said.headers),
        [
            "cache-control",
            "coffer-request-id",
            "content-length",
            "content-security-policy",
            "content-type",
            "cross-origin-embedder-policy",
            "cross-origin-resource-policy",
            "permissions-policy",
            "referrer-policy",
            "reporting-endpoints",
            "x-content-type-options",
        ]
    );
    for (name, value) in [
        ("cache-control", "no-store"),
        ("content-type", "text/html; charset=utf-8"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("referrer-policy", "no-referrer"),
        ("reporting-endpoints", "csp=\"/v1/reports\""),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(said.headers[name], value, "{name}");
    }
    let denied = said.headers["permissions-policy"].to_str().unwrap();
    assert!(denied.split(", ").all(|feature| feature.ends_with("=()")));
    assert!(denied.contains("camera=()") && denied.contains("payment=()"));
    for path in [INVENTORY, "/docs/errors/not_found", "/nowhere"] {
        let said = shop.get(path).await;
        assert!(csp(&said.headers).contains("frame-ancestors 'none'"));
        assert_eq!(said.headers["cross-origin-resource-policy"], "same-origin");
        assert_eq!(said.headers["permissions-policy"], denied);
        assert!(said.headers.get("set-cookie").is_none());
    }
}

#[tokio::test]
async fn the_ticket_is_in_its_page_once_and_nowhere_else() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let said = page(&shop, &ticket).await;
    assert_eq!(attributes(&said.text, "data-ticket"), [ticket.as_str()]);
    assert_eq!(said.text.matches(&ticket).count(), 1);
    let deposit = Request::post(format!("/v1/tokens?ticket={ticket}")).body(Body::empty());
    let elsewhere = [
        shop.send(deposit.unwrap()).await,
        shop.get(&format!("/nowhere?ticket={ticket}")).await,
        shop.get(&format!("/v1/tokens?ticket={ticket}")).await,
    ];
    for said in &elsewhere {
        assert!(!said.text.contains(&ticket));
    }
    for value in elsewhere
        .iter()
        .chain([&said])
        .flat_map(|one| one.headers.values())
    {
        assert!(!value.to_str().unwrap().contains(&ticket));
    }
}

#[tokio::test]
async fn nothing_of_the_address_but_the_ticket_is_in_the_page() {
    let shop = Shop::open().await;
    let ticket = shop.ticket().await;
    let plain = page(&shop, &ticket).await;
    for rest in [
        "&style=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "&style=eyJyYWRpdXMiOjR9",
        "&origin=https://evil.example&nonce=x",
    ] {
        let said = page(&shop, &format!("{ticket}{rest}")).await;
        assert_eq!(said.status, StatusCode::OK);
        assert_eq!(
            said.text.replace(&nonce(&said), ""),
            plain.text.replace(&nonce(&plain), "")
        );
    }
}

#[tokio::test]
async fn the_page_loads_what_the_inventory_lists_and_nothing_else() {
    let shop = Shop::open().await;
    let page = page(&shop, &shop.ticket().await).await.text;
    let listed = shop.get(INVENTORY).await.json;
    assert_eq!(listed["page"], "/v1/fields");
    let [scripts, styles] = ["scripts", "styles"].map(|kind| listed[kind].as_array().unwrap());
    let field = |list: &[serde_json::Value], name: &str| -> Vec<String> {
        let texts = list.iter().map(|one| one[name].as_str().unwrap());
        texts.map(str::to_owned).collect()
    };
    assert_eq!(attributes(&page, "src"), field(scripts, "path"));
    assert_eq!(attributes(&page, "href"), field(styles, "path"));
    assert_eq!(
        attributes(&page, "integrity"),
        [field(styles, "integrity"), field(scripts, "integrity")].concat()
    );
    assert!(
        field(scripts, "reason")
            .iter()
            .all(|reason| reason.len() > 20)
    );
    assert_eq!(page.matches("<script").count(), scripts.len());
    assert_eq!(page.matches("<link").count(), styles.len());
    for inline in [
        "<style",
        " style=",
        " onload=",
        " onclick=",
        "<img",
        "<iframe",
        "javascript:",
    ] {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn an_asset_is_for_ever_what_its_address_says() {
    let shop = Shop::open().await;
    let listed = shop.get(INVENTORY).await.json;
    for (kind, essence) in [("scripts", "text/javascript"), ("styles", "text/css")] {
        let [path, integrity] =
            ["path", "integrity"].map(|name| listed[kind][0][name].as_str().unwrap());
        let said = shop.get(path).await;
        assert_eq!(said.status, StatusCode::OK);
        assert_eq!(
            said.headers["cache-control"],
            "public, max-age=31536000, immutable"
        );
        let content_type = said.headers["content-type"].to_str().unwrap();
        assert_eq!(content_type, format!("{essence}; charset=utf-8"));
        let hash = BASE64.encode(&digest_384(said.text.as_bytes()));
        assert_eq!(integrity, format!("sha384-{hash}"));
        let (stem, extension) = path.rsplit_once('.').unwrap();
        let (stem, _) = stem.rsplit_once('.').unwrap();
        for gone in [
            format!("{stem}.0000000000000000.{extension}"),
            format!("{stem}.{extension}"),
        ] {
            let said = shop.get(&gone).await;
            assert_eq!(said.status, StatusCode::NOT_FOUND, "{gone}");
            assert_eq!(said.headers["cache-control"], "no-store");
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let shop = Shop::open().await;
    let script = shop.get(INVENTORY).await.json["scripts"][0]["path"].clone();
    let page = format!("/v1/fields?ticket={}", shop.ticket().await);
    for path in [&page, script.as_str().unwrap(), INVENTORY, "/v1/fields"] {
        let get = shop.get(path).await;
        let request = Request::builder().method(Method::HEAD).uri(path);
        let head = shop.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (head.status, head.text.as_str()),
            (get.status, ""),
            "{path}"
        );
        assert_eq!(names(&head.headers), names(&get.headers), "{path}");
        assert_eq!(
            head.headers["content-length"],
            get.headers["content-length"]
        );
    }
}

#[tokio::test]
async fn only_declared_methods_are_answered() {
    let shop = Shop::open().await;
    for (path, allow) in [
        ("/v1/fields", "GET,HEAD"),
        (INVENTORY, "GET,HEAD"),
        ("/assets/x", "GET,HEAD"),
        ("/v1/reports", "POST"),
    ] {
        let request = Request::delete(path).body(Body::empty()).unwrap();
        let said = shop.send(request).await;
        assert_eq!(said.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(said.headers["allow"], allow);
    }
}
