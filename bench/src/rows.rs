//! The rows of the table, in the order in which they are measured. A new one is a file here and an entry in [`ALL`].

use std::pin::Pin;

use crate::{
    drive::Plan,
    stage::{Scene, Stage},
    table::Measured,
};

mod authorizations;
mod cards;
mod handshake;
mod intents;
mod keys;
mod memory;
mod openings;
mod payment;
mod ping;
mod signed;
mod steps;
mod throttled;
mod waiting;

type Work<'s> = Pin<Box<dyn Future<Output = Measured> + 's>>;

/// One row.
pub(crate) struct Row {
    /// How it is called on the command line.
    pub(crate) name: &'static str,
    /// What is measured and how, in sentences.
    pub(crate) how: &'static str,
    /// What keeps it from being faster.
    pub(crate) limit: &'static str,
    /// Where.
    pub(crate) scenes: &'static [Scene],
    /// Measures it.
    pub(crate) measure: for<'s> fn(&'s Stage, Plan) -> Work<'s>,
}

macro_rules! row {
    ($name:ident, $($scene:ident),+) => {
        Row {
            name: stringify!($name),
            how: $name::HOW,
            limit: $name::LIMIT,
            scenes: &[$(Scene::$scene),+],
            measure: |stage, plan| Box::pin($name::measure(stage, plan)),
        }
    };
}

/// All rows. Memory comes first, when nothing has been asked of the processes yet.
pub(crate) const ALL: &[Row] = &[
    row!(memory, SQLITE),
    row!(ping, ALONE),
    row!(waiting, ALONE),
    row!(payment, ALONE, POSTGRES),
    row!(steps, ALONE, POSTGRES),
    row!(signed, ALONE, POSTGRES),
    row!(throttled, ALONE),
    row!(handshake, ALONE),
    row!(cards, SQLITE, POSTGRES),
    row!(openings, SQLITE, POSTGRES),
    row!(keys, ALONE, POSTGRES),
    row!(intents, SQLITE, POSTGRES),
    row!(authorizations, SQLITE, POSTGRES),
];
