//! The init of sandboxes for this crate's tests: what ships is the `windlass` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "sandbox-init") {
        return ExitCode::from(windlass_runtime::init_main(args));
    }
    eprintln!("windlass-build-init is for the tests of windlass-build");
    ExitCode::from(2)
}
