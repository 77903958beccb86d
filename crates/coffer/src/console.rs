//! What the commands say to the person, or the program, at the other end of stdout and stderr. Logs go elsewhere.

use std::io::Write;

/// One line on stdout. A reader that went away is no reason to stop: the line is dropped.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Text on stdout as it is.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// One line on stderr.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "coffer: {line}");
}
