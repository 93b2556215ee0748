//! Lays [`Veil`]s into a layer of their own, over the machine's root in the overlay: the kernel's own marks for "nothing of the
//! layers below is seen here" and "this folder goes on at another place below" (`overlayfs`, "whiteouts and opaque
//! directories", "redirect_dir"). Programs in the sandbox can neither see nor set these marks.
#![expect(unsafe_code, reason = "extended attributes")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::layout::Veil;

/// Lays veils into the folder `layer`.
pub(super) fn lay(veils: &[Veil], layer: &Path) -> io::Result<()> {
    for veil in veils {
        match veil {
            Veil::Folder { at, mode } => {
                let path = place(layer, at)?;
                fs::create_dir_all(&path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                mark(&path, c"trusted.overlay.opaque", b"y")?;
            }
            Veil::Through { host, at } => {
                let path = place(layer, at)?;
                make_like(&path, host)?;
                mark(&path, c"trusted.overlay.redirect", host.as_os_str().as_bytes())?;
            }
            Veil::File { at, text } => {
                let path = place(layer, at)?;
                fs::write(&path, text)?;
                fs::set_permissions(
                    &path,
                    fs::Permissions::from_mode(if text.is_empty() { 0o600 } else { 0o644 }),
                )?;
            }
        }
    }
    Ok(())
}

/// Where a path of the machine is in the layer layer; its parents are made, like the machine's.
fn place(layer: &Path, at: &Path) -> io::Result<PathBuf> {
    let below = at.strip_prefix("/").map_err(io::Error::other)?;
    let (mut real, mut path) = (PathBuf::from("/"), layer.to_owned());
    for part in below.parent().into_iter().flat_map(Path::components) {
        real.push(part);
        path.push(part);
        if fs::symlink_metadata(&path).is_err() {
            make_like(&path, &real)?;
        }
    }
    Ok(layer.join(below))
}

/// Makes a folder with the owner and permissions of another, if that is there.
pub(super) fn make_like(path: &Path, like: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if let Ok(meta) = fs::metadata(like) {
        let _ = chown(path, Some(meta.uid()), Some(meta.gid()));
        fs::set_permissions(path, meta.permissions())?;
    }
    Ok(())
}

fn mark(path: &Path, name: &std::ffi::CStr, value: &[u8]) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: terminated strings and a buffer with its length; all outlive the call.
    let result =
        unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
