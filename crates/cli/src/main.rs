//! The `windlass` binary: what people type, and the platform's own processes behind hidden subcommands.
//!
//! A module per group of commands; each turns arguments into calls of the API and shows the answers. Nothing is
//! decided here: what may be done, and what follows, is the server's.

mod account;
mod approve;
mod ask;
mod audit;
mod bench;
mod build;
mod change;
mod cli;
mod connection;
mod credential;
mod deliver;
mod demo;
mod down;
mod eval;
mod except;
mod failure;
mod image;
mod key;
mod lint;
mod live;
mod load;
mod local;
mod logs;
mod project;
mod registry;
mod report;
mod run;
mod service;
mod setting;
mod show;
mod status;
mod sweep;
mod tree;
mod up;
mod vulndb;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    // Before anything else: some of the hidden subcommands must not have started a thread yet.
    if let Some(code) = windlass_server::internal_main(&args) {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let cli = cli::Cli::parse();
    if let cli::Command::Run(run) = &cli.command
        && run.command.is_none()
    {
        return exit(local::main(&cli.global, &run.local));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("windlass: cannot start: {e}");
            return ExitCode::from(failure::Exit::Failed as u8);
        }
    };
    let outcome = runtime.block_on(cli::run(cli));
    // A question that nobody answers any more must not hold the process.
    runtime.shutdown_background();
    exit(outcome)
}

fn exit(outcome: anyhow::Result<failure::Exit>) -> ExitCode {
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("{} {error:#}", show::red_on_error("windlass:"));
            ExitCode::from(failure::exit_of(&error) as u8)
        }
    }
}
