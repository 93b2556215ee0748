//! `apps/tasks`, delivered to production on a platform of its own: where the figures of delivery begin.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::demo::{App, Author, Place, Repository, Shipped, Stage, ship};
use crate::load::Target;

/// A platform with the application in production.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) stage: Stage,
    pub(crate) app: App,
    pub(crate) folder: PathBuf,
    repository: Repository,
}

impl Delivered {
    /// Starts a platform and delivers the first version.
    pub(crate) async fn new() -> Result<Self> {
        let app = App::find(None)?;
        let stage = Stage::start(Place::new(None)?, crate::up::default_slots()).await?;
        match Self::first(&stage, &app).await {
            Ok((repository, folder)) => Ok(Self { stage, app, folder, repository }),
            Err(error) => {
                stage.stop().await?;
                Err(error)
            }
        }
    }

    async fn first(stage: &Stage, app: &App) -> Result<(Repository, PathBuf)> {
        let author = Author::new(stage, "tasks").await?;
        let folder = stage.place().folder("work")?;
        app.copy_to(&folder)?;
        let repository = Repository::make(&folder, &stage.git_url("tasks"), author.token()).await?;
        well(ship(stage, &repository, "first version", "The first version", false).await?)?;
        Ok((repository, folder))
    }

    /// Delivers what the folder holds now.
    pub(crate) async fn deliver(&self, message: &str) -> Result<Shipped> {
        well(ship(&self.stage, &self.repository, message, message, false).await?)
    }

    /// Where production is reached.
    pub(crate) async fn target(&self) -> Result<Target> {
        match self.stage.service_url("tasks", "production").await? {
            Some(url) => Target::of(&url, self.stage.gateway()),
            None => bail!("production has no address"),
        }
    }
}

fn well(shipped: Shipped) -> Result<Shipped> {
    if shipped.live() { Ok(shipped) } else { bail!("{}", shipped.outcome()) }
}
