//! A role's memory, as a core file would show it to whoever got one.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::Coffer;

/// Memory is read in pieces of this size; those that are all zero are left out.
const PAGE: usize = 4096;
const ZEROS: [u8; PAGE] = [0; PAGE];

impl Coffer {
    /// Everything that a core file of this role's process would hold: what it can write, and what no file is behind.
    ///
    /// # Errors
    /// When the kernel does not let this user: it lets only root.
    ///
    /// # Panics
    /// When the role does not run.
    pub fn memory(&self, role: &str) -> io::Result<Vec<u8>> {
        let pid = self.pid(role);
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let mut memory = File::open(format!("/proc/{pid}/mem"))?;
        let (mut all, mut page) = (Vec::new(), ZEROS);
        for (start, end) in maps.lines().filter_map(of_a_core) {
            memory.seek(SeekFrom::Start(start))?;
            // Some mappings (of the kernel's) cannot be read, and a process may give some back meanwhile.
            for _ in (start..end).step_by(PAGE) {
                if memory.read_exact(&mut page).is_err() {
                    break;
                }
                if page != ZEROS {
                    all.extend_from_slice(&page);
                }
            }
        }
        Ok(all)
    }

    /// Lets a role's process crash, after root, if this is root, has allowed it a core file of any
    /// size; how it ended, in the supervisor's words.
    ///
    /// # Panics
    /// When the role does not serve again.
    pub async fn crash(&mut self, role: &str) -> String {
        let pid = Pid::from_raw(i32::try_from(self.pid(role)).unwrap()).unwrap();
        let any = Rlimit {
            current: None,
            maximum: None,
        };
        // In a container root itself may not have the right.
        let _ = prlimit(Some(pid), Resource::Core, any);
        kill_process(pid, Signal::ABORT).unwrap();
        let ended = self.until("ended", Some(role)).await;
        self.until("ready", Some(role)).await;
        ended["status"].as_str().unwrap().to_owned()
    }
}

/// The range of a mapping that a core file holds.
fn of_a_core(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (range, access) = (words.next()?, words.next()?);
    let is_of_no_file = words.nth(2)? == "0";
    let in_core = access.starts_with("rw") || (access.starts_with('r') && is_of_no_file);
    if !in_core {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some((hex(start)?, hex(end)?))
}
