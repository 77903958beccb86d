//! Canaries: cards that nobody else has, to be looked for afterwards.

use coffer_core::brand::luhn;

use crate::{Card, Chance};

impl Card {
    /// An approved card with a number of its own: the simulator approves every number that begins with 424242.
    pub fn canary(chance: &mut Chance) -> Self {
        Self {
            number: number("424242", 16, chance),
            cvc: digits(3, chance),
        }
    }

    /// Approved cards of one shop: their numbers have the first twelve digits in common, which nobody else's have, and all
    /// have the same security code. So one search finds any of them.
    pub fn family(chance: &mut Chance, count: usize) -> (String, Vec<Self>) {
        let (common, cvc) = (format!("424242{}", digits(6, chance)), digits(3, chance));
        let card = |place: usize| Self {
            number: number(
                &format!("{common}{:03}", place % 1000),
                16,
                &mut Chance::new(0),
            ),
            cvc,
        };
        let cards = (0..count).map(card).collect();
        (common, cards)
    }

    /// A card with a number of its own that the simulator does not know and declines, with a security code of four digits.
    pub fn unknown_canary(chance: &mut Chance) -> Self {
        Self {
            number: number("3479", 15, chance),
            cvc: digits(4, chance),
        }
    }
}

/// A number that passes the Luhn check. It lives as long as the test's process.
fn number(prefix: &str, length: usize, chance: &mut Chance) -> &'static str {
    let body = format!("{prefix}{}", digits(length - prefix.len() - 1, chance));
    let fits = |check: &u8| {
        let values = body.bytes().map(|digit| digit - b'0').chain([*check]);
        luhn(&values.collect::<Vec<_>>())
    };
    let check = (0..10).find(fits).unwrap();
    format!("{body}{check}").leak()
}

fn digits(count: usize, chance: &mut Chance) -> &'static str {
    let all: String = (0..count).map(|_| chance.below(10).to_string()).collect();
    all.leak()
}
