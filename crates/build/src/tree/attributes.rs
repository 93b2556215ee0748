//! Extended attributes: no crate among our dependencies reads and writes them.
#![expect(unsafe_code, reason = "extended attributes have no safe wrapper among our dependencies")]

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
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
    value(&text(path.as_os_str())?, name, libc::lgetxattr)
}

/// The attributes of a path that belong into an image: file capabilities and those of users, but not the overlay's.
pub(crate) fn of(path: &Path) -> io::Result<Vec<Attribute>> {
    list(&text(path.as_os_str())?, libc::llistxattr, libc::lgetxattr)
}

/// The same of a file or folder that is open, for whatever it was opened.
pub(crate) fn of_open(file: &File) -> io::Result<Vec<Attribute>> {
    // The link in /proc leads to what was opened, whatever stands at its path now.
    let path = text(OsStr::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))?;
    list(&path, libc::listxattr, libc::getxattr)
}

type Get = unsafe extern "C" fn(*const c_char, *const c_char, *mut c_void, usize) -> isize;
type List = unsafe extern "C" fn(*const c_char, *mut c_char, usize) -> isize;

fn value(path: &CStr, name: &OsStr, read: Get) -> io::Result<Option<Vec<u8>>> {
    let name = text(name)?;
    let mut value = vec![0_u8; 256];
    loop {
        // SAFETY: terminated strings, and a buffer with its own length.
        let size = unsafe { read(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
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

fn list(path: &CStr, names: List, read: Get) -> io::Result<Vec<Attribute>> {
    let mut list = vec![0_u8; 1024];
    let size = loop {
        // SAFETY: a terminated string, and a buffer with its own length.
        let size = unsafe { names(path.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
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
        if let Some(value) = value(path, &name, read)? {
            let value = if name == CAPABILITY { anyones(value) } else { value };
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

/// The name of file capabilities.
const CAPABILITY: &str = "security.capability";

/// Capabilities without the owner of the user namespace that they were set in (`capabilities(7)`, "File capability
/// extended attribute versioning"): in an image they mean that of whoever runs it.
fn anyones(mut value: Vec<u8>) -> Vec<u8> {
    const REVISION_2: u8 = 2;
    const REVISION_3: u8 = 3;
    if value.len() == 24 && value[3] == REVISION_3 {
        value[3] = REVISION_2;
        value.truncate(20);
    }
    value
}

fn belongs(name: &[u8]) -> bool {
    name == CAPABILITY.as_bytes()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_belong_to_no_namespace_in_an_image() {
        let mut bound = vec![1, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let everyones = [&[1, 0, 0, 2][..], &bound[4..]].concat();
        bound.extend(1000_u32.to_le_bytes());
        assert_eq!(anyones(bound), everyones);
        assert_eq!(anyones(everyones.clone()), everyones);
        assert_eq!(anyones(b"short".to_vec()), b"short");
    }
}
