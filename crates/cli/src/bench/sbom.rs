//! The list of what is in a Debian image with Python: from the layer's compressed bytes to CycloneDX and SPDX, in a
//! process of its own. The image is made with `debootstrap` once and kept in the folder for temporary files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;
use tokio::process::Command;
use tokio::time::Instant;
use windlass_evidence::{Layer, Layers, Limits, Subject, cyclonedx, scan, spdx};
use windlass_kernel::Digest;

use super::local::PEAK;
use super::report::{Samples, Section, millis};

/// The word that asks for one measurement in a process of its own.
pub(crate) const INNER: &str = "sbom-inner";
/// The suite and what is in it beside the least.
const SUITE: &str = "bookworm";
const INCLUDED: &str = "python3,python3-flask,python3-requests";

/// Measures.
pub(crate) async fn measure(count: usize) -> Result<Section> {
    let how = format!(
        "Debian {SUITE} (minbase) with {INCLUDED}: one layer, compressed with gzip; layers as streams, nothing unpacked to \
         the disk; packages, secrets, CycloneDX and SPDX; the whole program, from its start to its end."
    );
    let mut section =
        Section::new("sbom", "SBOM", how, &["what", "median", "spread", "aim", "memory", "found"]);
    let layer = match layer().await {
        Ok(layer) => layer,
        Err(why) => {
            section.note(format!("not measured: {why:#}."));
            return Ok(section);
        }
    };
    let mut times = Vec::new();
    let mut found = String::new();
    for _ in 0..count.clamp(1, 10) {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", INNER, "--"]).arg(&layer).stdin(Stdio::null());
        let begin = Instant::now();
        let done = command.output().await?;
        times.push(begin.elapsed());
        if !done.status.success() {
            bail!("it failed: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        String::from_utf8_lossy(&done.stdout).trim().clone_into(&mut found);
    }
    let ourselves = std::env::current_exe()?;
    let mut wrapped = Command::new(&ourselves);
    wrapped.args(["bench", PEAK, "--"]).arg(&ourselves).args(["bench", INNER, "--"]).arg(&layer);
    let done = wrapped.stdin(Stdio::null()).output().await?;
    let peak: u64 = String::from_utf8_lossy(&done.stdout).trim().parse().context("the memory it took")?;
    let samples = Samples::new(times);
    let size = std::fs::metadata(&layer)?.len() >> 20;
    section.row([
        format!("Debian with Python, {size} MiB"),
        millis(samples.median()),
        samples.spread(),
        format!("< {}, < 200 MB", millis(Duration::from_secs(2))),
        format!("{} MB", peak / 1024),
        found,
    ]);
    Ok(section)
}

/// The image's layer, made when it is not there yet.
async fn layer() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join("windlass-bench");
    let path = folder.join(format!("debian-{SUITE}-python.tar.gz"));
    if path.is_file() {
        return Ok(path);
    }
    if !Uid::effective().is_root() {
        bail!("debootstrap wants root");
    }
    std::fs::create_dir_all(&folder)?;
    let tree = tempfile::tempdir_in(&folder)?;
    eprintln!("making a Debian image with debootstrap, once …");
    let root = tree.path().join("root");
    let include = format!("--include={INCLUDED}");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &include, SUITE]).arg(&root);
    run(debootstrap).await.context("debootstrap")?;
    let part = folder.join("part.tar.gz");
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "-C"]).arg(&root);
    tar.arg("-czf").arg(&part).arg(".");
    run(tar).await.context("tar")?;
    std::fs::rename(&part, &path)?;
    Ok(path)
}

async fn run(mut command: Command) -> Result<()> {
    let done = command.stdin(Stdio::null()).output().await?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stdout);
        bail!("{}", said.lines().last().unwrap_or("it failed"));
    }
    Ok(())
}

/// A layer in a file.
struct InFile {
    path: PathBuf,
    layers: [Layer; 1],
}

impl Layers for InFile {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn open(&self, _: usize) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}

/// Looks into one image and says how much was found.
pub(crate) fn inner(words: &[String]) -> Result<()> {
    let path = Path::new(words.first().context("a layer is needed")?).to_owned();
    let digest = Digest::sha256(path.as_os_str().as_encoded_bytes());
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
    let layers = InFile { path, layers: [Layer { digest: digest.clone(), media_type }] };
    let contents = scan(&layers, Limits::default())?;
    let subject = Subject { name: "debian", digest: &digest, created: None, contents: &contents };
    let size = cyclonedx(&subject).to_string().len() + spdx(&subject).to_string().len();
    crate::show::print(&format!("{} packages, {} KiB", contents.packages.len(), size >> 10))
}
