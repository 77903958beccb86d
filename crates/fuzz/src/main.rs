//! One target under libFuzzer: the one that `COFFER_FUZZ_TARGET` names. `./test --fuzz` builds and runs it.

#![cfg_attr(coffer_fuzz, no_main)]

#[cfg(coffer_fuzz)]
mod fuzzer {
    use std::sync::OnceLock;

    use coffer_fuzz::{TARGETS, Target};
    use peak_alloc::PeakAlloc;

    #[global_allocator]
    static MEMORY: PeakAlloc = PeakAlloc;

    /// What an input may make a parser hold. A list says its length before its items, and serde reserves up to 1 MiB for it.
    const MEMORY_MAX: usize = 2 * 1024 * 1024;
    /// And for each of its bytes.
    const MEMORY_PER_BYTE: usize = 256;

    fn target() -> &'static Target {
        static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
        CHOSEN.get_or_init(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "the arguments are libFuzzer's own"
            )]
            let name = std::env::var("COFFER_FUZZ_TARGET").unwrap_or_default();
            let found = TARGETS.iter().find(|target| target.name == name);
            found.expect("COFFER_FUZZ_TARGET names no target")
        })
    }

    libfuzzer_sys::fuzz_target!(|data: &[u8]| {
        let run = target().run;
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        run(data);
        let held = MEMORY.peak_usage().saturating_sub(before);
        assert!(
            held <= MEMORY_MAX + data.len() * MEMORY_PER_BYTE,
            "{held} bytes were held"
        );
    });
}

#[cfg(not(coffer_fuzz))]
fn main() {
    use std::io::Write as _;
    let _ = writeln!(
        std::io::stderr(),
        "this is built for fuzzing by ./test --fuzz only"
    );
}
