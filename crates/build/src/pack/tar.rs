//! A tar, written: `ustar` headers, and extended ones (`pax`, POSIX.1-2001) only where those cannot say it.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::in_archive;
use crate::tree::{Attribute, Kind, Node};

const BLOCK: usize = 512;
/// The largest number that eleven octal digits hold, and that seven do.
const LARGEST: u64 = 0o777_7777_7777;
const LARGEST_ID: u64 = 0o777_7777;

/// What is known of an entry, its bytes aside.
pub(crate) struct Entry<'a> {
    path: Vec<u8>,
    node: &'a Node,
    attributes: &'a [Attribute],
    /// Seconds since the epoch.
    pub(crate) modified: i64,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(path: &Path, node: &'a Node, attributes: &'a [Attribute]) -> Self {
        let mut path = in_archive(path);
        if node.is_folder() {
            path.push(b'/');
        }
        Self { path, node, attributes, modified: node.modified.0 }
    }
}

/// A tar in the making.
pub(crate) struct Tar<W: Write> {
    out: io::BufWriter<W>,
    buffer: Vec<u8>,
}

impl<W: Write> Tar<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out: io::BufWriter::with_capacity(128 << 10, out), buffer: vec![0; 256 << 10] }
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    /// Writes a file with its bytes. It must not change meanwhile.
    pub(crate) fn file(&mut self, entry: &Entry<'_>, mut bytes: impl Read) -> io::Result<()> {
        let size = entry.node.size;
        self.header(entry, b'0', size, b"")?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            match bytes.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter")),
                Ok(n) => {
                    self.out.write_all(&self.buffer[..n])?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.pad(size)
    }

    /// Writes an entry without bytes: a folder, a link, a pipe, an empty file.
    pub(crate) fn empty(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        match &entry.node.kind {
            Kind::Folder => self.header(entry, b'5', 0, b""),
            Kind::Link(target) => self.header(entry, b'2', 0, target.as_bytes()),
            Kind::Fifo => self.header(entry, b'6', 0, b""),
            _ => self.header(entry, b'0', 0, b""),
        }
    }

    /// Writes another name of a file that was written before.
    pub(crate) fn link(&mut self, entry: &Entry<'_>, first: &Path) -> io::Result<()> {
        self.header(entry, b'1', 0, &in_archive(first))
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = (size % BLOCK as u64) as usize;
        if over == 0 { Ok(()) } else { self.out.write_all(&[0; BLOCK][over..]) }
    }

    fn header(&mut self, entry: &Entry<'_>, kind: u8, size: u64, target: &[u8]) -> io::Result<()> {
        let node = entry.node;
        let mut records = Vec::new();
        let split = split(&entry.path);
        if split.is_none() {
            record(&mut records, b"path", &entry.path);
        }
        if target.len() > 100 {
            record(&mut records, b"linkpath", target);
        }
        for (name, number, most) in [
            (&b"uid"[..], u64::from(node.uid), LARGEST_ID),
            (b"gid", u64::from(node.gid), LARGEST_ID),
            (b"size", size, LARGEST),
        ] {
            if number > most {
                record(&mut records, name, number.to_string().as_bytes());
            }
        }
        if matches!(kind, b'0' | b'5') {
            for (name, value) in entry.attributes {
                record(&mut records, &[b"SCHILY.xattr.", name.as_bytes()].concat(), value);
            }
        }
        if !records.is_empty() {
            let header = raw((b"", b"PaxHeaders/0"), b'x', 0o644, (0, 0), records.len() as u64, 0, b"");
            self.out.write_all(&header)?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let short = &entry.path[..entry.path.len().min(100)];
        let target = &target[..target.len().min(100)];
        let time = u64::try_from(entry.modified).unwrap_or(0);
        let owner = (u64::from(node.uid), u64::from(node.gid));
        self.out.write_all(&raw(split.unwrap_or((b"", short)), kind, node.mode, owner, size, time, target))
    }
}

/// A path in the two fields that a header has for it: at most 155 and 100 bytes, cut at a `/`.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let from = path.len().saturating_sub(101);
    let cut = (from..path.len().saturating_sub(1)).find(|at| path[*at] == b'/')?;
    (cut > 0 && cut <= 155).then(|| (&path[..cut], &path[cut + 1..]))
}

/// `LENGTH NAME=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().as_bytes());
    records.push(b' ');
    records.extend(name);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

fn raw(
    (prefix, name): (&[u8], &[u8]),
    kind: u8,
    mode: u32,
    (uid, gid): (u64, u64),
    size: u64,
    time: u64,
    target: &[u8],
) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let octal = |number: u64, digits: usize| {
        let most = 8_u64.saturating_pow(digits as u32) - 1;
        format!("{:0digits$o}", number.min(most))
    };
    put(0, name);
    put(100, octal(u64::from(mode), 7).as_bytes());
    put(108, octal(uid, 7).as_bytes());
    put(116, octal(gid, 7).as_bytes());
    put(124, octal(size, 11).as_bytes());
    put(136, octal(time, 11).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target);
    put(257, b"ustar\x0000");
    put(345, prefix);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::path::PathBuf;

    #[test]
    fn what_is_written_is_read_again_whatever_the_lengths() {
        for length in [1, 50, 99, 100, 101, 155, 156, 200, 255, 300, 4000] {
            for folder in [0, 40, 120, 240] {
                let mut path = PathBuf::new();
                for _ in 0..folder / 40 {
                    path.push("d".repeat(39));
                }
                path.push("é".repeat(length / 2).trim().to_owned() + "f");
                let node = Node {
                    kind: Kind::File,
                    mode: 0o4755,
                    uid: 3_000_000,
                    gid: 7,
                    size: 5,
                    ..Node::folder()
                };
                let attributes = [(OsString::from("user.x"), vec![0, 11, b'=']); 1];
                let mut tar = Tar::new(Vec::new());
                tar.file(&Entry::new(&path, &node, &attributes), &b"hello"[..]).unwrap();
                let bytes = tar.finish().unwrap();
                assert_eq!(bytes.len() % BLOCK, 0);
                let mut archive = ::tar::Archive::new(&bytes[..]);
                let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
                assert_eq!(entry.path_bytes().as_ref(), path.as_os_str().as_bytes());
                assert_eq!(entry.header().mode().unwrap(), 0o4755);
                assert_eq!(entry.header().gid().unwrap(), 7);
                let extensions = entry.pax_extensions().unwrap().unwrap();
                let found: Vec<_> = extensions
                    .map(|e| e.map(|e| (e.key_bytes().to_vec(), e.value_bytes().to_vec())).unwrap())
                    .collect();
                assert!(found.contains(&(b"SCHILY.xattr.user.x".to_vec(), vec![0, 11, b'='])));
                assert!(found.contains(&(b"uid".to_vec(), b"3000000".to_vec())));
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                assert_eq!(text, "hello");
            }
        }
    }
}
