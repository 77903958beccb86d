//! What each kind of key is bound to, in its ciphertext and in its row: the same fields in the same order.

use coffer_core::id::RecordId;
use coffer_crypto::Context;
use coffer_db::{Value, params};
use coffer_net::contract::{
    Place,
    keys::{Class, Subject},
};

/// A key's version and that of the key above it, both part of its context.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) version: i64,
    pub(super) parent_version: i64,
}

/// What a data key is bound to: it opens only as what it was made for.
pub(crate) fn data_key_context(
    place: Place,
    class: Class,
    record: RecordId,
    parent_version: i64,
) -> Context {
    at(Context::new("coffer data key v1"), place)
        .text(class.as_str())
        .bytes(record.as_bytes())
        .number(parent_version)
}

pub(super) fn account_context(place: Place, link: Link) -> Context {
    at(Context::new("coffer account key v1"), place)
        .number(link.version)
        .number(link.parent_version)
}

pub(super) fn subject_context(place: Place, subject: Subject, link: Link) -> Context {
    at(Context::new("coffer subject key v1"), place)
        .text(&subject.to_string())
        .number(link.version)
        .number(link.parent_version)
}

pub(super) fn fingerprint_context(place: Place, link: Link) -> Context {
    at(Context::new("coffer fingerprint key v1"), place)
        .number(link.version)
        .number(link.parent_version)
}

fn at(context: Context, place: Place) -> Context {
    context
        .bytes(place.account.as_bytes())
        .text(place.mode.as_str())
}

/// The first columns of every table that belongs to an account.
pub(crate) fn place_params(place: Place) -> Vec<Value> {
    params![place.account.to_string(), place.mode.as_str()]
}

pub(super) fn subject_params(place: Place, subject: Subject) -> Vec<Value> {
    params![
        place.account.to_string(),
        place.mode.as_str(),
        subject.to_string()
    ]
}
