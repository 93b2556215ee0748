//! `windlass service`: what runs.

use anyhow::Result;
use clap::Subcommand;
use windlass_api::{ServiceSummary, ServiceView};

use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Field, Tone};

/// Services: what runs, and how it is
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Service {
    /// All services, or those of a project
    #[command(after_help = "Examples:\n  windlass service list\n  windlass service list tasks")]
    List {
        /// Only this project's
        project: Option<String>,
    },
    /// One service: its instances and their health
    #[command(after_help = "Example:\n  windlass service show tasks/production/tasks")]
    Show {
        /// PROJECT/ENVIRONMENT/SERVICE
        service: String,
    },
}

/// Carries a service command out.
pub(crate) async fn run(global: &Global, command: Service) -> Result<Exit> {
    match command {
        Service::List { project } => list(global, project).await?,
        Service::Show { service } => one(global, &service).await?,
    }
    Ok(Exit::Done)
}

async fn list(global: &Global, project: Option<String>) -> Result<()> {
    let path = match &project {
        Some(project) => format!("/api/v1/projects/{}/services", part(project)),
        None => "/api/v1/services".to_owned(),
    };
    let list: Vec<ServiceSummary> = global.client()?.get(&path).await?;
    if global.json {
        return show::json(&list);
    }
    let rows = list.into_iter().map(|s| {
        let tone = if s.healthy >= s.wanted { Tone::Good } else { Tone::Bad };
        [
            format!("{}/{}/{}", s.project, s.environment, s.name).into(),
            Field::toned(format!("{}/{}", s.healthy, s.wanted), tone),
            s.url.unwrap_or_default().into(),
            Field::dim(s.image.map(|i| show::short_digest(&i)).unwrap_or_default()),
        ]
    });
    show::table(["service", "healthy", "address", "image"], rows.collect(), "nothing runs yet")
}

async fn one(global: &Global, name: &str) -> Result<()> {
    let parts: Vec<String> = name.split('/').map(part).collect();
    let [project, environment, service] = &parts[..] else {
        return Err(Failure::usage(format!("`{name}` is not PROJECT/ENVIRONMENT/SERVICE")).into());
    };
    let path = format!("/api/v1/projects/{project}/environments/{environment}/services/{service}");
    let view: ServiceView = global.client()?.get(&path).await?;
    if global.json {
        return show::json(&view);
    }
    let line = |name: &str, text: &str| show::print(&format!("{:<10}{}", name, show::clean(text)));
    line("service", name)?;
    line("address", view.summary.url.as_deref().unwrap_or("not through the gateway"))?;
    line("image", view.summary.image.as_deref().unwrap_or("none yet"))?;
    line("health", &view.health)?;
    if let Some(release) = &view.release {
        line("release", &format!("{} ({}) {}", release.number, show::short(&release.sha), release.title))?;
    }
    show::print("")?;
    let rows = view.instances.into_iter().map(|i| {
        let tone = match i.state.as_str() {
            "healthy" => Tone::Good,
            "unhealthy" | "exited" => Tone::Bad,
            "warm" => Tone::Dim,
            _ => Tone::Busy,
        };
        let cpu = i.cpu_millis.map(|c| format!("{c} m")).unwrap_or_default();
        let memory = i.memory_bytes.map(|b| format!("{} MB", b / 1_000_000)).unwrap_or_default();
        [
            i.id.into(),
            Field::toned(i.state, tone),
            if i.routed { "yes" } else { "no" }.into(),
            i.address.into(),
            show::ago(i.started_at).into(),
            i.restarts.to_string().into(),
            cpu.into(),
            memory.into(),
            Field::dim(i.last_health.unwrap_or_default()),
        ]
    });
    let headers =
        ["instance", "state", "traffic", "address", "started", "restarts", "cpu", "memory", "last health"];
    show::table(headers, rows.collect(), "no instance")
}
