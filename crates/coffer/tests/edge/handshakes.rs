//! Who begins too many handshakes is not answered any more, before anything was computed for it.

use coffer_testkit::{Coffer, dial};

use crate::BINARY;

const BURST: usize = 20;

#[tokio::test]
async fn more_handshakes_than_a_client_may_begin_are_closed_and_counted() {
    let coffer = Coffer::start_with(
        BINARY,
        &[
            ("COFFER_LIMITS_HANDSHAKES_PER_MINUTE", "1"),
            ("COFFER_LIMITS_HANDSHAKES_BURST", "20"),
        ],
    )
    .await;
    let api = coffer.address("api");
    let mut begun = 0;
    for _ in 0..3 * BURST {
        begun += usize::from(dial(api, "localhost", b"http/1.1").await.is_ok());
    }
    // Coffer looks at its own face from here, too.
    assert!((1..=BURST + 1).contains(&begun), "{begun}");
    let metrics = coffer.metrics("api").await;
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("coffer_face_evictions_total{reason=\"handshakes\"} "));
    let counted: usize = counted.expect("it is counted").parse().unwrap();
    assert!(counted >= 2 * BURST - 1, "{counted}");
}
