//! How the program is linked.

use std::{env, process::Command};

/// The first release of the GNU C library that starts programs whose relocations are packed.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Every process reads at its start what has to be relocated in it, and keeps that: a megabyte, or packed next to nothing.
    if libc() >= Some(PACKED_SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the GNU C library, where the program is made for the machine that it is made on.
#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells build scripts by the environment what they build for"
)]
fn libc() -> Option<(u32, u32)> {
    if env::var("TARGET") != env::var("HOST") {
        return None;
    }
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = String::from_utf8(said.ok()?.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
