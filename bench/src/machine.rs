//! The machine: its cores, what its processes cost, how fast its disk is, and what it calls itself.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{Seek as _, Write as _},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::{
    param::clock_ticks_per_second,
    process::{Signal, kill_process},
    thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity},
};

/// The core of a pinned server.
const SERVER_CORE: usize = 0;
/// The core of the load on a pinned server.
const LOAD_CORE: usize = 1;

/// On which cores something runs. What is started inherits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The one that a pinned server has for itself.
    Server,
    /// The one that the load has for itself.
    Load,
    /// Any of these two.
    Both,
}

impl Cores {
    fn set(self) -> CpuSet {
        let mut set = CpuSet::new();
        if self != Self::Load {
            set.set(SERVER_CORE);
        }
        if self != Self::Server {
            set.set(LOAD_CORE);
        }
        set
    }
}

/// Pins this thread, which is the load, and what it starts from now on.
pub(crate) fn pin(cores: Cores) {
    sched_setaffinity(None, &cores.set()).expect("pinning this thread");
}

/// Does something, such as starting a process, on these cores.
pub(crate) fn on<T>(cores: Cores, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("the cores of this thread");
    pin(cores);
    let done = work();
    sched_setaffinity(None, &before).expect("pinning this thread");
    done
}

/// A process that is measured, with all the processes that it started.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// What it is called in the tables.
    pub(crate) name: &'static str,
    pid: u32,
    /// Whether the processes that it started count too.
    with_children: bool,
}

impl Watched {
    /// One process.
    pub(crate) const fn alone(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            with_children: false,
        }
    }

    /// This process, when the engine is called in it.
    pub(crate) fn this() -> Self {
        Self::alone("engine", std::process::id())
    }

    /// A process and those that it started.
    pub(crate) const fn tree(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            with_children: true,
        }
    }

    fn pids(&self) -> Vec<u32> {
        let mut found = vec![self.pid];
        if !self.with_children {
            return found;
        }
        let parents = parents();
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(
                parents
                    .iter()
                    .filter(|(_, of)| **of == parent)
                    .map(|(pid, _)| *pid),
            );
            next += 1;
        }
        found
    }

    /// User and system time so far. Processes that have ended are in what their parent has waited for.
    pub(crate) fn cpu(&self) -> Duration {
        // utime and stime; cutime and cstime are those of children that have ended.
        let places = if self.with_children { 11..=14 } else { 11..=12 };
        let pids = self.pids().into_iter();
        let of = |pid| places.clone().filter_map(move |place| stat(pid, place));
        let ticks: u64 = pids.flat_map(of).sum();
        Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
    }

    /// Ends it, in order.
    pub(crate) fn end(&self) {
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Resident memory, and the share of it when pages of several processes are divided among them, in bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let sum = |name: &str| self.pids().into_iter().map(|pid| rollup(pid, name)).sum();
        (sum("Rss:"), sum("Pss:"))
    }
}

/// Who started each process.
fn parents() -> BTreeMap<u32, u32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid, 1)?.try_into().ok()?)))
        .collect()
}

/// A number of `/proc/PID/stat` by its place after the command's name (proc(5): the state is at 0, utime at 11).
fn stat(pid: u32, place: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(place)?.parse().ok()
}

fn rollup(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// How long the disk takes to make one small write durable: the median over some, in the folder where the stores are.
pub(crate) fn fsync_time() -> Duration {
    const TIMES: usize = 64;
    let mut file = tempfile::tempfile().expect("a temporary file");
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            file.rewind().expect("a file");
            file.write_all(&[7; 4096]).expect("a write");
            let began = Instant::now();
            file.sync_data().expect("fsync");
            began.elapsed()
        })
        .collect();
    took.sort();
    took[TIMES / 2]
}

/// What stands at the head of the document.
pub(crate) fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches(['\t', ':', ' ']));
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or_default() as f64 / f64::from(1 << 20);
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let system = system.unwrap_or("unknown").trim_matches('"');
    let mut text = format!(
        "{model}, {cores} cores, {gib:.0} GiB; {system}, {}",
        said("uname", &["-sr"])
    );
    for (program, arguments, words) in [
        ("nginx", &["-v"][..], 2),
        ("haproxy", &["-v"], 2),
        ("rustc", &["--version"], 1),
    ] {
        let _ = write!(text, "; {}", version(program, arguments, words));
    }
    text
}

/// A program's name and version, from the line that it says.
fn version(program: &str, arguments: &[&str], place: usize) -> String {
    let line = said(program, arguments);
    let word = line
        .split_whitespace()
        .nth(place)
        .unwrap_or("not installed");
    format!("{program} {}", word.trim_start_matches("nginx/"))
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.map(|output| [output.stdout, output.stderr].concat());
    let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Whether a folder's files are in memory: then no commit rate says anything.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|found| found.f_type as u64 == TMPFS)
}
