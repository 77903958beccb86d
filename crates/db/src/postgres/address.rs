//! Where a PostgreSQL database is, and how to sign in to it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a PostgreSQL database is, and how to sign in to it.
#[derive(Clone)]
pub struct PostgresAddress {
    /// The server's name or address; its certificate must be for this name.
    pub host: String,
    /// Where to connect without asking for the name, for a process that may not resolve names.
    pub ip: Option<IpAddr>,
    /// The server's port.
    pub port: u16,
    /// The database, which is one role's alone.
    pub database: String,
    /// The user, who owns the database.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// How to verify the server. Without it nothing is encrypted, which only a loopback address allows.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl fmt::Debug for PostgresAddress {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}
