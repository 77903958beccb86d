//! What a test sees of a Coffer from inside: its log, its metrics, its databases as a thief or a backup would have them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::ChildStderr,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::Coffer;

/// Everything that the processes wrote to their standard error. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Log {
    /// Notes what a process says, and says it on: a failed test shows it.
    pub(crate) fn follow(&self, said: ChildStderr) {
        let log = self.clone();
        // A thread, since a process that cannot say what it wants to say stands still.
        std::thread::spawn(move || {
            for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
                let line = format!("{}\n", String::from_utf8_lossy(&line));
                let _ = std::io::stderr().write_all(line.as_bytes());
                log.0.lock().unwrap().push_str(&line);
            }
        });
    }
}

/// A copy of a role's database, with its write-ahead log; deleted when dropped.
pub struct Copied {
    /// Where the copy is.
    pub database: PathBuf,
    _folder: TempDir,
}

impl Coffer {
    /// The log of all processes so far.
    ///
    /// # Panics
    /// Never, unless a reader of it panicked.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// What a role shows to the operator's monitoring.
    ///
    /// # Panics
    /// When it shows nothing.
    pub async fn metrics(&self, role: &str) -> String {
        let address = self.address(&format!("metrics_{role}"));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// A role's database as it is now, as after a loss of power at this instant.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn copied(&self, role: &str) -> Copied {
        let folder = tempfile::tempdir().unwrap();
        // It must not write while it is copied.
        let _frozen = self.freeze(role);
        let from = self.directory().join(role);
        for ending in ["", "-wal"] {
            let name = format!("{role}.db{ending}");
            if from.join(&name).exists() {
                fs::copy(from.join(&name), folder.path().join(&name)).unwrap();
            }
        }
        Copied {
            database: folder.path().join(format!("{role}.db")),
            _folder: folder,
        }
    }
}
