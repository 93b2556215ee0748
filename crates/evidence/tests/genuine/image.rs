//! Images made of folders, for readers of images: as one layer, and as the archive that `docker save` writes.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use windlass_evidence::{Contents, Layer, Layers, Limits, scan};
use windlass_kernel::Digest;

/// A file system that becomes an image.
pub(crate) struct Image {
    folder: tempfile::TempDir,
}

struct OneLayer {
    layers: [Layer; 1],
    path: PathBuf,
}

impl Layers for OneLayer {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn open(&self, _: usize) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}

impl Image {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        fs::create_dir(folder.path().join("root")).expect("a folder");
        Self { folder }
    }

    /// Where its files lie.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Writes a file.
    pub(crate) fn put(&self, path: &str, content: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// Copies a file or folder of this machine.
    pub(crate) fn copy(&self, from: &Path, to: &str) {
        let to = self.root().join(to);
        fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        let done = Command::new("cp").args(["-r", "--"]).arg(from).arg(&to).status().expect("cp");
        assert!(done.success(), "cp {} {}", from.display(), to.display());
    }

    /// What we find in it.
    pub(crate) fn scanned(&self) -> Contents {
        let path = self.layer();
        let digest = Digest::sha256(&fs::read(&path).expect("a layer"));
        let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
        let layers = OneLayer { layers: [Layer { digest, media_type }], path };
        scan(&layers, Limits::default()).expect("a scan")
    }

    fn layer(&self) -> PathBuf {
        let path = self.folder.path().join("layer.tar");
        if !path.exists() {
            let mut tar = tar::Builder::new(File::create(&path).expect("a file"));
            tar.follow_symlinks(false);
            tar.append_dir_all(".", self.root()).expect("a layer");
            tar.into_inner().expect("a layer").flush().expect("a layer");
        }
        path
    }

    /// The image as an archive (`docker save`).
    pub(crate) fn archive(&self) -> PathBuf {
        let layer = self.layer();
        let digest = Digest::sha256(&fs::read(&layer).expect("a layer")).to_string();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest] }, "history": [{ "created_by": "test" }],
        });
        let manifest =
            json!([{ "Config": "config.json", "RepoTags": ["test:latest"], "Layers": ["layer.tar"] }]);
        let path = self.folder.path().join("image.tar");
        let mut tar = tar::Builder::new(File::create(&path).expect("a file"));
        for (name, document) in [("config.json", config), ("manifest.json", manifest)] {
            let text = document.to_string();
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, text.as_bytes()).expect("an entry");
        }
        tar.append_path_with_name(&layer, "layer.tar").expect("an entry");
        tar.into_inner().expect("an archive").flush().expect("an archive");
        path
    }
}
