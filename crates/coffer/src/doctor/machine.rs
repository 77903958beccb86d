//! The machine: its clock and its kernel.

use std::fs;

use super::{Finding, Findings, code::Code, sight::Sight};
use crate::{backup::Notes, sandbox};

/// How far two readings of one clock may be apart, and how far a clock may be behind, before it is said.
const CLOCK_MAX_MS: i64 = 2_000;
/// Connections that may wait to be accepted.
const BACKLOG_MIN: u64 = 1024;

/// Nothing may have been made later than now, and every process must have the same time.
pub(super) fn clock(sight: &Sight) -> Findings {
    let mut found = Vec::new();
    let mend = "set this machine's clock, and keep it with chrony or systemd-timesyncd";
    for seen in sight.open_roles() {
        let role = seen.role;
        let notes = Notes::of(&sight.directory, role).unwrap_or_default();
        let store = fs::metadata(sight.directory.database(role)).and_then(|found| found.modified());
        let written = store.ok().and_then(|time| {
            let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_millis()).ok()
        });
        let backup = notes.made.map(coffer_core::Timestamp::as_millis);
        for (what, ms) in [
            ("its store was written", written),
            ("its last backup was made", backup),
        ] {
            let ahead = ms.map_or(0, |ms| ms.saturating_sub(sight.now.as_millis()));
            if ahead > CLOCK_MAX_MS {
                let what = format!("{what} {} s later than now", ahead.div_euclid(1000));
                found.push(Finding::of(Code::ClockBehind, what, mend).at(role));
            }
        }
        let differs = seen.process.as_ref().map_or(0, |about| {
            about.now_ms.saturating_sub(sight.now.as_millis()).abs()
        });
        if differs > CLOCK_MAX_MS {
            let what = format!("its process has another time, by {differs} ms");
            found.push(Finding::of(Code::ClockDiffers, what, mend).at(role));
        }
    }
    found
}

/// What the kernel gives to hold processes, and what it may write to disk.
pub(super) fn kernel(_sight: &Sight) -> Findings {
    let mut found = Vec::new();
    let landlock = sandbox::landlock_here();
    if landlock != "on" {
        found.push(Finding::of(
            Code::KernelWeak,
            format!("Landlock is {landlock}"),
            "run a kernel of 6.12 or newer, with landlock among lsm= on its command line",
        ));
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        found.push(Finding::of(
            Code::SwapOn,
            "there is swap space",
            "swapoff -a, or encrypt it; the units of coffer init --print-systemd keep the roles out of it",
        ));
    }
    let backlog = fs::read_to_string("/proc/sys/net/core/somaxconn");
    let backlog = backlog
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    if backlog.is_some_and(|backlog| backlog < BACKLOG_MIN) {
        found.push(Finding::of(
            Code::BacklogLow,
            format!("net.core.somaxconn is {}", backlog.unwrap_or_default()),
            format!("sysctl -w net.core.somaxconn={BACKLOG_MIN}"),
        ));
    }
    found
}
