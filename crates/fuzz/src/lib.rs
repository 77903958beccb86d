//! A fuzz target for each parser of foreign bytes. A target takes any bytes and panics when a rule of the product breaks.
//!
//! `main.rs` runs one of them under libFuzzer; the tests here run each on its seeds, in every `cargo nextest run`.

mod cards;
mod faces;
mod links;
mod pages;
mod records;
mod requests;
mod words;

/// A parser, and what must hold for it.
pub struct Target {
    /// Its name, and that of its directory in `seeds/`.
    pub name: &'static str,
    /// Feeds it these bytes.
    pub run: fn(&[u8]),
}

/// Every target. A new parser of foreign bytes gets a row, and a seed.
pub const TARGETS: &[Target] = &[
    Target {
        name: "api_address",
        run: requests::address,
    },
    Target {
        name: "api_body",
        run: requests::body,
    },
    Target {
        name: "api_head",
        run: requests::head,
    },
    Target {
        name: "audit_anchor",
        run: records::anchor,
    },
    Target {
        name: "audit_leaf",
        run: records::leaf,
    },
    Target {
        name: "audit_proof",
        run: records::proof,
    },
    Target {
        name: "card_scan",
        run: cards::scan,
    },
    Target {
        name: "certificate",
        run: links::certificate,
    },
    Target {
        name: "checkout_secret",
        run: pages::checkout_secret,
    },
    Target {
        name: "client",
        run: faces::client,
    },
    Target {
        name: "client_assertion",
        run: requests::client_assertion,
    },
    Target {
        name: "deposit",
        run: cards::deposit,
    },
    Target {
        name: "face_head",
        run: faces::head,
    },
    Target {
        name: "link_keys",
        run: links::keys,
    },
    Target {
        name: "link_pack",
        run: links::pack,
    },
    Target {
        name: "link_vault",
        run: links::vault,
    },
    Target {
        name: "page_report",
        run: pages::report,
    },
    Target {
        name: "plain_http",
        run: pages::plain_http,
    },
    Target {
        name: "provider_answer",
        run: cards::provider_answer,
    },
    Target {
        name: "signature",
        run: requests::signature,
    },
    Target {
        name: "ticket",
        run: pages::ticket,
    },
    Target {
        name: "url",
        run: words::url,
    },
    Target {
        name: "words",
        run: words::words,
    },
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_target_holds_on_its_seeds_and_every_seed_has_a_target() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        let directories: BTreeSet<String> = fs::read_dir(&seeds)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let names: BTreeSet<String> = TARGETS
            .iter()
            .map(|target| target.name.to_owned())
            .collect();
        assert_eq!(directories, names);
        for target in TARGETS {
            for seed in fs::read_dir(seeds.join(target.name)).unwrap() {
                (target.run)(&fs::read(seed.unwrap().path()).unwrap());
            }
        }
    }
}
