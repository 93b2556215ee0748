//! The command line's grammar: every command with its help, and who carries it out.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::connection::Global;
use crate::failure::{EXIT_CODES, Exit};
use crate::{
    account, approve, audit, bench, build, change, credential, deliver, demo, down, eval, except, image, key,
    lint, local, logs, project, registry, report, run, service, setting, status, up, vulndb,
};

const EXAMPLES: &str = "\
Examples:
  windlass run                       run this repository's workflows here, before the push
  windlass demo                      see the whole way from a push to production, on an empty directory
  windlass up                        start the platform on this machine
  windlass project remote            let this repository be pushed to it: git push windlass main
  windlass run watch RUN             follow a run";

/// From a git push to monitored production, in one program.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Doctor(status::Doctor),
    Demo(demo::Demo),
    #[command(subcommand)]
    Project(project::Project),
    Run(Box<local::Run>),
    RunList(run::List),
    #[command(subcommand)]
    Workflow(run::Workflow),
    #[command(subcommand)]
    Change(change::Change),
    #[command(subcommand)]
    Report(report::Report),
    Logs(logs::Logs),
    Deploy(deliver::Deploy),
    Rollback(deliver::Rollback),
    #[command(subcommand)]
    Release(deliver::Release),
    #[command(subcommand)]
    Env(deliver::Env),
    Approve(approve::Approve),
    #[command(subcommand)]
    Deployment(except::Deployment),
    #[command(subcommand)]
    Image(image::Image),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand, name = "vulndb")]
    VulnDb(vulndb::VulnDb),
    #[command(subcommand)]
    Service(service::Service),
    #[command(subcommand)]
    Registry(registry::Registry),
    #[command(subcommand)]
    Secret(setting::Secret),
    #[command(subcommand)]
    Variable(setting::Variable),
    #[command(subcommand)]
    Token(account::Token),
    #[command(subcommand)]
    User(account::User),
    #[command(subcommand)]
    Audit(audit::Audit),
    Build(Box<build::Build>),
    Lint(lint::Lint),
    Eval(eval::Eval),
    #[command(hide = true)]
    Credential(credential::Credential),
    #[command(hide = true)]
    Bench(bench::Bench),
}

/// Carries a command out.
pub(crate) async fn run(cli: Cli) -> Result<Exit> {
    let global = &cli.global;
    match cli.command {
        Command::Up(c) => up::run(global, c).await,
        Command::Down(c) => down::run(global, c).await,
        Command::Status(_) => status::status(global).await,
        Command::Doctor(_) => status::doctor(global).await,
        Command::Demo(c) => demo::run(global, c).await,
        Command::Project(c) => project::run(global, c).await,
        Command::Run(c) => match c.command {
            Some(command) => run::run(global, command).await,
            // It has a runtime of its own: see `main`.
            None => Ok(Exit::Done),
        },
        Command::RunList(c) => run::list(global, c).await,
        Command::Workflow(c) => run::workflow(global, c).await,
        Command::Change(c) => change::run(global, c).await,
        Command::Report(c) => report::run(global, c).await,
        Command::Logs(c) => logs::run(global, c).await,
        Command::Deploy(c) => deliver::deploy(global, c).await,
        Command::Rollback(c) => deliver::rollback(global, c).await,
        Command::Release(c) => deliver::release(global, c).await,
        Command::Env(c) => deliver::env(global, c).await,
        Command::Approve(c) => approve::run(global, c).await,
        Command::Deployment(c) => except::run(global, c).await,
        Command::Image(c) => image::run(global, c).await,
        Command::Key(c) => key::run(global, c).await,
        Command::VulnDb(c) => vulndb::run(global, c).await,
        Command::Service(c) => service::run(global, c).await,
        Command::Registry(c) => registry::run(global, c).await,
        Command::Secret(c) => setting::secret(global, c).await,
        Command::Variable(c) => setting::variable(global, c).await,
        Command::Token(c) => account::token(global, c).await,
        Command::User(c) => account::user(global, c).await,
        Command::Audit(c) => audit::run(global, c).await,
        Command::Build(c) => build::run(global, *c).await,
        Command::Lint(c) => lint::run(global, c),
        Command::Eval(c) => eval::run(global, c),
        Command::Credential(c) => credential::run(global, c),
        Command::Bench(c) => bench::run(c).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn each(command: &clap::Command, path: &str, check: &mut impl FnMut(&clap::Command, &str)) {
        for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            check(sub, &path);
            each(sub, &path, check);
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_argument_hides_one_that_every_command_has() {
        let all = Cli::command();
        let everywhere: Vec<_> =
            all.get_arguments().filter(|a| a.is_global_set()).map(|a| a.get_id().clone()).collect();
        assert!(!everywhere.is_empty());
        each(&all, "windlass", &mut |command, path| {
            for own in command.get_arguments().filter(|a| !a.is_global_set()) {
                assert!(
                    !everywhere.contains(own.get_id()),
                    "{path}: {} is taken for --{}",
                    own,
                    own.get_id()
                );
            }
        });
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        each(&Cli::command(), "windlass", &mut |command, path| {
            assert!(command.get_about().is_some(), "{path} says nothing of itself");
            if !command.has_subcommands() {
                let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(after.contains("windlass "), "{path} --help shows no example");
            }
        });
    }

    #[test]
    fn every_command_is_in_the_reference() {
        let reference = include_str!("../../../docs/reference/cli.md");
        each(&Cli::command(), "windlass", &mut |command, path| {
            if !command.has_subcommands() {
                assert!(reference.contains(&format!("`{path}")), "{path} is not in docs/reference/cli.md");
            }
        });
        assert!(reference.contains("| 5 |"), "the exit codes are not in the reference");
    }
}
