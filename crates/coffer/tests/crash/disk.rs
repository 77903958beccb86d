//! A role's disk is full under load: nothing is acknowledged that is not stored, clients are told to come again, and work
//! goes on by itself when there is room.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use coffer_testkit::{Chance, Coffer, Installation, eventually};

use axum::http::Method;
use serde_json::{Value, json};

use crate::{BINARY, STILL_MAX, Victim, load::Journal, seed, survive};

/// Room for a day of tests, so that only the filler fills it.
const SIZE: &str = "size=64m,mode=0700";
const FILLER: &str = "filler";
const PIECE: [u8; 4096] = [0xff; 4096];
/// So many payments do not fit into what the write-ahead log already has of the disk.
const ORDERS_MAX: u32 = 2_000;
/// How many requests are refused before there is room again.
const REFUSALS: u64 = 50;
/// The longest until a role notices that it can store again.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A role's directory on a file system of its own, in memory; taken away when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    role: &'static str,
    directory: PathBuf,
}

impl SmallDisk {
    /// Moves the role's files to a new file system; none where this user may not mount one.
    fn mount(installation: &Installation, role: &'static str) -> Option<Self> {
        let directory = installation.directory().join(role);
        let aside = installation.directory().join(format!("{role}.aside"));
        fs::rename(&directory, &aside).unwrap();
        fs::create_dir(&directory).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "coffer-test"]);
        let mounted = mount
            .arg(&directory)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            fs::remove_dir(&directory).unwrap();
            fs::rename(&aside, &directory).unwrap();
            return None;
        }
        // Was made on a larger disk, if at all.
        let _ = fs::remove_file(aside.join(role).with_extension("reserve"));
        for file in fs::read_dir(&aside).unwrap() {
            let file = file.unwrap();
            // With its mode.
            fs::copy(file.path(), directory.join(file.file_name())).unwrap();
        }
        fs::remove_dir_all(aside).unwrap();
        Some(Self { role, directory })
    }

    fn filler(&self) -> PathBuf {
        self.directory.join(FILLER)
    }

    fn reserve(&self) -> PathBuf {
        self.directory.join(self.role).with_extension("reserve")
    }

    /// Until nothing more can be written.
    fn fill(&self) {
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler());
        let mut file = file.unwrap();
        while file.write_all(&PIECE).is_ok() {}
        while file.write_all(&PIECE[..1]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Processes may still have files open on it.
        let place: &Path = &self.directory;
        let _ = Command::new("umount").arg("--lazy").arg(place).status();
        // The installation could not take away what was mounted upon.
        let _ = place.parent().map(fs::remove_dir_all);
    }
}

/// The disk is full until clients have been told to come again, and then some.
pub(crate) async fn fill(coffer: &Coffer, disk: &SmallDisk, journal: &Journal) {
    let refusals = journal.refusals() + REFUSALS;
    let refused = async || {
        // What the role gives back meanwhile is filled as well.
        disk.fill();
        (journal.refusals() >= refusals).then_some(())
    };
    eventually(STILL_MAX, "clients are told to come again", refused).await;
    // What still fits, the role's own probe for one, may be stored in between.
    let says_so = async || {
        disk.fill();
        (!coffer.is_ready(disk.role).await).then_some(())
    };
    eventually(READY_WITHIN, "the role says that it cannot store", says_so).await;
    stays_unready(coffer, disk, journal).await;
    assert!(!disk.reserve().exists(), "the reserve was given back");
    fs::remove_file(disk.filler()).unwrap();
    let ready = async || coffer.is_ready(disk.role).await.then_some(());
    eventually(READY_WITHIN, "the role stores again", ready).await;
    let made = async || disk.reserve().exists().then_some(());
    eventually(READY_WITHIN, "the reserve is made again", made).await;
    told(coffer, disk.role).await;
}

/// It does not say that it is ready because something small still fitted in.
async fn stays_unready(coffer: &Coffer, disk: &SmallDisk, journal: &Journal) {
    let refusals = journal.refusals() + REFUSALS;
    let refused = async || {
        assert!(!coffer.is_ready(disk.role).await, "{}", disk.role);
        (journal.refusals() >= refusals).then_some(())
    };
    eventually(STILL_MAX, "clients are told to come again", refused).await;
}

/// The operator is.
async fn told(coffer: &Coffer, role: &str) {
    let admin = coffer.admin("api");
    let about = format!("{role}: the disk under its store was full");
    let is_about = |alert: &Value| alert["subject"] == about;
    let alert = async || {
        let alerts = admin.call("/alerts", Method::GET, None).await.ok()?;
        let mut alerts = alerts.as_array()?.iter();
        alerts
            .any(|alert| alert["kind"] == "disk_full" && is_about(alert))
            .then_some(())
    };
    eventually(READY_WITHIN, "an alert says that the disk was full", alert).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_gets_its_reserve_back_before_anybody_is_refused() {
    let installation = Installation::make(BINARY, None);
    let Some(disk) = SmallDisk::mount(&installation, "api") else {
        println!("skipped: this user may not mount a file system; run it as root");
        return;
    };
    let coffer = Coffer::up(BINARY, installation).await;
    let shop = coffer.merchant().await;
    assert!(disk.reserve().exists());
    disk.fill();
    for order in 0..ORDERS_MAX {
        let body =
            json!({"amount": 1_000 + order, "currency": "EUR", "token": "tok_test_approved"});
        let paid = shop.post("/v1/payments", &body).await;
        assert_eq!(paid.status, 201, "{}", paid.text);
        if !disk.reserve().exists() {
            assert!(coffer.is_ready("api").await);
            told(&coffer, "api").await;
            return;
        }
    }
    panic!("{ORDERS_MAX} payments fitted into a full disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_or_doubles_no_payment_and_needs_nobody_to_recover() {
    let installation = Installation::make(BINARY, None);
    let mut disks = Vec::new();
    for role in ["api", "vault", "keys"] {
        let Some(disk) = SmallDisk::mount(&installation, role) else {
            println!("skipped: this user may not mount a file system; run it as root");
            return;
        };
        disks.push(disk);
    }
    let coffer = Coffer::up(BINARY, installation).await;
    let victims = disks.iter().map(Victim::Full).collect();
    survive(coffer, Chance::new(seed()), victims).await;
}
