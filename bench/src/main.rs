//! Measures Coffer beside its peers, prints the table with what each figure must be, and writes `docs/performance.md`.
//!
//! `bench/run` builds and starts it. A measurement that cannot be made ends the program: there are no figures of failures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "no part of the product: what fails ends the program, and figures for people are floats"
)]

mod baseline;
mod case;
mod document;
mod drive;
mod http;
mod machine;
mod peer;
mod raw;
mod rows;
mod stage;
mod table;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use drive::Plan;
use rows::{ALL, Row};
use stage::{Scene, Stage};
use table::Measured;

/// Where the document goes after everything was measured.
const DOCUMENT: &str = "docs/performance.md";

const FULL: Plan = Plan {
    warm_up: Duration::from_secs(2),
    measured: Duration::from_secs(6),
    runs: 3,
};
/// Long enough to see that a row works.
const QUICK: Plan = Plan {
    warm_up: Duration::from_millis(200),
    measured: Duration::from_millis(500),
    runs: 1,
};

/// What the command line asks for.
struct Wanted {
    plan: Plan,
    rows: Vec<&'static Row>,
    out: Option<PathBuf>,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if let [command, address, chain, key] = arguments.as_slice()
        && command == baseline::COMMAND
    {
        return runtime.block_on(baseline::serve(address, Path::new(chain), Path::new(key)));
    }
    match wanted(&arguments) {
        Ok(wanted) => runtime.block_on(run(wanted)),
        Err(what) => {
            eprintln!(
                "{what}; rows are: {}",
                ALL.iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
            );
            std::process::exit(2);
        }
    }
}

fn wanted(arguments: &[String]) -> Result<Wanted, String> {
    let (mut plan, mut rows, mut out) = (FULL, Vec::new(), None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => plan = QUICK,
            "--out" => out = Some(words.next().ok_or("--out needs a file")?.into()),
            name => rows.push(
                ALL.iter()
                    .find(|row| row.name == name)
                    .ok_or(format!("there is no row {name}"))?,
            ),
        }
    }
    if rows.is_empty() {
        rows = ALL.iter().collect();
        if plan.runs == FULL.runs {
            out = out.or(Some(DOCUMENT.into()));
        }
    }
    Ok(Wanted { plan, rows, out })
}

async fn run(wanted: Wanted) {
    let binary = env::current_exe()
        .expect("this program")
        .with_file_name("coffer");
    assert!(
        binary.is_file(),
        "{} is missing: bench/run builds it",
        binary.display()
    );
    let folder = env::temp_dir();
    if machine::is_in_memory(&folder) {
        eprintln!(
            "{} is in memory: set TMPDIR to a folder on a disk, or no commit rate means anything",
            folder.display()
        );
        std::process::exit(2);
    }
    coffer_net::tls::install_provider();
    let mut measured: Vec<Measured> = wanted.rows.iter().map(|_| Measured::default()).collect();
    for scene in Scene::ALL {
        let here = |row: &Row| row.scenes.contains(&scene);
        if !wanted.rows.iter().any(|row| here(row)) {
            continue;
        }
        let stage = Stage::start(&binary.display().to_string(), scene).await;
        let rows = wanted.rows.iter().zip(&mut measured);
        for (row, measured) in rows.filter(|(row, _)| here(row)) {
            stage.settle().await;
            eprintln!("measuring: {} on {}", row.name, scene.store.as_str());
            measured.append((row.measure)(&stage, wanted.plan).await);
        }
    }
    let text = document::write(
        wanted.plan.runs == QUICK.runs,
        wanted.rows.iter().copied().zip(&measured),
    );
    println!("{text}");
    if let Some(out) = wanted.out {
        fs::write(&out, text).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
        eprintln!("written: {}", out.display());
    }
}
