//! What a test sees of a Coffer from inside: its log and its metrics.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::ChildStderr,
    sync::{Arc, Mutex},
};

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
        let answer = self.health(role, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// Whether a role says that it can do its work.
    ///
    /// # Panics
    /// When it says nothing.
    pub async fn is_ready(&self, role: &str) -> bool {
        let answer = self.health(role, "/readyz").await;
        answer.starts_with("HTTP/1.1 200")
    }

    /// What a role answers to the operator's monitoring at `/livez`, `/readyz` or `/metrics`, with its head.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn health(&self, role: &str, path: &str) -> String {
        health_at(self.address(&format!("metrics_{role}")), path).await
    }
}

/// As [`Coffer::health`], of whoever tells of itself here.
pub(crate) async fn health_at(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
