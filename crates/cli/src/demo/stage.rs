//! Where the demo plays: a data directory, the platform on it, and the way to leave nothing behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use windlass_api::{Client, EnvironmentView};
use windlass_kernel::Secret;
use windlass_server::{DataDir, Endpoint, Supervisor, UpOptions};

use crate::connection::part;
use crate::sweep::{self, Whose};
use crate::up;

/// The folders of a demo: the data directory, kept or not, and what is removed in any case.
#[derive(Debug)]
pub(crate) struct Place {
    data: PathBuf,
    kept: bool,
    temp: TempDir,
}

impl Place {
    /// With this data directory, or a temporary one.
    pub(crate) fn new(data: Option<&Path>) -> Result<Self> {
        let temp = tempfile::Builder::new()
            .prefix("windlass-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let kept = data.is_some();
        let data = data.map_or_else(|| temp.path().join("data"), Path::to_owned);
        Ok(Self { data: std::path::absolute(data)?, kept, temp })
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A new folder that goes when the demo ends.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.temp.path().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Removes what is not to be kept, and says what became of it.
    fn remove(self) -> String {
        let path = self.temp.keep();
        sweep::remove(&path);
        let data = self.data.display();
        match (self.kept, path.exists()) {
            (_, true) => format!("stopped; {} could not be removed whole", path.display()),
            (true, false) => format!("stopped; the data directory is kept: windlass up --data {data}"),
            (false, false) => "stopped, and nothing is left behind".to_owned(),
        }
    }
}

/// A platform that runs for the demo only.
#[derive(Debug)]
pub(crate) struct Stage {
    place: Place,
    data: DataDir,
    endpoint: Endpoint,
    owner: Client,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<()>>,
}

/// How long the roles may take to answer, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

impl Stage {
    /// Starts the platform on free ports.
    pub(crate) async fn start(place: Place, slots: u32) -> Result<Self> {
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let options = UpOptions {
            data: place.data.clone(),
            listen: any,
            gateway: any,
            slots,
            docker: None,
            blobs: None,
        };
        let supervisor = Supervisor::prepare(&options)?;
        let endpoint = supervisor.endpoint().clone();
        let data = DataDir::open(&place.data)?;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(supervisor.run(async move {
            let _ = stopped.await;
        }));
        let owner = Client::new(&endpoint.url, None);
        let mut stage = Self { place, data, endpoint, owner, stop: Some(stop), running };
        if let Err(e) = stage.connect().await {
            let log = std::fs::read_to_string(stage.data.path("logs/control.log")).unwrap_or_default();
            let said: Vec<&str> = log.lines().rev().take(10).collect();
            let said = said.into_iter().rev().collect::<Vec<_>>().join("\n  ");
            stage.stop().await?;
            return Err(e.context(format!("the platform does not start:\n  {said}\n")));
        }
        Ok(stage)
    }

    async fn connect(&mut self) -> Result<()> {
        up::healthy(&self.endpoint.url, PATIENCE).await?;
        self.owner = Client::new(&self.endpoint.url, Some(Secret::new(self.data.local_token()?)));
        let begin = tokio::time::Instant::now();
        loop {
            let status: windlass_api::Status = self.owner.get("/api/v1/status").await?;
            let silent: Vec<_> = status.roles.iter().filter(|r| !r.healthy).map(|r| r.name.clone()).collect();
            if silent.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} does not answer", silent.join(", "));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The client of the owner of the machine: an administrator.
    pub(crate) fn owner(&self) -> &Client {
        &self.owner
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &DataDir {
        &self.data
    }

    /// The folders.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// A page's address.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint.url)
    }

    /// A project's address for git.
    pub(crate) fn git_url(&self, project: &str) -> String {
        self.page(&format!("/{project}.git"))
    }

    /// Where services are reached.
    pub(crate) fn gateway(&self) -> &str {
        &self.endpoint.gateway_url
    }

    /// The environments of a project.
    pub(crate) async fn environments(&self, project: &str) -> Result<Vec<EnvironmentView>> {
        Ok(self.owner.get(&format!("/api/v1/projects/{}/environments", part(project))).await?)
    }

    /// The address of the first service with a route in an environment.
    pub(crate) async fn service_url(&self, project: &str, environment: &str) -> Result<Option<String>> {
        let all = self.environments(project).await?;
        let found = all.iter().find(|e| e.name == environment);
        Ok(found.and_then(|e| e.services.iter().find_map(|s| s.url.clone())))
    }

    /// Stops every process and removes what is not to be kept; says what became of it.
    pub(crate) async fn stop(mut self) -> Result<String> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        let jobs = windlass_server::end_jobs(&self.data).await;
        let instances = windlass_server::stop_instances(&self.data).await;
        // Whatever did not end by that.
        let whose = if self.place.kept { Whose::Own } else { Whose::All };
        let swept = sweep::processes(&self.data, whose).await;
        let told = self.place.remove();
        ended.context("the platform did not stop in time")?.context("the supervisor broke off")??;
        jobs?;
        instances.context("the services could not be stopped")?;
        if swept.is_empty() {
            return Ok(told);
        }
        Ok(format!("{told}\n(ended by force: {})", swept.join(", ")))
    }
}
