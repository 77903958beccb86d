//! How others write the addresses of our faces. In production these are set; a developer's machine has names of its own.

use coffer_net::{acme::Site, face::PlainPolicy};

use crate::configuration::{Configuration, host_of};

/// The names of the faces on a developer's machine.
pub(super) const API_HOST: &str = "api.coffer.localhost";
pub(super) const CHECKOUT_HOST: &str = "pay.coffer.localhost";
pub(super) const FIELDS_HOST: &str = "fields.coffer.localhost";

/// Where the dashboard will be on a developer's machine.
const DASHBOARD: &str = "https://dashboard.coffer.localhost:8445";

/// The API's, which listens at this port.
pub(crate) fn api(configuration: &Configuration, port: u16) -> String {
    configuration
        .faces
        .api_origin
        .clone()
        .unwrap_or_else(|| format!("https://localhost:{}", public(configuration, port)))
}

/// The card inputs', which listen at this port.
pub(crate) fn fields(configuration: &Configuration, port: u16) -> String {
    configuration
        .faces
        .fields_origin
        .clone()
        .unwrap_or_else(|| format!("https://{FIELDS_HOST}:{}", public(configuration, port)))
}

/// The checkout page's, which listens at this port.
pub(crate) fn checkout(configuration: &Configuration, port: u16) -> String {
    configuration
        .faces
        .checkout_origin
        .clone()
        .unwrap_or_else(|| format!("https://{CHECKOUT_HOST}:{}", public(configuration, port)))
}

/// The dashboard's.
pub(crate) fn dashboard(configuration: &Configuration) -> String {
    configuration
        .faces
        .dashboard_origin
        .clone()
        .unwrap_or_else(|| DASHBOARD.to_owned())
}

/// The port at which a face is reached that listens at this one: that of the listener before all faces, if there is one.
fn public(configuration: &Configuration, port: u16) -> u16 {
    let front = configuration.faces.listen.map(|front| front.port());
    front.filter(|front| *front != 0).unwrap_or(port)
}

/// Host and port of an origin.
pub(crate) fn authority(origin: &str) -> String {
    origin.strip_prefix("https://").unwrap_or(origin).to_owned()
}

/// What a page's face says to plain HTTP.
pub(super) fn redirect(origin: &str) -> PlainPolicy {
    let to = authority(origin);
    PlainPolicy::Redirect308 { to }
}

/// The face of this origin, which says this to plain HTTP.
pub(super) fn site(origin: &str, plain: PlainPolicy) -> Site {
    Site {
        host: host_of(origin).to_owned(),
        plain,
    }
}

/// The simulator's, which listens at this port; it only ever runs beside the vault.
pub(crate) fn simulator(port: u16) -> String {
    format!("https://localhost:{port}")
}
