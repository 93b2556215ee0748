//! Images of this machine, in its store or in files, which no server knows: looked into here, as control does it with those of its registry.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context as _, Result};
use serde_json::Value;
use windlass_api::{ImageDiff, ImageEvidence, Vulnerabilities};
use windlass_build::{ImageName, Store, Taken};
use windlass_evidence::{
    Contents, Database, Layer, Layers, Limits, Subject, VulnReport, check, cyclonedx, sarif, scan, spdx,
};
use windlass_kernel::{Clock as _, SystemClock};
use windlass_server::{leak_told, vulnerabilities_told};

use super::files::{Filed, Place};
use crate::connection::Global;
use crate::failure::{Exit, Failure, exit_of};

/// What answers are called that speak of such an image.
const WORDS: &str = "image of this machine";
const IN_FILES: &str = "image in files of this machine";

/// An image of this machine, looked into.
pub(super) struct Own {
    /// Its name with its tag.
    name: String,
    id: windlass_kernel::Digest,
    repository: String,
    created: Option<String>,
    contents: Contents,
    database: Database,
    words: &'static str,
}

/// Layers that lie in files.
struct InFiles {
    taken: Taken,
    layers: Vec<Layer>,
}

impl Layers for InFiles {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.taken.layers[index])?))
    }
}

/// The server's answer about an image; where no server was named, and none runs or it has no such image, the image that
/// this machine has under that name.
pub(super) async fn answer<T>(
    global: &Global,
    image: &str,
    asked: impl Future<Output = Result<T>>,
) -> Result<Result<T, Own>> {
    if let Some(place) = Place::parse(image) {
        return Ok(Err(filed(global, image, place).await?));
    }
    let why = match asked.await {
        Ok(answer) => return Ok(Ok(answer)),
        Err(why) => why,
    };
    if global.url.is_some() || !matches!(exit_of(&why), Exit::NotFound | Exit::Unreachable) {
        return Err(why);
    }
    match find(global, image).await? {
        Some(own) => Ok(Err(own)),
        None => {
            let known =
                format!("`{image}` is none of this machine's images (`windlass image list`); beyond those");
            Err(why.context(known))
        }
    }
}

async fn find(global: &Global, image: &str) -> Result<Option<Own>> {
    let Ok(name) = image.parse::<ImageName>() else { return Ok(None) };
    // Where nobody has built anything, nothing is made.
    if !Store::usual().join("images").is_dir() {
        return Ok(None);
    }
    let builder = crate::build::open().await?;
    let Some(local) = builder.store().image(&name) else { return Ok(None) };
    let taken = builder.take(&local).await.with_context(|| format!("taking {image} out of the store"))?;
    let (id, created) = (taken.id.clone(), taken.config.created.clone());
    let layers = taken.manifest.layers.iter();
    let layers =
        layers.map(|l| Layer { digest: l.digest.clone(), media_type: l.media_type.clone() }).collect();
    let files = InFiles { taken, layers };
    let contents = tokio::task::spawn_blocking(move || scan(&files, Limits::default())).await?;
    Ok(Some(Own {
        contents: contents.with_context(|| format!("{image} cannot be looked into"))?,
        name: local.name,
        id,
        repository: name.repository.to_string(),
        created,
        database: database(global)?,
        words: WORDS,
    }))
}

fn database(global: &Global) -> Result<Database> {
    Ok(Database::at(&global.data_path().join("vulndb"), crate::vulndb::fresh()?))
}

/// An image in files, looked into.
async fn filed(global: &Global, name: &str, place: Place) -> Result<Own> {
    let looked = tokio::task::spawn_blocking(move || -> Result<(Filed, Contents)> {
        let filed = place.open()?;
        let contents = scan(&filed, Limits::default())?;
        Ok((filed, contents))
    });
    let (filed, contents) = looked.await?.with_context(|| format!("{name} cannot be looked into"))?;
    Ok(Own {
        contents,
        name: name.to_owned(),
        id: filed.digest,
        repository: name.to_owned(),
        created: filed.created,
        database: database(global)?,
        words: IN_FILES,
    })
}

/// What differs between two images, if both lie in files; none if both are a server's.
pub(super) async fn difference(global: &Global, from: &str, to: &str) -> Result<Option<ImageDiff>> {
    let (one, other) = match (Place::parse(from), Place::parse(to)) {
        (None, None) => return Ok(None),
        (Some(one), Some(other)) => (filed(global, from, one).await?, filed(global, to, other).await?),
        _ => {
            let why = "one of the images lies in files and the other is a server's: save that one first (`skopeo copy`)";
            return Err(Failure::usage(why).into());
        }
    };
    let (before, after) = (one.report(), other.report());
    Ok(Some(windlass_server::difference(
        (one.title(), &one.contents, &before),
        (other.title(), &other.contents, &after),
    )))
}

impl Own {
    /// Says which image it is.
    pub(super) fn title(&self) -> String {
        format!("{}, {}, {}", self.name, self.words, self.id)
    }

    fn report(&self) -> VulnReport {
        check(&self.contents, &self.database, SystemClock.now())
    }

    /// Its known vulnerabilities.
    pub(super) fn vulnerabilities(&self) -> Vulnerabilities {
        vulnerabilities_told(&self.report())
    }

    /// The same as SARIF.
    pub(super) fn sarif(&self) -> Value {
        sarif(&self.repository, &self.report())
    }

    /// What is in it, as CycloneDX or SPDX.
    pub(super) fn sbom(&self, is_spdx: bool) -> Value {
        let created = self.created.as_deref();
        let (name, digest) = (self.repository.as_str(), &self.id);
        let subject = Subject { name, digest, created, contents: &self.contents };
        if is_spdx { spdx(&subject) } else { cyclonedx(&subject) }
    }

    /// Everything that is known of it. Nobody has stated anything about what was pushed nowhere.
    pub(super) fn evidence(&self) -> ImageEvidence {
        ImageEvidence {
            repository: self.repository.clone(),
            digest: self.id.to_string(),
            created: self.created.clone(),
            os: self.contents.os.as_ref().map(|os| os.name.clone()),
            packages: self.contents.packages.len() as u64,
            notes: self.contents.notes.clone(),
            vulnerabilities: self.vulnerabilities(),
            leaks: self.contents.leaks.iter().map(leak_told).collect(),
            ..ImageEvidence::default()
        }
    }
}

impl Own {
    /// An answer for programs, which says of which image it speaks.
    pub(super) fn marked(&self, answer: &impl serde::Serialize) -> Result<Value> {
        let mut value = serde_json::to_value(answer)?;
        value["source"] = self.words.into();
        Ok(value)
    }
}
