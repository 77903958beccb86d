//! The peers: programs that others use for the same work, each started with a configuration that does the same checks and
//! shows the same certificate.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    baseline,
    http::Target,
    machine::{Cores, Watched, on},
    stage::Stage,
};

/// How long a peer may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer of a peer, which is about as long as that of the API.
const ANSWER: &str = r#"{"account":"acct_00000000000000000000000000","mode":"test"}"#;

/// What a web server does with a request before it answers; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checks {
    /// Nothing.
    None,
    /// The key is looked up.
    Key,
    /// The address is compared with a list.
    Address,
    /// The rate is counted.
    Rate,
    /// A line is written to a buffer, which goes to a file once a second and is never synced.
    Record,
}

/// A peer's process; ended when dropped.
pub(crate) struct Peer {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Peer {
    /// nginx: HTTPS, the key in a map of all keys, the address on a list, the rate counted by key. The answer is nginx's
    /// cheapest, a picture of 43 bytes in its memory: what `return` gives would come before the address is looked at.
    pub(crate) fn nginx(stage: &Stage, keys: &[String], checks: Checks) -> Self {
        let (folder, address) = (folder(), free());
        let place = folder.path().display();
        let (chain, key) = stage.certificate();
        let known: String = keys
            .iter()
            .map(|key| format!("\"Bearer {key}\" 1;\n"))
            .collect();
        fs::write(folder.path().join("keys"), known).expect("a file");
        let key_known = part(checks, Checks::Key, "if ($known = 0) { return 401; }");
        let address_listed = part(checks, Checks::Address, "allow 127.0.0.1; deny all;");
        let rate_counted = part(
            checks,
            Checks::Rate,
            "limit_req zone=rate burst=1000000 nodelay;",
        );
        let record = match checks {
            Checks::Record => format!("{place}/access combined buffer=64k flush=1s"),
            Checks::None | Checks::Key | Checks::Address | Checks::Rate => "off".to_owned(),
        };
        let configuration = format!(
            "daemon off; worker_processes 1; pid {place}/pid; error_log {place}/log;
             events {{ worker_connections 1024; }}
             http {{
               access_log {record}; keepalive_requests 1000000000; keepalive_timeout 3600;
               map_hash_max_size 65536; map_hash_bucket_size 256;
               map $http_authorization $known {{ default 0; include {place}/keys; }}
               limit_req_zone $http_authorization zone=rate:32m rate=100000r/s;
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
               uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
               server {{
                 listen {address} ssl; ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};
                 location = /v1/ping {{
                   {key_known} {address_listed} {rate_counted} empty_gif;
                 }}
               }}
             }}",
            chain.display(),
            key.display()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new("nginx");
        command
            .arg("-e")
            .arg(folder.path().join("log"))
            .arg("-c")
            .arg(file);
        on(Cores::Server, || {
            Self::start("nginx", command, address, folder)
        })
    }

    /// HAProxy: the same, with its pattern file and its stick table. It writes no files: what it does at most is [`Checks::Rate`].
    pub(crate) fn haproxy(stage: &Stage, keys: &[String], checks: Checks) -> Self {
        let (folder, address) = (folder(), free());
        let place = folder.path().display();
        let (chain, key) = stage.certificate();
        let pem = [chain, key]
            .map(|file| fs::read(file).expect("a file"))
            .concat();
        fs::write(folder.path().join("pem"), pem).expect("a file");
        let known: String = keys.iter().map(|key| format!("Bearer {key}\n")).collect();
        fs::write(folder.path().join("keys"), known).expect("a file");
        let answer = ANSWER.replace('"', "\\\"");
        let key_known = part(
            checks,
            Checks::Key,
            "http-request deny deny_status 401 unless known",
        );
        let address_listed = part(
            checks,
            Checks::Address,
            "http-request deny deny_status 403 unless { src 127.0.0.1 }",
        );
        let rate_counted = part(
            checks,
            Checks::Rate,
            "http-request track-sc0 req.hdr(authorization)
               http-request deny deny_status 429 if { sc0_http_req_rate gt 1000000000 }",
        );
        let configuration = format!(
            "global
               nbthread 1
             defaults
               mode http
               timeout client 1h
               timeout connect 1s
               timeout server 1s
               timeout http-keep-alive 1h
             frontend api
               bind {address} ssl crt {place}/pem ssl-min-ver TLSv1.3 alpn http/1.1
               stick-table type string len 128 size 100k expire 10m store http_req_rate(60s)
               acl known req.hdr(authorization) -m str -f {place}/keys
               {key_known}
               {address_listed}
               {rate_counted}
               http-request return status 200 content-type application/json string \"{answer}\"\n"
        );
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-q").arg("-f").arg(file);
        on(Cores::Server, || {
            Self::start("haproxy", command, address, folder)
        })
    }

    /// axum on rustls without any check: what the tools that Coffer is built with cost by themselves.
    pub(crate) fn axum(stage: &Stage) -> Self {
        on(Cores::Server, || Self::bare("axum", stage, free()))
    }

    /// The same as a payment provider that approves of everything and remembers nothing, at the address that the vault knows.
    pub(crate) fn provider(stage: &Stage) -> Self {
        Self::bare("provider", stage, stage.provider_address())
    }

    fn bare(name: &'static str, stage: &Stage, address: SocketAddr) -> Self {
        let (chain, key) = stage.certificate();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .arg(baseline::COMMAND)
            .arg(address.to_string())
            .arg(chain)
            .arg(key);
        Self::start(name, command, address, folder())
    }

    fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        folder: TempDir,
    ) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let peer = Self {
            name,
            child,
            address,
            _folder: folder,
        };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                began.elapsed() < PATIENCE,
                "{name} does not listen: {}",
                peer.log()
            );
            thread::yield_now();
        }
        peer
    }

    fn log(&self) -> String {
        fs::read_to_string(self._folder.path().join("log")).unwrap_or_default()
    }

    /// Its face.
    pub(crate) fn target(&self, authority: &Path) -> Target {
        Target::new(self.address, authority)
    }

    /// Its processes.
    pub(crate) fn watched(&self) -> Watched {
        Watched::tree(self.name, self.child.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.watched().end();
        let _ = self.child.wait();
    }
}

/// A line of a configuration, for whoever does so much.
fn part(checks: Checks, least: Checks, line: &'static str) -> &'static str {
    if checks >= least { line } else { "" }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// An address that nobody listens at.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("a port")
}
