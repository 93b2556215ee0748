//! `cargo xtask`: the one entrance for a developer's chores. Plain programs, no shell.

mod bench;
mod deny;
mod fuzz;
mod steps;
mod tests;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  ci              formatting, lints, tidy, dependencies, all tests: what .ci/run runs
  test [FILTER]   unit, contract and end-to-end tests; ends with `N passed, N failed, N skipped`
  e2e [FILTER]    only the end-to-end tests (real git, real processes)
  tidy            the repository's rules: crate arrows, the pure heart, sizes, names
  deny            licences, sources and bans of the dependencies
  bench NAME      sandbox | engine | local | switch | idle | push-to-live | tasks | all; writes docs/benchmarks.md with --write
  fuzz [NAME…] [--seconds N] [--keep]
                  parsers of outside text, on changed inputs (60 s each); --keep adds what went new ways to fuzz/NAME
  update          regenerates committed files (OpenAPI, schemas, expectations)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("ci") => steps::ci(),
        Some("test") => tests::all(rest),
        Some("e2e") => tests::end_to_end(rest),
        Some("tidy") => tidy::run(),
        Some("deny") => deny::run(),
        Some("bench") => bench::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("update") => steps::update(),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies below the root").to_owned()
}
