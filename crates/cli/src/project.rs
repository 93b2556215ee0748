//! `windlass project`: repositories and how to push to them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use windlass_api::{CreateProject, ErrorCode, ProjectView};

use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Field};

/// Projects: list, make, show, and connect this repository
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Project {
    /// All projects
    #[command(after_help = "Example:\n  windlass project list")]
    List,
    /// Make an empty project (a first push makes one too)
    #[command(after_help = "Example:\n  windlass project create shop")]
    Create(Name),
    /// One project: where to clone it, its environments, its newest run
    #[command(after_help = "Example:\n  windlass project show tasks")]
    Show(Name),
    /// Add the git remote `windlass` to the repository here, with its credential
    #[command(after_help = "Examples:
  windlass project remote            the project is called like this folder
  windlass project remote shop       another name
  git push windlass main             then deliver")]
    Remote(Remote),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Name {
    /// The project's name: lower-case letters, digits, hyphens
    name: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// The project's name [default: this folder's name]
    name: Option<String>,
}

/// Carries a project command out.
pub(crate) async fn run(global: &Global, command: Project) -> Result<Exit> {
    match command {
        Project::List => list(global).await?,
        Project::Create(Name { name }) => {
            let view: ProjectView =
                global.client()?.post("/api/v1/projects", &CreateProject { name }).await?;
            tell(global, &view)?;
        }
        Project::Show(Name { name }) => {
            let view: ProjectView =
                global.client()?.get(&format!("/api/v1/projects/{}", part(&name))).await?;
            tell(global, &view)?;
        }
        Project::Remote(remote_args) => remote(global, remote_args).await?,
    }
    Ok(Exit::Done)
}

async fn list(global: &Global) -> Result<()> {
    let projects: Vec<ProjectView> = global.client()?.get("/api/v1/projects").await?;
    if global.json {
        return show::json(&projects);
    }
    let rows = projects.into_iter().map(|p| {
        let last = p.last_run.as_ref().map_or(Field::dim("no run yet"), |run| {
            let (mark, word, tone) = show::standing(run.state, run.conclusion);
            Field::toned(format!("{mark} {word}, {}", show::ago(run.created_at)), tone)
        });
        [p.name.into(), p.default_branch.into(), last, p.environments.join(" → ").into()]
    });
    show::table(
        ["name", "branch", "last run", "environments"],
        rows.collect(),
        "no project yet: `windlass project remote` and `git push windlass main` make one",
    )
}

fn tell(global: &Global, view: &ProjectView) -> Result<()> {
    if global.json {
        return show::json(view);
    }
    let line = |name: &str, text: String| show::print(&format!("{:<14}{}", name, show::clean(&text)));
    line("project", view.name.clone())?;
    line("branch", view.default_branch.clone())?;
    line("clone from", view.clone_url.clone())?;
    if !view.environments.is_empty() {
        line("environments", view.environments.join(" → "))?;
    }
    if let Some(run) = &view.last_run {
        let (mark, word, _) = show::standing(run.state, run.conclusion);
        line(
            "last run",
            format!("{mark} {word}: {} ({}, {})", run.title, run.id, show::ago(run.created_at)),
        )?;
    }
    if let Some(problem) = &view.manifest_problem {
        line("windlass.yml", problem.clone())?;
    }
    Ok(())
}

async fn remote(global: &Global, remote: Remote) -> Result<()> {
    let top = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"]).map_err(|_| {
        Failure::usage("there is no git repository here: go to one, or make one with `git init`")
    })?);
    let name = match remote.name {
        Some(name) => name,
        None => name_of(&top)?,
    };
    let client = global.client()?;
    let found = client.get::<ProjectView>(&format!("/api/v1/projects/{}", part(&name))).await;
    let (url, exists) = match found {
        Ok(view) => (view.clone_url, true),
        Err(e) if e.code() == Some(ErrorCode::NotFound) => (format!("{}/{name}.git", client.base()), false),
        Err(e) => return Err(e.into()),
    };
    match git(&top, &["remote", "get-url", "windlass"]) {
        Ok(_) => git(&top, &["remote", "set-url", "windlass", &url])?,
        Err(_) => git(&top, &["remote", "add", "windlass", &url])?,
    };
    // Only for this address, and instead of whatever helper the machine has: those would store the token.
    let key = format!("credential.{}.helper", client.base());
    git(&top, &["config", "--local", "--replace-all", &key, ""])?;
    git(&top, &["config", "--local", "--add", &key, &helper(global)?])?;
    if global.json {
        return show::json(
            &serde_json::json!({"remote": "windlass", "url": url, "project": name, "exists": exists}),
        );
    }
    show::print(&format!("remote `windlass` → {url}"))?;
    let branch = git(&top, &["symbolic-ref", "--short", "HEAD"]).unwrap_or_else(|_| "main".into());
    let note = if exists { "" } else { " (the first push makes the project)" };
    show::print(&format!("now: git push windlass {branch}{note}"))
}

/// The credential helper's command line; git gives it to a shell.
fn helper(global: &Global) -> Result<String> {
    let exe = std::env::current_exe().context("cannot find the windlass program itself")?;
    let data = std::path::absolute(global.data_path())?;
    Ok(format!("!{} credential --data {}", quoted(&exe)?, quoted(&data)?))
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A project's name after its folder's.
fn name_of(top: &Path) -> Result<String> {
    let folder = top.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let words: String = folder.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = words.split('-').filter(|w| !w.is_empty()).collect::<Vec<_>>().join("-");
    if name.is_empty() {
        return Err(Failure::usage(
            "this folder's name gives no project name: say one, as in `windlass project remote shop`",
        )
        .into());
    }
    Ok(name)
}

/// Runs git and gives its first line.
fn git(at: &Path, args: &[&str]) -> Result<String> {
    let done = Command::new("git").arg("-C").arg(at).args(args).output();
    let done = done.context("cannot run git: is it installed?")?;
    if !done.status.success() {
        bail!("git {}: {}", args.first().unwrap_or(&""), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_project_names() {
        for (folder, name) in [("/a/Shop", "shop"), ("/a/my_app v2", "my-app-v2"), ("/a/-x-", "x")] {
            assert_eq!(name_of(Path::new(folder)).unwrap(), name);
        }
        assert!(name_of(Path::new("/a/___")).is_err());
    }

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
