//! The committed OpenAPI document is the one that the routes make.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

#[test]
fn the_committed_document_is_the_one_of_the_routes() {
    let made = coffer_api::openapi("https://localhost:8443");
    let committed = include_str!("../openapi.json");
    if made != committed {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
        std::fs::write(&fresh, made).unwrap();
        panic!(
            "crates/api/openapi.json is out of date: copy {} over it and look at the difference",
            fresh.display()
        );
    }
}
