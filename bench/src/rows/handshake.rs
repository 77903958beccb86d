//! Handshakes: a connection, a handshake, and its orderly end.

use std::path::Path;

use rustls::{
    HandshakeKind,
    client::Resumption,
    crypto::{
        SupportedKxGroup,
        aws_lc_rs::kx_group::{X25519, X25519MLKEM768},
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    drive::{Client, Figures, Plan, drive},
    http::{CONNECTIONS, Target, tls},
    machine::Watched,
    peer::{Checks, Peer},
    stage::Stage,
    table::{Judged, Line, Measured, Unit},
};

pub(super) const HOW: &str = "TLS 1.3 handshakes with an ECDSA P-256 certificate, each on a new connection that is closed \
    in order afterwards, 64 at a time; server and load have one core each. The load, which checks the certificate, is the \
    slower end: compare CPU. X25519MLKEM768 is what browsers agree on with Coffer; this nginx has only X25519.";
pub(super) const LIMIT: &str = "One signature and one key exchange by AWS-LC, a session ticket, and the kernel's part: \
    accepting and closing a connection.";

/// What is measured of a server.
struct Case<'p> {
    who: &'static str,
    target: Target,
    watched: Watched,
    exchange: &'static dyn SupportedKxGroup,
    kind: HandshakeKind,
    authority: &'p Path,
}

pub(super) async fn measure(stage: &Stage, plan: Plan) -> Measured {
    let (nginx, authority) = (Peer::nginx(stage, &[], Checks::Rate), stage.authority());
    let case = |who, coffer: bool, exchange, kind| Case {
        who,
        target: if coffer {
            stage.api()
        } else {
            nginx.target(&authority)
        },
        watched: if coffer {
            stage.role("api")
        } else {
            nginx.watched()
        },
        exchange,
        kind,
        authority: &authority,
    };
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    let cases = [
        case("Coffer, full, X25519", true, X25519, full),
        case("nginx, full, X25519", false, X25519, full),
        case("Coffer, resumed, X25519", true, X25519, resumed),
        case("nginx, resumed, X25519", false, X25519, resumed),
        case("Coffer, full, X25519MLKEM768", true, X25519MLKEM768, full),
    ];
    let mut runs = vec![Vec::new(); cases.len()];
    for _ in 0..plan.runs {
        for (case, runs) in cases.iter().zip(&mut runs) {
            runs.push(run(case, plan).await);
        }
    }
    let medians: Vec<Figures> = runs.iter().map(|runs| Figures::median(runs)).collect();
    let nginx_us = medians[1].cpu_total_us();
    let judged = Judged {
        what: "full TLS 1.3 handshake, ECDSA P-256, X25519: CPU".to_owned(),
        value: medians[0].cpu_total_us(),
        unit: Unit::Microseconds,
        floor: 0.5 * nginx_us,
        aim: 0.42 * nginx_us,
        from: "0.5 and 0.42 × nginx' CPU in this run".to_owned(),
        fsync: None,
    };
    let lines = cases.iter().zip(medians).map(|(case, figures)| Line {
        who: case.who.to_owned(),
        figures,
        fsync: None,
    });
    Measured {
        judged: vec![judged],
        lines: lines.collect(),
        notes: Vec::new(),
    }
}

async fn run(case: &Case<'_>, plan: Plan) -> Figures {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Greeter::new(case).await);
    }
    drive(clients, std::slice::from_ref(&case.watched), plan).await
}

/// A client that connects and says goodbye.
struct Greeter {
    target: Target,
    kind: HandshakeKind,
}

impl Greeter {
    /// With a ticket of its own where it resumes.
    async fn new(case: &Case<'_>) -> Self {
        let resumption = match case.kind {
            HandshakeKind::Resumed => Resumption::in_memory_sessions(1),
            _ => Resumption::disabled(),
        };
        let target = case
            .target
            .with(tls(case.authority, case.exchange, resumption));
        let greeter = Self {
            target,
            kind: case.kind,
        };
        greeter.greet().await;
        greeter
    }

    async fn greet(&self) -> Option<HandshakeKind> {
        let mut stream = self.target.connect().await;
        let kind = stream.get_ref().1.handshake_kind();
        stream.shutdown().await.expect("a goodbye");
        // The tickets come now, and then the end.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        // The address can be used again at once.
        stream.get_ref().0.set_zero_linger().expect("a socket");
        kind
    }
}

impl Client for Greeter {
    async fn act(&mut self) -> bool {
        let kind = self.greet().await;
        assert_eq!(
            kind,
            Some(self.kind),
            "another kind of handshake than was asked for"
        );
        true
    }
}
