//! HTTP/2 as RFC 9113 and RFC 7541 want it of a server, and what they want refused: h2spec's cases, written for the PyPI
//! libraries h2 and hpack (`cases.py`), against a face that answers merchants and one that answers browsers (YARDSTICK Y4).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use coffer_testkit::Coffer;

const BINARY: &str = env!("CARGO_BIN_EXE_coffer");
/// How many cases there are: none is lost without anybody noticing.
const CASES: usize = 147;
/// What is known to fail, and why that is borne. This list only shrinks.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "http2/8.1.2.1/3",
    "h2 drops pseudo-fields of trailers instead of refusing them; we take no trailers at all where a body is read",
)];

/// More than enough: without care two of five are lost.
const ATTEMPTS: usize = 40;

/// A face, its host, and what can be asked of it without a key.
struct Face {
    name: &'static str,
    host: &'static str,
    get: &'static str,
    post: &'static str,
}

const FACES: [Face; 2] = [
    Face {
        name: "api",
        host: "localhost",
        get: "/v1/ping",
        post: "/v1/payments",
    },
    Face {
        name: "fields",
        host: "fields.coffer.localhost",
        get: "/.well-known/payment-fields.json",
        post: "/v1/tokens",
    },
];

fn python() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    workspace.unwrap().join("target/venv/bin/python")
}

/// A line per case.
fn cases(coffer: &Coffer, face: &Face) -> Vec<String> {
    let address = coffer.address(face.name);
    let mut command = Command::new(python());
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http2/cases.py"))
        .args([address.ip().to_string(), address.port().to_string()])
        .arg(face.host)
        .arg(coffer.directory().join("public/development-ca.pem"))
        .args([face.get, face.post])
        .stdin(Stdio::null())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; ./test --install"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}; ./test --install");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// Debian's curl, which takes a stream that is reset for an error even when its answer is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_comes_before_the_body_is_an_answer() {
    let coffer = Coffer::start(BINARY).await;
    let authority = coffer.directory().join("public/development-ca.pem");
    for attempt in 0..ATTEMPTS {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2", "--cacert"]);
        curl.arg(&authority);
        curl.args(["--json", r#"{"amount": 1999, "currency": "EUR"}"#]);
        curl.args(["--write-out", " %{http_code} %{http_version}"]);
        curl.arg(format!(
            "https://localhost:{}/v1/payments",
            coffer.address("api").port()
        ));
        let output = curl.output().expect("curl: ./test --install");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("key_missing") && said.ends_with(" 401 2"),
            "{attempt}: {said}{errors}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_face_speaks_http2_as_the_standard_says() {
    let coffer = Coffer::start(BINARY).await;
    for face in FACES {
        let said = cases(&coffer, &face);
        assert_eq!(said.len(), CASES, "{}: {said:#?}", face.name);
        let mut failed: Vec<_> = said
            .iter()
            .filter_map(|line| line.strip_prefix("fail "))
            .collect();
        for (number, why) in EXCEPTIONS {
            let expected = failed
                .iter()
                .position(|line| line.split(' ').next() == Some(number));
            let place =
                expected.unwrap_or_else(|| panic!("{}: {number} passes: {why} is over", face.name));
            failed.remove(place);
        }
        assert!(failed.is_empty(), "{}: {failed:#?}", face.name);
    }
}
