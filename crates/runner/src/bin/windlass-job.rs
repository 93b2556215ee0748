//! The hidden entries that a job needs of its binary: what this crate's tests use in place of `windlass`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|arg| arg.to_str()) {
        Some("sandbox-init") => ExitCode::from(windlass_runtime::init_main(args)),
        Some("job-tool") => ExitCode::from(windlass_runner::tool_main()),
        Some("job") => match (args.next(), std::env::current_exe()) {
            (Some(dir), Ok(exe)) => ExitCode::from(windlass_runner::unit::job_main(Path::new(&dir), &exe)),
            _ => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    }
}
