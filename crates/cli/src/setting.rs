//! `windlass secret` and `windlass variable`.

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_api::{SetSetting, SettingView};

use crate::ask;
use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::show::{self, Field};

/// Secrets of a project or an environment; values go in and never come out
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a secret; the value is asked for, or read from standard input
    #[command(after_help = "Examples:
  windlass secret set API_KEY --project tasks
  printf %s \"$KEY\" | windlass secret set API_KEY --project tasks --environment production")]
    Set(Which),
    /// The names of a project's secrets
    #[command(after_help = "Example:\n  windlass secret list --project tasks")]
    List(Of),
    /// Remove a secret
    #[command(after_help = "Example:\n  windlass secret rm API_KEY --project tasks")]
    Rm(Which),
}

/// Variables of a project or an environment
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Variable {
    /// Set a variable
    #[command(
        after_help = "Example:\n  windlass variable set LEVEL debug --project tasks --environment staging"
    )]
    Set(Valued),
    /// A project's variables
    #[command(after_help = "Example:\n  windlass variable list --project tasks")]
    List(Of),
    /// Remove a variable
    #[command(after_help = "Example:\n  windlass variable rm LEVEL --project tasks")]
    Rm(Which),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Which {
    /// Its name, such as API_KEY
    name: String,
    /// The project
    #[arg(long, short, value_name = "NAME")]
    project: String,
    /// Only for this environment [default: the whole project]
    #[arg(long, short, value_name = "NAME")]
    environment: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Valued {
    #[command(flatten)]
    which: Which,
    /// The value [default: asked for, or read from standard input]
    value: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Of {
    /// The project
    #[arg(long, short, value_name = "NAME")]
    project: String,
}

/// Carries a secret command out.
pub(crate) async fn secret(global: &Global, command: Secret) -> Result<Exit> {
    match command {
        Secret::Set(which) => {
            let value = ask::hidden(&format!("Value of {} (not shown): ", which.name)).await?;
            set(global, "secrets", &which, value).await
        }
        Secret::List(of) => list(global, "secrets", &of.project).await,
        Secret::Rm(which) => remove(global, "secrets", &which).await,
    }
}

/// Carries a variable command out.
pub(crate) async fn variable(global: &Global, command: Variable) -> Result<Exit> {
    match command {
        Variable::Set(Valued { which, value: Some(value) }) => set(global, "variables", &which, value).await,
        Variable::Set(Valued { which, value: None }) => {
            let value = ask::hidden(&format!("Value of {}: ", which.name)).await?;
            set(global, "variables", &which, value).await
        }
        Variable::List(of) => list(global, "variables", &of.project).await,
        Variable::Rm(which) => remove(global, "variables", &which).await,
    }
}

async fn set(global: &Global, kind: &str, which: &Which, value: String) -> Result<Exit> {
    let how =
        SetSetting { environment: which.environment.clone(), value: windlass_kernel::Secret::new(value) };
    let path = format!("/api/v1/projects/{}/{kind}/{}", part(&which.project), part(&which.name));
    let view: SettingView = global.client()?.put(&path, &how).await?;
    if global.json {
        show::json(&view)?;
    } else {
        let place = view.environment.as_deref().unwrap_or("the whole project");
        show::print(&format!("{} is set for {place} (version {})", view.name, view.version))?;
    }
    Ok(Exit::Done)
}

async fn list(global: &Global, kind: &str, project: &str) -> Result<Exit> {
    let list: Vec<SettingView> =
        global.client()?.get(&format!("/api/v1/projects/{}/{kind}", part(project))).await?;
    if global.json {
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows = list.into_iter().map(|s| {
        let value = s.value.map_or(Field::dim("***"), Field::from);
        let place = s.environment.map_or(Field::dim("all"), Field::from);
        [
            s.name.into(),
            value,
            place,
            s.version.to_string().into(),
            s.updated_by.into(),
            Field::dim(show::ago(s.updated_at)),
        ]
    });
    show::table(["name", "value", "environment", "version", "by", "when"], rows.collect(), "none yet")?;
    Ok(Exit::Done)
}

async fn remove(global: &Global, kind: &str, which: &Which) -> Result<Exit> {
    let query = which.environment.as_ref().map(|e| format!("?environment={}", part(e))).unwrap_or_default();
    let path = format!("/api/v1/projects/{}/{kind}/{}{query}", part(&which.project), part(&which.name));
    global.client()?.delete(&path).await?;
    if global.json {
        show::json(&serde_json::json!({"removed": which.name}))?;
    } else {
        show::print(&format!("{} is removed", which.name))?;
    }
    Ok(Exit::Done)
}
