//! The page's script knows brands, errors and test cards as the vault does.

use coffer_core::brand::{Brand, NUMBER_MAX};
use coffer_net::contract::vault::TestToken;
use coffer_vault::CardNumber;

const SCRIPT: &str = include_str!("../../assets/fields.js");

/// What stands between `const NAME = ` and the line that closes it.
fn table(name: &str) -> &'static str {
    let (_, rest) = SCRIPT.split_once(&format!("const {name} = ")).unwrap();
    let end = ["\n]", "\n}"]
        .into_iter()
        .filter_map(|end| rest.find(end))
        .min();
    &rest[..end.unwrap() + 2]
}

/// `name: value` of a table of plain texts.
fn text_of<'a>(table: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = table.split_once(&format!("{name}: \""))?;
    Some(rest.split_once('"')?.0)
}

struct Range {
    brand: Brand,
    first: String,
    last: String,
    lengths: Vec<usize>,
}

fn ranges() -> Vec<Range> {
    let json = table("RANGES").replace(",\n]", "\n]");
    let rows: Vec<(String, u64, u64, Vec<usize>)> = serde_json::from_str(&json).unwrap();
    let range = |(brand, first, last, lengths): (String, u64, u64, Vec<usize>)| Range {
        brand: brand.parse().unwrap(),
        first: first.to_string(),
        last: last.to_string(),
        lengths,
    };
    rows.into_iter().map(range).collect()
}

/// No range of either table names more than four leading digits, so the digits behind them are of no account; that it
/// stays so is why there are nines behind them, too.
#[test]
fn every_number_has_the_same_brand_in_script_and_vault() {
    let ranges = ranges();
    for leading in 0..10_000 {
        let leading = format!("{leading:04}");
        let found = |length: usize| {
            let fits = |range: &&Range| {
                let digits = &leading[..range.first.len()];
                (range.first.as_str()..=range.last.as_str()).contains(&digits)
                    && range.lengths.contains(&length)
            };
            ranges.iter().find(fits).map(|range| range.brand)
        };
        for (length, fill) in (4..=NUMBER_MAX + 1).flat_map(|length| [(length, 0), (length, 9)]) {
            let mut digits: Vec<u8> = leading.bytes().map(|byte| byte - b'0').collect();
            digits.resize(length, fill);
            assert_eq!(
                found(length),
                Brand::of(&digits),
                "{leading}, {length} digits"
            );
        }
    }
}

#[test]
fn security_codes_have_the_same_length_in_script_and_vault() {
    let brands = table("BRANDS");
    assert_eq!(brands.matches("usual: ").count(), Brand::ALL.len());
    for brand in Brand::ALL {
        let (_, rest) = brands.split_once(&format!("{brand}: {{")).unwrap();
        let (row, _) = rest.split_once('}').unwrap();
        assert!(
            row.contains(&format!("cvc: {}", brand.cvc_length())),
            "{brand}"
        );
        assert_eq!(
            row.contains("cvcOptional: true"),
            !brand.cvc_required(),
            "{brand}"
        );
    }
}

#[test]
fn the_script_fills_in_the_card_that_the_test_token_stands_for() {
    let cards = table("TEST_CARDS");
    for token in TestToken::ALL {
        let name = match token.as_str() {
            "tok_test_declined_do_not_honor" => "declined",
            other => other
                .trim_start_matches("tok_test_")
                .trim_start_matches("declined_"),
        };
        let number = CardNumber::parse(text_of(cards, name).expect(name))
            .ok()
            .unwrap();
        let last4: String = token.last4().iter().map(u8::to_string).collect();
        assert_eq!(number.last4().to_string(), last4, "{name}");
    }
}

#[test]
fn the_script_has_words_for_every_refusal_of_a_deposit() {
    let codes = [
        (
            "FAULTS",
            "number_incomplete number_invalid brand_not_supported expiry_invalid expiry_past cvc_invalid",
        ),
        (
            "PROBLEMS",
            "ticket_invalid ticket_expired ticket_used ticket_tries_exceeded unavailable request_timeout internal_error",
        ),
    ];
    for (name, codes) in codes {
        for code in codes.split(' ') {
            assert!(table(name).contains(&format!("\n  {code}: ")), "{code}");
        }
    }
}
