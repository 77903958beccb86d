//! Where a role keeps its data: a SQLite file in its directory, or a PostgreSQL database of its own. What is needed to open it
//! (the password, the authorities, the address) is read before the sandbox closes; it is opened after.

use std::{
    fmt,
    net::{IpAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use coffer_db::{Database, Error, Filling, Migration, PostgresAddress, Snapshot, Statement};
use coffer_net::tls;

use super::certificates;
use crate::{
    configuration::{Postgres, Server},
    directory::{Directory, Role},
    failure::Failure,
    sandbox::Connects,
    secret_file,
};

/// The password of a role's user at PostgreSQL, in the role's directory.
pub(crate) const PASSWORD: &str = "postgres.password";

/// How long a server may take to answer at one of its addresses.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A role's data, not opened yet.
pub(crate) struct Store {
    role: Role,
    place: Place,
}

enum Place {
    File(PathBuf),
    Server(PostgresAddress),
}

impl Store {
    /// Where the settings say that this role keeps its data.
    pub(crate) fn of(
        directory: &Directory,
        postgres: Option<&Postgres>,
        role: Role,
    ) -> Result<Self, Failure> {
        check_unmoved(directory, postgres, role)?;
        let place = match postgres.filter(|_| role.is_on_postgres()) {
            None => Place::File(directory.database(role)),
            Some(postgres) => Place::Server(address(directory, postgres, role)?),
        };
        Ok(Self { role, place })
    }

    /// What opening it needs of the sandbox, for a role that connects nowhere else.
    pub(crate) const fn connects(&self) -> Connects {
        match &self.place {
            Place::File(_) => Connects::Nowhere,
            Place::Server(address) => Connects::Port(address.port),
        }
    }

    /// Opens it, with its own threads or connections; its tables are brought up to date.
    pub(crate) async fn open(
        &self,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Database, Failure> {
        let opened = match &self.place {
            Place::File(path) => Database::open_sqlite_reserved(path, migrations, statements),
            Place::Server(address) => {
                Database::open_postgres(address, migrations, statements).await
            }
        };
        opened.map_err(|error| self.failed(&error))
    }

    /// All of it as it is now; whoever uses it goes on.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let taken = match &self.place {
            Place::File(path) => Snapshot::of_sqlite(path),
            Place::Server(address) => Snapshot::of_postgres(address).await,
        };
        taken.map_err(|error| self.failed(&error))
    }

    /// Begins to fill it, which must be empty.
    pub(crate) async fn fill(&self, migrations: &[Migration]) -> Result<Filling, Failure> {
        let begun = match &self.place {
            Place::File(path) => Filling::into_sqlite(path, migrations),
            Place::Server(address) => Filling::into_postgres(address, migrations).await,
        };
        begun.map_err(|error| self.failed(&error))
    }

    /// Whether it is a file of this machine.
    pub(crate) const fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    fn failed(&self, error: &Error) -> Failure {
        let text = format!("opening the store of {} ({self}): {error}", self.role);
        match (error, &self.place) {
            (Error::Refused(_), _) => Failure::Operator(text),
            (Error::Unavailable(_), Place::Server(_)) => Failure::Away(text),
            (Error::Unavailable(_), Place::File(_))
            | (Error::Conflict(_) | Error::Defect(_), Place::File(_) | Place::Server(_)) => {
                Failure::System(text)
            }
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Server(address) => write!(f, "{address:?}"),
        }
    }
}

/// Data is not moved from one engine to the other: a role that looked in another place than before would find nothing, and
/// begin anew.
pub(crate) fn check_unmoved(
    directory: &Directory,
    postgres: Option<&Postgres>,
    role: Role,
) -> Result<(), Failure> {
    let other = match postgres {
        None => directory.file(role, PASSWORD),
        Some(_) => directory.database(role),
    };
    if !role.is_on_postgres() || !other.exists() {
        return Ok(());
    }
    let (is, was) = match postgres {
        None => ("SQLite", "PostgreSQL"),
        Some(_) => ("PostgreSQL", "SQLite"),
    };
    Err(Failure::Operator(format!(
        "the settings say that {role} keeps its data in {is}, but there is {}: it was in {was} until now, and is not moved; \
         set [postgres] as it was, or begin in another directory",
        other.display()
    )))
}

fn address(
    directory: &Directory,
    postgres: &Postgres,
    role: Role,
) -> Result<PostgresAddress, Failure> {
    let server = &postgres.address;
    let tls = match &postgres.ca_file {
        None => None,
        Some(name) => {
            let path = name.path(directory);
            let config = tls::client_config(&certificates::read_public(&path)?);
            Some(
                config
                    .map_err(|error| Failure::Operator(format!("{}: {error}", path.display())))?,
            )
        }
    };
    Ok(PostgresAddress {
        host: server.host().to_owned(),
        ip: known_address(server, role)?,
        port: server.port(),
        database: postgres.name_of(role),
        user: postgres.name_of(role),
        password: secret_file::read_password(&directory.file(role, PASSWORD))?,
        tls,
    })
}

/// The server's address, where it must be known beforehand: the key server cannot ask for names once its sandbox has closed.
fn known_address(server: &Server, role: Role) -> Result<Option<IpAddr>, Failure> {
    match (server.ip(), role) {
        (Some(ip), _) => Ok(Some(ip)),
        (None, Role::Keys) => resolve(server).map(Some),
        (None, Role::Api | Role::Vault | Role::Simulator) => Ok(None),
    }
}

/// The first of the name's addresses at which somebody answers: not every server listens at all of its own.
fn resolve(server: &Server) -> Result<IpAddr, Failure> {
    let mut addresses = (server.host(), server.port())
        .to_socket_addrs()
        .map_err(|error| Failure::Away(format!("resolving {server}: {error}")))?;
    let answering =
        addresses.find(|address| TcpStream::connect_timeout(address, ANSWER_MAX).is_ok());
    answering
        .map(|address| address.ip())
        .ok_or_else(|| Failure::Away(format!("PostgreSQL does not answer at {server}")))
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener};

    use super::*;

    fn postgres(address: &str) -> Postgres {
        toml::from_str(&format!("address = \"{address}\"")).unwrap()
    }

    fn refusal(outcome: Result<Store, Failure>) -> String {
        outcome.err().unwrap().to_string()
    }

    #[test]
    fn data_does_not_change_its_place() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        let postgres = postgres("127.0.0.1:5432");
        fs::write(directory.database(Role::Vault), "").unwrap();
        secret_file::create(
            &directory.file(Role::Vault, PASSWORD),
            b"Zq0mT7fKx2Lr9Vw4Bn6H",
        )
        .unwrap();
        for settings in [None, Some(&postgres)] {
            let refused = refusal(Store::of(&directory, settings, Role::Vault));
            assert!(refused.contains("is not moved"), "{refused}");
        }
        fs::remove_file(directory.database(Role::Vault)).unwrap();
        Store::of(&directory, Some(&postgres), Role::Vault).unwrap();
    }

    #[test]
    fn the_simulator_stays_with_its_file() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        fs::write(directory.database(Role::Simulator), "").unwrap();
        let postgres = postgres("127.0.0.1:5432");
        let store = Store::of(&directory, Some(&postgres), Role::Simulator).unwrap();
        assert!(store.to_string().ends_with("simulator.db"));
    }

    #[test]
    fn the_key_servers_way_out_is_one_port_and_needs_no_name() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create(place.path()).unwrap();
        let in_file = Store::of(&directory, None, Role::Keys).unwrap();
        assert_eq!(in_file.connects(), Connects::Nowhere);
        secret_file::create(
            &directory.file(Role::Keys, PASSWORD),
            b"Zq0mT7fKx2Lr9Vw4Bn6H",
        )
        .unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let named = postgres(&format!("localhost:{port}"));
        let store = Store::of(&directory, Some(&named), Role::Keys).unwrap();
        assert_eq!(store.connects(), Connects::Port(port));
        let Place::Server(address) = store.place else {
            panic!("a server was set");
        };
        assert_eq!(address.ip, Some(IpAddr::from([127, 0, 0, 1])));
        drop(server);
        assert!(matches!(
            Store::of(&directory, Some(&named), Role::Keys),
            Err(Failure::Away(_))
        ));
    }
}
