//! Where each role listens, by the names under which its process asks for its sockets.

use std::net::SocketAddr;

use super::Configuration;
use crate::directory::Role;

impl Configuration {
    /// The faces and links of a role, and what stands before or beside them if it is wanted.
    pub(crate) fn listeners(&self, role: Role) -> Vec<(&'static str, SocketAddr)> {
        let (faces, links) = (&self.faces, &self.links);
        let (own, wanted, http) = match role {
            Role::Api => (
                vec![("api", faces.api), ("checkout", faces.checkout)],
                faces.listen.map(|address| ("front", address)),
                "api_http",
            ),
            Role::Vault => (
                vec![("fields", faces.fields), ("vault", links.vault_listen)],
                None,
                "vault_http",
            ),
            Role::Keys => (vec![("keys", links.keys_listen)], None, "keys_http"),
            Role::Simulator => (
                vec![("simulator", self.simulator.listen)],
                None,
                "simulator_http",
            ),
        };
        let acme = self.acme.as_ref();
        let plain = acme.and_then(|section| section.http_listen(role));
        own.into_iter()
            .chain(wanted)
            .chain(plain.map(|address| (http, address)))
            .collect()
    }
}
