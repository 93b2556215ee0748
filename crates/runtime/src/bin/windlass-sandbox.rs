//! The two hidden entries of this crate, and a measurement: what its tests use in place of the `windlass` binary.

use std::path::Path;
use std::process::ExitCode;

use windlass_runtime::{Linux, Runtime as _, RuntimeConfig, measure_start};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|arg| arg.to_str()) {
        Some("sandbox-init") => ExitCode::from(windlass_runtime::init_main(args)),
        Some("shim") => match args.next() {
            Some(dir) => ExitCode::from(windlass_runtime::shim_main(Path::new(&dir))),
            None => ExitCode::from(2),
        },
        Some("hold") => {
            std::thread::sleep(std::time::Duration::from_mins(10));
            ExitCode::SUCCESS
        }
        Some("measure") => measure(args.next().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(20)),
        _ => ExitCode::from(2),
    }
}

/// Prints how long sandboxes of the level in force take to start and to end.
fn measure(count: usize) -> ExitCode {
    let root = std::env::current_dir().map(|dir| dir.join("windlass-measure")).unwrap_or_default();
    let measured = tokio::runtime::Runtime::new().map(|runtime| {
        runtime.block_on(async {
            let exe = std::env::current_exe().unwrap_or_default();
            let linux = Linux::open(RuntimeConfig::new(exe, &root)?).await?;
            println!("level {}", linux.capabilities().level);
            linux.capabilities().why.iter().for_each(|sentence| println!("  {sentence}"));
            measure_start(&linux, &root, count).await
        })
    });
    let _ = std::fs::remove_dir_all(&root);
    match measured {
        Ok(Ok(mut times)) => {
            times.sort();
            for (ran, cleaned) in
                [times.first(), times.get(times.len() / 2), times.last()].into_iter().flatten()
            {
                println!("ran after {ran:?}, cleaned up after {cleaned:?}");
            }
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
