//! The embedded engine: one writer thread that commits in groups, and a few read-only connections.

mod copy;
mod failure;
mod group;
mod proof;
mod reader;
mod reserve;
mod run;
mod schema;
mod settings;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

pub(crate) use self::copy::{SqliteFilling, SqliteSnapshot};
use self::reader::{Readers, Snapshots};
use self::reserve::Reserve;
use self::writer::{Thread, Writer};
use crate::health::Health;
use crate::{Disk, Error, Migration, Outcome, Row, Statement, Transaction, Unavailable, Value};

/// An open SQLite database.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    health: Arc<Health>,
    reserve: Arc<Reserve>,
}

impl Sqlite {
    pub(crate) fn open(
        path: &Path,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        Self::open_with(
            path,
            migrations,
            statements,
            Reserve::none(),
            Snapshots::Own,
        )
    }

    /// As `open`, for the one process that writes it: with a reserve for a full disk, and with reads that keep their snapshots. A
    /// disk that is full at the start gets the reserve back then.
    pub(crate) fn open_reserved(
        path: &Path,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
    ) -> Result<Self, Error> {
        let open = || {
            let reserve = Reserve::beside(path);
            Self::open_with(path, migrations, statements, reserve, Snapshots::Kept)
        };
        match open() {
            Err(Error::Unavailable(Unavailable::DiskFull)) if Reserve::beside(path).free() => {
                let opened = open()?;
                opened.health.found_full();
                Ok(opened)
            }
            opened => opened,
        }
    }

    fn open_with(
        path: &Path,
        migrations: &[Migration],
        statements: &[&[&'static Statement]],
        reserve: Reserve,
        snapshots: Snapshots,
    ) -> Result<Self, Error> {
        secure_file(path)?;
        let connection = connect(path)?;
        schema::migrate(&connection, migrations)?;
        let catalog = Arc::new(proof::catalog(&connection, statements)?);
        let health = Arc::new(Health::new());
        let readers = Readers::open(path, snapshots, Arc::clone(&catalog), Arc::clone(&health))?;
        let readers = Arc::new(readers);
        reserve.make();
        let reserve = Arc::new(reserve);
        let thread = Thread {
            path: path.to_owned(),
            catalog,
            health: Arc::clone(&health),
            reserve: Arc::clone(&reserve),
            readers: Arc::clone(&readers),
        };
        let writer = Writer::start(connection, thread)?;
        Ok(Self {
            writer,
            readers,
            health,
            reserve,
        })
    }

    pub(crate) async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        self.writer.transact(transaction).await
    }

    pub(crate) fn read(
        &self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, Error> {
        self.readers.read(statement, params)
    }

    /// The readers go first, so that the writer's connection is the last one and leaves no log behind.
    pub(crate) async fn close(&self) {
        self.writer.refuse_new_work();
        self.readers.close();
        self.writer.drained().await;
    }

    pub(crate) fn healthy(&self) -> bool {
        self.health.is_good()
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk {
            reserve_bytes: self.reserve.held(),
            full_times: self.health.full_times(),
        }
    }
}

/// The writer's connection.
fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| failure::opening(&error))?;
    settings::apply_to_writer(&connection)?;
    Ok(connection)
}

/// Makes the file with mode 0600 before SQLite sees it (SQLite gives its log files the same mode), and refuses one
/// that others may open.
fn secure_file(path: &Path) -> Result<(), Error> {
    let unreachable = |error: std::io::Error| Unavailable::Io(error.to_string());
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let mode = options
        .and_then(|file| file.metadata())
        .map_err(unreachable)?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Error::Refused(format!(
            "other users may open {path}; run: chmod 600 {path}"
        )));
    }
    Ok(())
}
