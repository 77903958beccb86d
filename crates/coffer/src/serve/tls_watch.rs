//! Once a day `api` looks at every public face as the world sees it, the vault's as well: what it finds goes into metrics,
//! and what is to be mended is told to the operator.

use std::time::Duration;

use coffer_net::{
    Clock, Tasks,
    metrics::{SharedRegistry, TlsCheckMetrics, TlsChecked},
    outbound::Roots,
    tls_check::{self, Report, Target},
};

use crate::{alerts::Alarm, failure::Failure, tls::target_of};

/// The first time, when everything has started.
const FIRST_AFTER: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is looked at, and with whose eyes.
#[derive(Clone)]
pub(super) struct Watch {
    faces: Vec<(&'static str, Target)>,
    roots: Roots,
    clock: Clock,
    metrics: TlsCheckMetrics,
    alarm: Alarm,
}

impl Watch {
    /// For these faces, by their origins.
    pub(super) fn new(
        faces: &[(&'static str, &str)],
        roots: Roots,
        clock: Clock,
        (registry, alarm): (&SharedRegistry, Alarm),
    ) -> Result<Self, Failure> {
        let faces = faces
            .iter()
            .map(|(face, origin)| Ok((*face, target_of(origin)?)))
            .collect::<Result<_, Failure>>()?;
        let metrics = TlsCheckMetrics::default();
        metrics.register(registry);
        Ok(Self {
            faces,
            roots,
            clock,
            metrics,
            alarm,
        })
    }

    /// Looks every day until the process stops.
    pub(super) fn run(self, tasks: &Tasks) {
        let mut stopping = Box::pin(tasks.stopping());
        tasks.spawn("daily TLS check", async move {
            let mut pause = FIRST_AFTER;
            loop {
                tokio::select! {
                    () = &mut stopping => return,
                    () = tokio::time::sleep(pause) => {}
                }
                self.look().await;
                pause = EVERY;
            }
        });
    }

    async fn look(&self) {
        for (face, target) in &self.faces {
            let now_s = self.clock.now().as_seconds();
            match tls_check::check(target, &self.roots, now_s).await {
                Ok(report) => {
                    observe(&self.metrics, face, &report, now_s);
                    for finding in &report.findings {
                        (self.alarm)(format!("{face}: {} {}", finding.code, finding.detail)).await;
                    }
                }
                Err(error) => {
                    self.metrics.unreachable(face);
                    tracing::debug!(%error, tls.face = face, "a face cannot be reached");
                    (self.alarm)(format!("{face}: unreachable from here")).await;
                }
            }
        }
    }
}

fn observe(metrics: &TlsCheckMetrics, face: &'static str, report: &Report, now_s: i64) {
    let certificate = report.certificate.as_ref();
    let findings = i64::try_from(report.findings.len()).unwrap_or(i64::MAX);
    let found = TlsChecked {
        grade: report.grade.points(),
        findings,
        expires_s: certificate.map(|certificate| certificate.not_after_s),
        checked_s: now_s,
    };
    metrics.observe(face, found);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use coffer_crypto::pki::{Authority, KeyPair, Profile};
    use coffer_net::{
        face::{self, Face, FaceSettings, PlainPolicy},
        metrics::registry,
        tls::CertificateStore,
    };

    use super::*;

    #[tokio::test]
    async fn what_the_world_sees_of_a_face_is_in_the_metrics() {
        let (clock, tasks, registry) = (Clock::system(), Tasks::new(), registry());
        let now_s = clock.now().as_seconds();
        let authority = Authority::create("test", now_s).unwrap();
        let key = KeyPair::generate().unwrap();
        let profile = Profile {
            spiffe: None,
            dns: vec!["pay.shop.localhost".to_owned()],
            ips: Vec::new(),
            client: false,
            server: true,
            not_before_s: now_s - 60,
            not_after_s: now_s + 3600,
            serial: coffer_crypto::random().unwrap(),
        };
        let chain = authority.issue(&key.request().unwrap(), &profile, now_s);
        let store = CertificateStore::new();
        store.load_pem(&chain.unwrap(), &key.pem()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = "about:blank".to_owned();
        let plain = PlainPolicy::Refuse403 {
            page,
            overheard: None,
        };
        let names = ["pay.shop.localhost", "other.shop.localhost"].map(str::to_owned);
        let settings = FaceSettings::new(names.to_vec(), plain);
        let face = Face::new(Arc::clone(&store), axum::Router::new(), settings);
        tasks.spawn("face", face::serve(listener, face, tasks.clone()));

        let (right, wrong) = (
            format!("https://pay.shop.localhost:{port}"),
            format!("https://other.shop.localhost:{port}"),
        );
        let faces = [
            ("checkout", right.as_str()),
            ("fields", wrong.as_str()),
            ("api", "https://api.shop.localhost:1"),
        ];
        let roots = Roots::public()
            .with_pem(authority.certificate_pem())
            .unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let alarm: Alarm = Arc::new(move |what| {
            heard.lock().unwrap().push(what);
            Box::pin(std::future::ready(()))
        });
        let watch = Watch::new(&faces, roots, clock, (&registry, alarm)).unwrap();
        watch.look().await;

        let mut text = String::new();
        coffer_net::metrics::encode(&registry, &mut text).unwrap();
        for line in [
            "coffer_tls_grade{face=\"checkout\"} 4",
            "coffer_tls_findings{face=\"checkout\"} 0",
            "coffer_tls_grade{face=\"fields\"} 0",
            "coffer_tls_findings{face=\"fields\"} 1",
            "coffer_tls_unreachable_total{face=\"api\"} 1",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let expires = format!("{{face=\"checkout\"}} {}", now_s + 3600);
        assert!(text.contains(&expires), "{text}");
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("fields: ") && told[1].starts_with("api: unreachable"));
    }
}
