//! Disks that now and then fail to store what they were told to: nothing is acknowledged that was not stored.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use coffer_testkit::{Chance, Coffer, Installation};
use tempfile::TempDir;

use crate::{BINARY, Victim, seed, survive};

/// How many answers clients get on such disks.
pub(crate) const ANSWERS: u64 = 300;
/// What a role logs when its disk failed.
pub(crate) const COMPLAINT: &str = "the database cannot store";
const ROLES: [&str; 4] = ["api", "vault", "keys", "simulator"];
/// Debian's libfiu (package fiu-utils): what is told to set faults up, and what brings them about.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/fiu/fiu_run_preload.so",
    "/usr/lib/fiu/fiu_posix_preload.so",
];
/// One call of fsync or fdatasync in fifty fails.
const FAULTS: &str = "enable_random name=posix/io/sync/*,probability=0.02\n";

/// The disks of a Coffer, good until they are told otherwise.
#[derive(Debug)]
pub(crate) struct FaultyDisks(TempDir);

impl FaultyDisks {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Each process listens at a pipe of this name, a dash, and its number.
    fn pipes(&self) -> PathBuf {
        self.0.path().join("fiu")
    }

    /// From now on they fail, under every role that runs.
    pub(crate) fn fail(&self, coffer: &Coffer) {
        for role in ROLES {
            let pipe = format!("{}-{}", self.pipes().display(), coffer.pid(role));
            let told = OpenOptions::new().write(true).open(format!("{pipe}.in"));
            told.unwrap().write_all(FAULTS.as_bytes()).unwrap();
            let answer = fs::read_to_string(format!("{pipe}.out")).unwrap();
            assert_eq!(answer.trim(), "0", "{role}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_fail_now_and_then_lose_or_double_no_payment() {
    assert!(
        LIBRARIES.iter().all(|library| Path::new(library).exists()),
        "fiu-utils is missing; ./test --install gets what tests need"
    );
    let disks = FaultyDisks::new();
    let environment = vec![
        ("LD_PRELOAD", LIBRARIES.join(" ")),
        ("FIU_CTRL_FIFO", disks.pipes().display().to_string()),
    ];
    let installation = Installation::make(BINARY, None);
    let coffer = Coffer::up_in(BINARY, installation, environment).await;
    survive(coffer, Chance::new(seed()), vec![Victim::Faulty(&disks)]).await;
}
