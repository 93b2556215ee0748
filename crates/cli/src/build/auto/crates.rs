//! The list of crates that goes into a Rust program, as `cargo auditable` does it, so that who looks at the image sees them.

use std::path::Path;

use anyhow::{Context as _, Result};
use windlass_dockerfile::auto;

/// Writes the list into the program that was built. Without `objcopy` the program stays as it is; false then.
pub(super) async fn list(out: &Path, package: &str) -> Result<bool> {
    let cargo = tokio::process::Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(out.join("src"))
        .output();
    let told = cargo.await.context("starting cargo")?;
    let metadata = serde_json::from_slice(&told.stdout).unwrap_or_default();
    let Some(list) = told.status.success().then(|| auto::audited(&metadata, package)).flatten() else {
        return Ok(false);
    };
    let section = out.join("crates");
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, list.to_string().as_bytes())
        .context("packing the list of crates")?;
    let packed = packed.finish().context("packing the list of crates")?;
    std::fs::write(&section, packed).context("writing the list of crates")?;
    let copied = tokio::process::Command::new("objcopy")
        .arg("--add-section")
        .arg(format!(".dep-v0={}", section.display()))
        .args(["--set-section-flags", ".dep-v0=noload,readonly"])
        .arg(out.join("program"))
        .stderr(std::process::Stdio::null())
        .status();
    Ok(copied.await.is_ok_and(|status| status.success()))
}
