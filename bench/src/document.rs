//! The document: the table first, then each row with the figures behind it, how they came about and what limits them.

use std::fmt::Write as _;

use coffer_net::Clock;

use crate::{
    machine,
    rows::Row,
    table::{self, Measured},
};

const HEAD: &str = "# How fast Coffer is

Written by `bench/run`, which measures Coffer and its peers in the same run, on the machine that it names. Medians of
the runs are shown. Compare CPU time first: it changes little between runs, throughput much. CPU is user and system time
of the server's processes divided by the things done. A commit rate says nothing without the disk, so the time of one
`fdatasync` of 4 KiB, measured just before, stands beside it. `reaches` tells which of its bounds a figure keeps; where a
bound is that of a peer which is in no run, it was measured on another machine, and the row `ping` tells how this one compares.
Coffer is built as `cargo build --release` builds it, which is with what `bench/train` has recorded of a release at work.
";

/// What stands above figures that are none.
const QUICK: &str = "
**Taken by `bench/run --quick`: one run of half a second each, to see that every row works. They say nothing about speed.**
";

/// Writes it; `quick` for figures that were taken in a moment.
pub(crate) fn write<'m>(
    quick: bool,
    rows: impl Iterator<Item = (&'m Row, &'m Measured)> + Clone,
) -> String {
    let mut text = HEAD.to_owned();
    if quick {
        text.push_str(QUICK);
    }
    let today = Clock::system().now().to_string();
    let date = today.split('T').next().unwrap_or_default();
    let _ = write!(
        text,
        "\nCoffer {} on {date}: {}.\n\n{}",
        env!("CARGO_PKG_VERSION"),
        machine::description(),
        table::speed(rows.clone().map(|(_, measured)| measured))
    );
    for (row, measured) in rows {
        let _ = write!(text, "\n## {}\n\n{}\n", row.name, row.how);
        for part in [table::figures(measured), notes(measured)] {
            if !part.is_empty() {
                let _ = write!(text, "\n{part}");
            }
        }
        let _ = write!(text, "\nWhat limits it: {}\n", row.limit);
    }
    text
}

fn notes(measured: &Measured) -> String {
    measured
        .notes
        .iter()
        .fold(String::new(), |text, note| text + "- " + note + "\n")
}
