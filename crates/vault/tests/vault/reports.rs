//! What browsers report about the fields page: counted, bounded, and never repeated.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use coffer_net::metrics;

use crate::shop::{Said, Shop};

const SINGLE: &str = "application/csp-report";
const BATCH: &str = "application/reports+json";

async fn report(shop: &Shop, kind: &str, body: impl Into<Body>) -> Said {
    let request = Request::post("/v1/reports").header("content-type", kind);
    shop.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_violation_is_counted_by_its_directive_in_either_form() {
    let shop = Shop::open().await;
    let registry = metrics::registry();
    shop.vault.register_metrics(&registry);
    let single =
        r#"{"csp-report":{"effective-directive":"script-src-elem","blocked-uri":"inline"}}"#;
    let batch = r#"[{"type":"csp-violation","body":{"effectiveDirective":"connect-src"}},
        {"type":"csp-violation","body":{"effectiveDirective":"4242424242424242"}}]"#;
    for (kind, body) in [(SINGLE, single), (BATCH, batch), (BATCH, batch)] {
        let said = report(&shop, kind, body).await;
        assert_eq!(
            (said.status, said.text.as_str()),
            (StatusCode::NO_CONTENT, "")
        );
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry.lock().unwrap()).unwrap();
    for (directive, count) in [("script-src-elem", 1), ("connect-src", 2), ("other", 2)] {
        let line = format!(
            "coffer_page_reports_total{{page=\"fields\",directive=\"{directive}\"}} {count}\n"
        );
        assert!(text.contains(&line), "{text}");
    }
    assert!(!text.contains("4242"));
}

#[tokio::test]
async fn what_is_no_report_is_refused_without_repeating_it() {
    let shop = Shop::open().await;
    let large = format!(
        r#"{{"csp-report":{{"source-file":"{}"}}}}"#,
        "x".repeat(16_384)
    );
    for (kind, body, status) in [
        ("application/json", "{}".to_owned(), 415),
        (SINGLE, "canary".to_owned(), 400),
        (SINGLE, "[]".to_owned(), 400),
        (BATCH, "{\"canary\":1}".to_owned(), 400),
        (SINGLE, large, 413),
    ] {
        let said = report(&shop, kind, body).await;
        assert_eq!(said.status.as_u16(), status);
        assert!(!said.text.contains("canary"));
    }
}

#[tokio::test]
async fn a_flood_of_reports_is_cut_off_until_the_next_minute() {
    let shop = Shop::open().await;
    for _ in 0..300 {
        assert_eq!(
            report(&shop, BATCH, "[]").await.status,
            StatusCode::NO_CONTENT
        );
    }
    let said = report(&shop, BATCH, "[]").await;
    assert_eq!(said.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(said.json["code"], "too_many_reports");
    shop.clock.advance(60_000);
    assert_eq!(
        report(&shop, BATCH, "[]").await.status,
        StatusCode::NO_CONTENT
    );
}
