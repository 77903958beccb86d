//! How a connection begins: its limits, and the settings without which an acknowledged write could be lost.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, RecyclingMethod};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresAddress;
use super::failure;
use crate::Error;

/// How long a new connection may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the other end may leave bytes unacknowledged before the connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Limits that the server keeps, in milliseconds: a statement, the wait for a lock, and a transaction whose process
/// stands still while it holds locks. Only this schema is looked in.
const LIMITS: &str = "-c statement_timeout=30000 -c lock_timeout=10000 \
    -c idle_in_transaction_session_timeout=30000 -c search_path=public -c client_min_messages=warning";
/// How the server plans. A statement is planned once and then run for as long as its connection lives, often planned while its
/// tables are as good as empty: to plan costs more than any statement here, and where fewer rows are asked for than usual, a
/// plan for the very values would look cheaper and be made each time. So a table is never read from end to end where an index
/// would do, however small it is now, and to look at a row counts as much as to fetch a page, so that of few rows none is
/// looked at in vain either. What several callers ask for at once is not the same, so nothing is remembered. To compile a plan
/// or to start processes for it would cost more still.
pub const PLANNER: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c cpu_tuple_cost=1 \
    -c enable_memoize=off -c jit=off -c max_parallel_workers_per_gather=0";

/// The oldest version that is tested.
const VERSION_MIN: i64 = 150_000;

/// What a connection says of its server.
const SETTINGS: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit'), current_setting('server_encoding'),
    CASE WHEN 'a' > 'B' AND '_' > 'Z' AND '~' > 'z' AND '-' < '0' THEN 'bytes' ELSE 'words' END,
    current_setting('server_version_num')";

/// Makes connections, each with a cache of prepared statements.
pub(super) fn manager(address: &PostgresAddress) -> Result<Manager, Error> {
    let config = config(address)?;
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Ok(match &address.tls {
        Some(tls) => {
            let tls = MakeRustlsConnect::new(rustls::ClientConfig::clone(tls));
            Manager::from_config(config, tls, recycling)
        }
        None => Manager::from_config(config, NoTls, recycling),
    })
}

fn config(address: &PostgresAddress) -> Result<Config, Error> {
    let mut config = Config::new();
    config
        .host(&address.host)
        .port(address.port)
        .dbname(&address.database)
        .user(&address.user)
        .password(&address.password)
        .application_name("coffer")
        .options(format!("{LIMITS} {PLANNER}"))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(SILENCE_MAX)
        .keepalives_idle(SILENCE_MAX)
        // A standby would accept the connection and refuse every transaction.
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    if let Some(ip) = address.ip {
        config.hostaddr(ip);
    }
    match (&address.tls, is_loopback(address)) {
        (Some(_), _) => config.ssl_mode(SslMode::Require),
        (None, true) => config.ssl_mode(SslMode::Disable),
        (None, false) => {
            return Err(Error::Refused(format!(
                "PostgreSQL at {} is not on this machine; give the certificate of the authority that signed its certificate",
                address.host
            )));
        }
    };
    Ok(config)
}

fn is_loopback(address: &PostgresAddress) -> bool {
    let ip = address.ip.or_else(|| address.host.parse().ok());
    ip.map_or(address.host == "localhost", |ip| ip.is_loopback())
}

/// Refuses a server that could lose what it acknowledged, or that sorts and compares text unlike the other engine.
pub(super) async fn check(client: &ClientWrapper) -> Result<(), Error> {
    let failed = |error: tokio_postgres::Error| failure::of_connection(&error);
    let found = client.query_one(SETTINGS, &[]).await.map_err(failed)?;
    let value = |column: usize| found.try_get::<_, &str>(column).map_err(failed);
    for (column, name) in [
        (0, "fsync"),
        (1, "full_page_writes"),
        (2, "synchronous_commit"),
    ] {
        if value(column)? == "off" {
            return Err(Error::Refused(format!(
                "PostgreSQL's setting {name} is off, so a crash could lose acknowledged payments; \
                 run: ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"
            )));
        }
    }
    if value(3)? != "UTF8" || value(4)? != "bytes" {
        return Err(Error::Refused(
            "the database does not compare text byte by byte; create it with: \
             TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
                .to_owned(),
        ));
    }
    if value(5)?.parse::<i64>().unwrap_or_default() < VERSION_MIN {
        return Err(Error::Refused(
            "Coffer needs PostgreSQL 15 or newer".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> PostgresAddress {
        PostgresAddress {
            host: host.to_owned(),
            ip: None,
            port: 5432,
            database: "d".to_owned(),
            user: "u".to_owned(),
            password: "the password".to_owned(),
            tls: None,
        }
    }

    #[test]
    fn nothing_leaves_this_machine_unencrypted() {
        for host in ["10.0.0.1", "db.internal", "localhost.example", "::2"] {
            assert!(
                matches!(config(&address(host)), Err(Error::Refused(_))),
                "{host}"
            );
        }
        for host in ["127.0.0.1", "::1", "localhost"] {
            assert!(config(&address(host)).is_ok(), "{host}");
        }
        let resolved = PostgresAddress {
            ip: Some([10, 0, 0, 1].into()),
            ..address("localhost")
        };
        assert!(config(&resolved).is_err());
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert!(!format!("{:?}", address("localhost")).contains("password"));
    }
}
