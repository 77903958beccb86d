//! What was measured, as a table for the terminal and as the document.

use std::{fmt::Write as _, time::Duration};

use crate::drive::Figures;

/// How a figure is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    PerSecond,
    Microseconds,
    Megabytes,
    Times,
}

impl Unit {
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{}/s", thousands(value)),
            Self::Microseconds if value < 100.0 => format!("{value:.1} µs"),
            Self::Microseconds => format!("{} µs", thousands(value)),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Times => thousands(value),
        }
    }

    /// Whether more of it is better.
    const fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond)
    }
}

/// A figure beside what it has to be.
pub(crate) struct Judged {
    /// What was measured, and on which store.
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    /// What it must be.
    pub(crate) floor: f64,
    /// What it should be.
    pub(crate) aim: f64,
    /// Where floor and aim come from: "1.0 and 1.15 × nginx".
    pub(crate) from: String,
    /// How long the disk took to make one write durable just before, where that matters.
    pub(crate) fsync: Option<Duration>,
}

impl Judged {
    const fn reaches(&self, bound: f64) -> bool {
        if self.unit.more_is_better() {
            self.value >= bound
        } else {
            self.value <= bound
        }
    }

    const fn verdict(&self) -> &'static str {
        if self.reaches(self.aim) {
            "aim"
        } else if self.reaches(self.floor) {
            "floor"
        } else {
            "below"
        }
    }

    fn cells(&self) -> [String; 7] {
        [
            self.what.clone(),
            self.unit.show(self.value),
            self.unit.show(self.floor),
            self.unit.show(self.aim),
            self.verdict().to_owned(),
            fsync(self.fsync),
            self.from.clone(),
        ]
    }
}

/// One line of the figures behind a row.
pub(crate) struct Line {
    pub(crate) who: String,
    pub(crate) figures: Figures,
    pub(crate) fsync: Option<Duration>,
}

impl Line {
    fn cells(&self) -> [String; 4] {
        let cpu = &self.figures.cpu_us;
        let each: Vec<String> = cpu
            .iter()
            .map(|(name, us)| format!("{name} {us:.1}"))
            .collect();
        let all = self.figures.cpu_total_us();
        let cpu = match cpu.len() {
            0 => "–".to_owned(),
            1 if all < 1.0 => format!("{all:.3}"),
            1 => format!("{all:.1}"),
            _ => format!("{all:.1} = {}", each.join(" + ")),
        };
        [
            self.who.clone(),
            Unit::PerSecond.show(self.figures.rate),
            cpu,
            fsync(self.fsync),
        ]
    }
}

/// What one row yields on one store.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) judged: Vec<Judged>,
    pub(crate) lines: Vec<Line>,
    /// What else there is to say about it.
    pub(crate) notes: Vec<String>,
}

impl Measured {
    /// Adds what was measured on another store.
    pub(crate) fn append(&mut self, other: Self) {
        self.judged.extend(other.judged);
        self.lines.extend(other.lines);
        self.notes.extend(other.notes);
    }
}

const SPEED: [&str; 7] = [
    "work",
    "measured",
    "floor",
    "aim",
    "reaches",
    "fsync",
    "floor and aim are",
];
const FIGURES: [&str; 4] = ["who", "per second", "CPU, µs each", "fsync"];

/// The table of all figures beside their floors and aims.
pub(crate) fn speed<'m>(all: impl Iterator<Item = &'m Measured>) -> String {
    let judged = all.flat_map(|measured| &measured.judged).map(Judged::cells);
    markdown(&SPEED, judged)
}

/// The figures behind a row.
pub(crate) fn figures(measured: &Measured) -> String {
    if measured.lines.is_empty() {
        return String::new();
    }
    markdown(&FIGURES, measured.lines.iter().map(Line::cells))
}

/// A table that is readable as it is, too.
fn markdown<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if place == 0 {
            let lines: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            let _ = writeln!(text, "|{}|", lines.join("|"));
        }
    }
    text
}

fn fsync(took: Option<Duration>) -> String {
    took.map_or_else(
        || "–".to_owned(),
        |took| Unit::Microseconds.show(took.as_secs_f64() * 1e6),
    )
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(value: f64, unit: Unit) -> Judged {
        Judged {
            what: "work".to_owned(),
            value,
            unit,
            floor: 100.0,
            aim: if unit.more_is_better() { 200.0 } else { 50.0 },
            from: String::new(),
            fsync: None,
        }
    }

    #[test]
    fn more_is_better_of_rates_and_less_of_what_is_used_up() {
        let verdicts =
            |unit| [40.0, 100.0, 150.0, 200.0].map(|value| judged(value, unit).verdict());
        assert_eq!(
            verdicts(Unit::PerSecond),
            ["below", "floor", "floor", "aim"]
        );
        assert_eq!(
            verdicts(Unit::Microseconds),
            ["aim", "floor", "below", "below"]
        );
    }

    #[test]
    fn large_numbers_are_written_in_groups() {
        assert_eq!(
            ["7", "999", "1,000", "1,234,567"],
            [7.0, 999.0, 1000.0, 1_234_567.0].map(thousands)
        );
    }
}
