//! Documents that are made from the code are committed, and are what the code says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

/// What is committed at this place is `text`; otherwise the new one is put where it can be copied from.
fn check(committed: &str, text: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let committed = root.join(committed);
    if fs::read_to_string(&committed).unwrap_or_default() == text {
        return;
    }
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join(committed.file_name().unwrap());
    fs::write(&fresh, text).unwrap();
    panic!(
        "{} is not what the code says any more: copy {} there",
        committed.display(),
        fresh.display()
    );
}

#[test]
fn the_committed_description_is_the_one_of_the_routes() {
    let text = coffer_api::openapi("https://localhost:8443");
    check("crates/api/openapi.json", &text);
}

#[test]
fn the_committed_permissions_are_those_of_the_routes() {
    check("docs/permissions.md", &coffer_api::permissions());
}

#[test]
fn the_committed_pages_of_errors_are_those_of_the_codes() {
    let pages = coffer_api::error_pages("https://localhost:8443");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let is = |(name, text): &(String, String)| {
        fs::read_to_string(root.join(name)).unwrap_or_default() == *text
    };
    let committed = fs::read_dir(&root).map_or(0, Iterator::count);
    if committed == pages.len() && pages.iter().all(is) {
        return;
    }
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("errors");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).unwrap();
    for (name, text) in &pages {
        fs::write(fresh.join(name), text).unwrap();
    }
    panic!(
        "docs/errors is not what the code says any more: put {} in its place",
        fresh.display()
    );
}
