//! Extended attributes: no crate among our dependencies reads and writes them.
#![expect(unsafe_code, reason = "extended attributes have no safe wrapper among our dependencies")]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use super::Attribute;

/// The largest list or value that is read: more than the kernel allows (`xattr(7)`).
const LARGEST: usize = 64 << 10;

fn text(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

/// Reads one attribute of a path, which is not followed.
pub(crate) fn get(path: &Path, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (text(path.as_os_str())?, text(name)?);
    let mut value = vec![0_u8; 256];
    loop {
        // SAFETY: terminated strings, and a buffer with its own length.
        let size =
            unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        if let Ok(size) = usize::try_from(size) {
            value.truncate(size);
            return Ok(Some(value));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENODATA | libc::EOPNOTSUPP) => return Ok(None),
            Some(libc::ERANGE) if value.len() < LARGEST => value.resize(LARGEST, 0),
            _ => return Err(error),
        }
    }
}

/// The attributes of a path that belong into an image: file capabilities and those of users, but not the overlay's.
pub(crate) fn of(path: &Path) -> io::Result<Vec<Attribute>> {
    let name = text(path.as_os_str())?;
    let mut list = vec![0_u8; 1024];
    let size = loop {
        // SAFETY: a terminated string, and a buffer with its own length.
        let size = unsafe { libc::llistxattr(name.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
        if let Ok(size) = usize::try_from(size) {
            break size;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
            Some(libc::ERANGE) if list.len() < LARGEST => list.resize(LARGEST, 0),
            _ => return Err(error),
        }
    };
    let mut found = Vec::new();
    for name in list[..size].split(|byte| *byte == 0).filter(|name| belongs(name)) {
        let name = OsString::from_vec(name.to_vec());
        if let Some(value) = get(path, &name)? {
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

fn belongs(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.")
            && !name.starts_with(b"user.overlay.")
            && !name.starts_with(b"user.windlass."))
}

/// Sets an attribute of a path, which is not followed. Where the file system has none, or an ordinary user may not, false.
pub(crate) fn set(path: &Path, name: &OsStr, value: &[u8]) -> io::Result<bool> {
    let (path, name) = (text(path.as_os_str())?, text(name)?);
    // SAFETY: terminated strings, and a buffer with its own length.
    let result =
        unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EOPNOTSUPP) => Ok(false),
        _ => Err(error),
    }
}
