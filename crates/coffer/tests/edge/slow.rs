//! slowhttptest (Debian) sends heads and bodies byte by byte and reads answers hardly at all: it is left behind, and finds the
//! service available all the while (YARDSTICK Y10).

use std::{
    cell::RefCell,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use coffer_testkit::{Coffer, eventually};

use crate::BINARY;

/// Of each way; not so many that somebody has to leave for others (`UNFINISHED_PER_ADDRESS_MAX`).
const CONNECTIONS: usize = 80;
/// How long the tool tries, in seconds: more than any limit of an edge.
const TRIES_S: &str = "45";
/// The longest until the tool has ended.
const ENDED_WITHIN: Duration = Duration::from_secs(90);

/// A way to be slow.
struct Way {
    name: &'static str,
    options: &'static [&'static str],
    path: &'static str,
}

const WAYS: [Way; 3] = [
    Way {
        name: "heads",
        options: &["-H", "-i", "2", "-x", "24"],
        path: "/v1/ping",
    },
    Way {
        name: "bodies",
        options: &[
            "-B",
            "-i",
            "2",
            "-s",
            "8192",
            "-x",
            "10",
            "-f",
            "application/json",
        ],
        path: "/v1/payments",
    },
    Way {
        name: "reads",
        options: &[
            "-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3",
        ],
        path: "/openapi.json",
    },
];

fn begin(coffer: &Coffer, way: &Way, key: &str, reports: &Path) -> Child {
    // It knows no header for keys; without one a request is answered before its body is there.
    let accept = format!("*/*\r\nAuthorization: Bearer {key}");
    let port = coffer.address("api").port();
    let mut command = Command::new("slowhttptest");
    command
        .args(way.options)
        .args(["-c", &CONNECTIONS.to_string(), "-r", "80"])
        .args(["-l", TRIES_S, "-p", "10", "-v", "2", "-g", "-o", way.name])
        .args(["-m", &accept])
        .args(["-u", &format!("https://localhost:{port}{}", way.path)])
        .current_dir(reports)
        .stdin(Stdio::null())
        .stdout(fs::File::create(reports.join(format!("{}.log", way.name))).unwrap());
    command
        .spawn()
        .unwrap_or_else(|error| panic!("slowhttptest: {error}; ./test --install"))
}

/// The connections that a process has, and whatever else it has open.
fn open_descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowhttptest_is_left_behind_and_finds_the_service_available() {
    let coffer = Coffer::start(BINARY).await;
    let (shop, reports) = (coffer.merchant().await, tempfile::tempdir().unwrap());
    let (pid, before) = (coffer.pid("api"), open_descriptors(coffer.pid("api")));
    let [heads, bodies, reads] =
        WAYS.map(|way| RefCell::new(begin(&coffer, &way, &shop.secret_key, reports.path())));
    let come = async || (open_descriptors(pid) > before + 2 * CONNECTIONS).then_some(());
    eventually(ENDED_WITHIN, "they have come", come).await;
    let gone = async || (open_descriptors(pid) < before + CONNECTIONS / 8).then_some(());
    eventually(ENDED_WITHIN, "they are left behind", gone).await;
    // It has much to read of what is on the way, and would go on.
    let reading = reads.borrow_mut().try_wait().unwrap().is_none();
    assert!(reading, "who reads slowly went by itself");
    for tool in [heads, bodies, reads] {
        let ended = async || tool.borrow_mut().try_wait().unwrap();
        eventually(ENDED_WITHIN, "slowhttptest ends", ended).await;
    }
    for way in WAYS {
        available(&way, reports.path());
    }
    for way in &WAYS[..2] {
        let log = fs::read_to_string(reports.path().join(format!("{}.log", way.name))).unwrap();
        assert!(
            log.contains("No open connections left"),
            "{}: {log}",
            way.name
        );
    }
}

/// Every second it asked beside, as a client who keeps to the rules.
fn available(way: &Way, reports: &Path) {
    let report = fs::read_to_string(reports.join(format!("{}.csv", way.name))).unwrap();
    let seconds: Vec<&str> = report.lines().skip(1).collect();
    assert!(seconds.len() > 5, "{}: {report}", way.name);
    for second in seconds {
        let available = second.rsplit(',').next();
        assert_ne!(available, Some("0"), "{}: {report}", way.name);
    }
}
