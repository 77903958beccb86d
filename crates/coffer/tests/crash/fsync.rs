//! Disks that now and then fail to store what they were told to: nothing is acknowledged that was not stored.
//!
//! By its own command, since such a disk may fail while a role starts, and the first start is not tried again:
//!
//! ```text
//! cargo nextest run -p coffer --test crash --run-ignored only fsync
//! ```

use std::path::Path;

use coffer_testkit::{Chance, Coffer, Installation};

use crate::{BINARY, Victim, seed, survive};

/// How many answers clients get on such disks.
pub(crate) const ANSWERS: u64 = 300;
/// Debian's libfiu (package fiu-utils): what sets faults up, and what brings them about.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/fiu/fiu_run_preload.so",
    "/usr/lib/fiu/fiu_posix_preload.so",
];
/// One call of fsync or fdatasync in fifty fails, in every process.
const FAULTS: &str = "enable_random name=posix/io/sync/*,probability=0.02";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a disk may fail while a role starts; the head of this file has its command"]
async fn disks_that_fail_now_and_then_lose_or_double_no_payment() {
    assert!(
        LIBRARIES.iter().all(|library| Path::new(library).exists()),
        "fiu-utils is missing; ./test --install gets what tests need"
    );
    let environment = vec![
        ("LD_PRELOAD", LIBRARIES.join(" ")),
        ("FIU_ENABLE", FAULTS.to_owned()),
    ];
    let installation = Installation::make(BINARY, None);
    let coffer = Coffer::up_in(BINARY, installation, environment).await;
    survive(coffer, Chance::new(seed()), vec![Victim::Nobody]).await;
}
