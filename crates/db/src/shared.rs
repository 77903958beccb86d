//! Numbers that several processes share: a script that a Redis or Valkey server runs on one key at a time, many in one round
//! trip. Nothing is kept there that could not be lost.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisResult, TlsCertificates,
};
use tokio::sync::Mutex;

use crate::{Error, Unavailable};

/// How long a new connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a round of answers may take; a server that takes longer counts as away.
const ROUND_TIMEOUT: Duration = Duration::from_millis(250);

/// Where a Redis or Valkey server is, and how to sign in to it.
#[derive(Clone)]
pub struct SharedAddress {
    /// The server's name or address; its certificate must be for this name.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The user; the server's default one when there is none.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// The certificates (PEM) of the authorities that the server's may come from. Without them nothing is encrypted, which
    /// only a loopback address allows.
    pub authorities: Option<Vec<u8>>,
}

impl fmt::Debug for SharedAddress {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The script, and the server that runs it.
pub struct SharedScript {
    client: Client,
    script: &'static str,
    connection: Mutex<Option<Loaded>>,
}

/// A connection whose server knows the script, and by which name.
struct Loaded {
    connection: MultiplexedConnection,
    digest: String,
}

impl SharedScript {
    /// Asks nobody yet.
    ///
    /// # Errors
    /// [`Error::Refused`] when the address is not one to send anything to.
    pub fn new(address: &SharedAddress, script: &'static str) -> Result<Self, Error> {
        let client = client(address)?;
        Ok(Self {
            client,
            script,
            connection: Mutex::default(),
        })
    }

    /// Connects anew.
    ///
    /// # Errors
    /// Why it cannot be asked, for the operator.
    pub async fn connect(&self) -> Result<(), String> {
        let mut place = self.connection.lock().await;
        *place = None;
        let loading = async {
            let settings = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(CONNECT_TIMEOUT));
            let connecting = self
                .client
                .get_multiplexed_async_connection_with_config(&settings);
            let mut connection = connecting.await?;
            let mut load = redis::cmd("SCRIPT");
            let digest = load.arg("LOAD").arg(self.script);
            let digest = digest.query_async(&mut connection).await?;
            Ok(Loaded { connection, digest })
        };
        let loaded: RedisResult<Loaded> = loading.await;
        *place = Some(loaded.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Runs the script once for each key with its arguments, and answers each time two numbers. After a failure it must be
    /// connected anew; whether the script ran then nobody knows.
    ///
    /// # Errors
    /// When the server did not answer in time.
    pub async fn run<const N: usize>(
        &self,
        calls: &[(String, [i64; N])],
    ) -> Result<Vec<(i64, i64)>, Unavailable> {
        let mut place = self.connection.lock().await;
        let Loaded {
            mut connection,
            digest,
        } = place.take().ok_or(Unavailable::ConnectionLost)?;
        let mut pipeline = redis::pipe();
        for (key, arguments) in calls {
            let call = pipeline.cmd("EVALSHA").arg(&digest).arg(1).arg(key);
            call.arg(arguments.as_slice());
        }
        let answering = pipeline.query_async(&mut connection);
        let answered: Result<RedisResult<Vec<(i64, i64)>>, _> =
            tokio::time::timeout(ROUND_TIMEOUT, answering).await;
        match answered {
            Ok(Ok(answers)) if answers.len() == calls.len() => {
                *place = Some(Loaded { connection, digest });
                Ok(answers)
            }
            Ok(Ok(_) | Err(_)) | Err(_) => Err(Unavailable::ConnectionLost),
        }
    }
}

fn client(address: &SharedAddress) -> Result<Client, Error> {
    let refused = |error: redis::RedisError| Error::Refused(error.to_string());
    let mut user = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(name) = &address.user {
        user = user.set_username(name);
    }
    if let Some(password) = &address.password {
        user = user.set_password(password);
    }
    let (host, port) = (address.host.clone(), address.port);
    let server = match &address.authorities {
        Some(_) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
        None if is_loopback(&host) => ConnectionAddr::Tcp(host, port),
        None => {
            return Err(Error::Refused(format!(
                "the server at {host} is not on this machine; give the certificate of the authority that signed its certificate"
            )));
        }
    };
    let info = server.into_connection_info().map_err(refused)?;
    let info = info.set_redis_settings(user);
    let certificates = |root: &Vec<u8>| TlsCertificates {
        client_tls: None,
        root_cert: Some(root.clone()),
    };
    match &address.authorities {
        Some(root) => Client::build_with_tls(info, certificates(root)),
        None => Client::open(info),
    }
    .map_err(refused)
}

fn is_loopback(host: &str) -> bool {
    host.parse::<std::net::IpAddr>()
        .map_or(host == "localhost", |ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> SharedAddress {
        SharedAddress {
            host: host.to_owned(),
            port: 6379,
            user: None,
            password: Some("the password".to_owned()),
            authorities: None,
        }
    }

    #[test]
    fn nothing_leaves_this_machine_unencrypted() {
        for host in ["10.0.0.1", "redis.internal", "localhost.example", "::2"] {
            let refused = client(&address(host));
            assert!(matches!(refused, Err(Error::Refused(_))), "{host}");
        }
        for host in ["127.0.0.1", "::1", "localhost"] {
            assert!(client(&address(host)).is_ok(), "{host}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert!(!format!("{:?}", address("localhost")).contains("password"));
    }
}
