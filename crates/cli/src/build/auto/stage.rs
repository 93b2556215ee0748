//! The folder that layers are taken from: a copy of the project, what the steps need, and what they leave.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use windlass_build::Store;
use windlass_dockerfile::auto::{Ground, Project, Step, Where};
use windlass_kernel::Digest;

use crate::failure::{Exit, Failure};

/// Where machines have the certificates of authorities.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where programs are in images that do not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folder, with a fresh copy of the project in `src`; it is ours until the file is closed. What compilers keep from
/// one time to the next stays.
pub(super) fn make(folder: &Path, paths: &BTreeSet<String>, project: &Project) -> Result<(PathBuf, File)> {
    let name = Digest::sha256(folder.as_os_str().as_encoded_bytes());
    let out = Store::usual().with_extension("auto").join(&name.hex()[..16]);
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let lock = File::create(out.join("lock")).context("locking the project's build folder")?;
    lock.lock().context("locking the project's build folder")?;
    for entry in std::fs::read_dir(&out).with_context(|| format!("reading {}", out.display()))? {
        let entry = entry.with_context(|| format!("reading {}", out.display()))?;
        if entry.file_name() == "lock" || entry.file_name() == "target" {
            continue;
        }
        let old = entry.path();
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone = if folder { std::fs::remove_dir_all(&old) } else { std::fs::remove_file(&old) };
        gone.with_context(|| format!("removing {}", old.display()))?;
    }
    let src = out.join("src");
    std::fs::create_dir_all(&src).context("copying the project")?;
    for path in paths {
        copy(&folder.join(path), &src.join(path)).with_context(|| format!("copying {path}"))?;
    }
    for (path, text) in &project.texts {
        write(&out.join(path), text.as_bytes(), 0o644).with_context(|| format!("writing {path}"))?;
    }
    if project.ground == Ground::Scratch {
        ground(&out.join("ground"), project.certificates)?;
    }
    Ok((out, lock))
}

/// What programs expect of a machine, below an image on nothing: a folder that everybody may write to, and certificates.
fn ground(folder: &Path, certificates: bool) -> Result<()> {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).context("making /tmp")?;
    // Whatever the umask is.
    for (path, mode) in [(temporary, 0o1777), (folder.join("etc"), 0o755)] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).context("making /tmp")?;
    }
    if !certificates {
        return Ok(());
    }
    let Some(found) = CERTIFICATES.iter().find(|path| Path::new(path).is_file()) else {
        eprintln!("this machine has no certificates of authorities: the program will trust no server");
        return Ok(());
    };
    let bytes = std::fs::read(found).with_context(|| format!("reading {found}"))?;
    write(&folder.join("etc/ssl/certs/ca-certificates.crt"), &bytes, 0o644)
        .context("copying certificates")?;
    for path in ["etc/ssl", "etc/ssl/certs"] {
        std::fs::set_permissions(folder.join(path), PermissionsExt::from_mode(0o755))
            .context("copying certificates")?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, bytes)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let metadata = from.symlink_metadata()?;
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(from)?, to);
    }
    std::fs::copy(from, to)?;
    // Compilers look at times; where the file may not be written, they compile it once more.
    if let (Ok(time), Ok(file)) = (metadata.modified(), File::options().write(true).open(to)) {
        _ = file.set_modified(time);
    }
    Ok(())
}

/// Runs the steps, in order.
pub(super) async fn run(project: &Project, out: &Path, quiet: bool) -> Result<()> {
    for step in project.steps.iter().filter(|step| step.place != Where::There) {
        run_one(step, project, out, quiet).await?;
    }
    Ok(())
}

async fn run_one(step: &Step, project: &Project, out: &Path, quiet: bool) -> Result<()> {
    let src = out.join("src");
    let filled = |text: &String| {
        text.replace("{src}", &src.display().to_string())
            .replace("{out}", &out.display().to_string())
            .replace("{arch}", std::env::consts::ARCH)
    };
    let argv: Vec<String> = step.argv.iter().map(filled).collect();
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    if !quiet {
        eprintln!("$ {}", argv.join(" "));
    }
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .current_dir(&src)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .kill_on_drop(true);
    if project.ground == Ground::Machine {
        // What is installed is for the interpreter that will run it: the one that an image on the machine finds.
        let own = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{USUAL_PATH}:{own}"));
    }
    command.envs(step.env.iter().map(|(name, value)| (name, filled(value))));
    let status = command.status().await.with_context(|| format!("starting {program}"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("`{}` failed: {status}", argv.join(" "))).into())
}
