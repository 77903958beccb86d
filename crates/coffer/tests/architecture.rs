//! The walls: which crate may know which, who may name a cipher, a driver or an HTTP client, and how long a file may be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every arrow there may be between our crates. A new one is a commit of its own, with a line in ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("coffer-core", &[]),
    ("coffer-crypto", &[]),
    ("coffer-db", &[]),
    ("coffer-audit", &["core", "crypto", "db"]),
    ("coffer-net", &["core", "crypto"]),
    ("coffer-keys", &["core", "crypto", "db", "audit", "net"]),
    ("coffer-vault", &["core", "crypto", "db", "audit", "net"]),
    ("coffer-engine", &["core", "crypto", "db", "audit", "net"]),
    ("coffer-api", &["core", "crypto", "engine", "net"]),
    ("coffer-simulator", &["core", "crypto", "db", "net"]),
    (
        "coffer",
        &[
            "core",
            "crypto",
            "db",
            "audit",
            "net",
            "keys",
            "vault",
            "engine",
            "api",
            "simulator",
        ],
    ),
    // The fuzz targets, which nothing depends on.
    (
        "coffer-fuzz",
        &["core", "crypto", "audit", "net", "vault", "engine", "api"],
    ),
    ("coffer-testkit", &["core", "crypto", "db", "net"]),
    (
        MEASURES,
        &["core", "crypto", "db", "engine", "net", "testkit"],
    ),
];

/// The program of `bench/`, which is no part of the product: it starts what it measures by the testkit, and names the
/// drivers to measure what a store does without us.
const MEASURES: &str = "coffer-bench";

/// Foreign crates that only one of ours may name.
const KEEPERS: &[(&str, &[&str])] = &[
    ("aws-lc-rs", &["coffer-crypto"]),
    ("argon2", &["coffer-crypto"]),
    ("rcgen", &["coffer-crypto"]),
    ("rusqlite", &["coffer-db", MEASURES]),
    ("tokio-postgres", &["coffer-db", MEASURES]),
    ("deadpool-postgres", &["coffer-db"]),
    ("redis", &["coffer-db"]),
    ("hyper-util", &["coffer-net"]),
    ("hyper-rustls", &["coffer-net"]),
    ("instant-acme", &["coffer-net"]),
    ("clap", &["coffer"]),
];

/// Lines of a file before its tests. Files of the product over the limit are listed; the list only shrinks. A file of
/// tests may reach what no file may exceed.
const FILE_LINES_MAX: usize = 400;
const FILE_LINES_NEVER: usize = 600;
const LONG_FILES: &[&str] = &[];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

#[test]
fn crates_know_only_those_they_may() {
    let allowed: BTreeMap<_, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(from, to)| {
            (
                *from,
                to.iter().map(|name| format!("coffer-{name}")).collect(),
            )
        })
        .collect();
    for package in metadata().packages {
        let name = package.name.to_string();
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no row in ARROWS"));
        for dependency in &package.dependencies {
            let to = &dependency.name;
            let ours = to == "coffer" || to.starts_with("coffer-");
            let of_tests = dependency.kind == DependencyKind::Development;
            assert!(
                !ours || of_tests || allowed.contains(to),
                "{name} may not depend on {to}"
            );
        }
    }
}

#[test]
fn ciphers_drivers_and_http_clients_have_one_keeper_each() {
    for package in metadata().packages {
        for dependency in &package.dependencies {
            let keepers = KEEPERS
                .iter()
                .find(|(name, _)| *name == dependency.name)
                .map(|(_, keepers)| keepers);
            let of_tests = dependency.kind == DependencyKind::Development;
            assert!(
                of_tests || keepers.is_none_or(|keepers| keepers.contains(&package.name.as_str())),
                "{} may not name {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn the_testkit_is_for_tests_only() {
    for package in metadata().packages {
        for dependency in &package.dependencies {
            assert!(
                dependency.name != "coffer-testkit"
                    || dependency.kind == DependencyKind::Development
                    || package.name == MEASURES,
                "{} uses the testkit in the product",
                package.name
            );
        }
    }
}

#[test]
fn a_release_is_compiled_with_what_was_recorded_of_one_and_nothing_else_is() {
    let compile = |arguments: &[&str]| {
        let mut echo = Command::new(workspace().join(".cargo/rustc"));
        let output = echo.arg("echo").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let release = ["-C", "opt-level=3", "--out-dir", "/any/release/deps"];
    let told = compile(&release);
    let file = told.trim_end().split_once("-Cprofile-use=").unwrap().1;
    assert!(Path::new(file).is_file(), "{told}");
    for other in [
        ["-C", "opt-level=3", "--out-dir", "/any/debug/deps"],
        ["-C", "opt-level=0", "--out-dir", "/any/release/deps"],
        ["-C", "opt-level=3", "--out-dir", "/any/release/build/of"],
    ] {
        assert_eq!(compile(&other).trim_end(), other.join(" "));
    }
}

#[test]
fn files_stay_short_and_are_named_for_what_they_hold() {
    for file in ["crates", "bench"]
        .map(|folder| sources(&workspace().join(folder)))
        .concat()
    {
        let name = file
            .strip_prefix(workspace())
            .unwrap()
            .display()
            .to_string();
        let text = fs::read_to_string(&file).unwrap();
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        let limit = if LONG_FILES.contains(&name.as_str()) || name.contains("/tests/") {
            FILE_LINES_NEVER
        } else {
            FILE_LINES_MAX
        };
        assert!(
            lines <= limit,
            "{name} has {lines} lines before its tests, more than {limit}"
        );
        assert!(
            LONG_FILES.contains(&name.as_str()) <= (lines > FILE_LINES_MAX),
            "{name} is short now: strike it from LONG_FILES"
        );
        for vague in [
            "mod.rs",
            "utils.rs",
            "util.rs",
            "types.rs",
            "misc.rs",
            "helpers.rs",
        ] {
            assert!(!name.ends_with(&format!("/{vague}")), "{name} says nothing");
        }
        assert!(
            text.starts_with("//!") || text.starts_with("#!"),
            "{name} does not say what it is for"
        );
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}
