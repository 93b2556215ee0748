//! `ADD` of archives: tar, as it is or compressed. Unpacked within the image: a link in the image leads within it, and an
//! entry that climbs is refused.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tar::{EntryType, Header};
use windlass_oci::UnpackLimits;

use super::{TransferError, at};
use crate::tree::{Kind, Node, Tree, follow};
use crate::writer::Writer;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    Tar,
    Gzip,
    Zstd,
    /// By a program of the machine.
    Program(&'static str),
}

const MAGIC: [(&[u8], Archive); 5] = [
    (&[0x1f, 0x8b, 8], Archive::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], Archive::Zstd),
    (b"BZh", Archive::Program("bzip2")),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Archive::Program("xz")),
    (&[0x5d, 0, 0], Archive::Program("xz")),
];

/// Bytes of an archive, decompressed.
enum Reader {
    Here(Box<dyn Read>),
    Program(Child, Option<std::thread::JoinHandle<()>>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Here(reader) => reader.read(buffer),
            Self::Program(child, _) => match &mut child.stdout {
                Some(output) => output.read(buffer),
                None => Ok(0),
            },
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Self::Program(child, feeder) = self {
            let _ = child.kill();
            let _ = child.wait();
            if let Some(feeder) = feeder.take() {
                let _ = feeder.join();
            }
        }
    }
}

impl Archive {
    /// Whether a file is an archive, and how it is compressed: by what is in it, not by its name.
    pub(crate) fn of(file: &mut File) -> io::Result<Option<Self>> {
        let mut head = [0_u8; 512];
        let mut filled = 0;
        while filled < head.len() {
            match file.read(&mut head[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        file.rewind()?;
        let packed = MAGIC.iter().find(|(magic, _)| head[..filled].starts_with(magic));
        let kind = packed.map_or(Self::Tar, |(_, kind)| *kind);
        let mut first = [0_u8; 512];
        let mut reader = match kind.open(file.try_clone()?) {
            Ok(reader) => reader,
            Err(error) => {
                file.rewind()?;
                return Err(error);
            }
        };
        let whole = reader.read_exact(&mut first).is_ok();
        drop(reader);
        file.rewind()?;
        Ok((whole && is_header(&first)).then_some(kind))
    }

    fn open(self, file: File) -> io::Result<Reader> {
        Ok(match self {
            Self::Tar => Reader::Here(Box::new(file)),
            Self::Gzip => Reader::Here(Box::new(flate2::read::MultiGzDecoder::new(file))),
            Self::Zstd => Reader::Here(Box::new(zstd::Decoder::new(file)?)),
            Self::Program(name) => {
                let mut command = Command::new(name);
                command.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
                let mut child = command.spawn().map_err(|e| {
                    let why =
                        format!("this archive needs the program `{name}`, which could not be started: {e}");
                    io::Error::new(e.kind(), why)
                })?;
                // A file handle that is shared would be moved on: the program gets its bytes through a pipe.
                let feeder = child.stdin.take().map(|mut input| {
                    std::thread::spawn(move || {
                        let mut file = file;
                        let _ = io::copy(&mut file, &mut input).and_then(|_| input.flush());
                    })
                });
                Reader::Program(child, feeder)
            }
        })
    }
}

/// Whether a block is the header of a tar: its sum is right.
fn is_header(block: &[u8; 512]) -> bool {
    let header = Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    block.iter().any(|byte| *byte != 0) && header.cksum().is_ok_and(|said| said == sum)
}

/// What an archive may hold, unpacked.
struct Room {
    entries: u64,
    bytes: u64,
}

impl Room {
    fn take(&mut self, size: u64, most: UnpackLimits) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.entries > most.entries {
            return refuse(format!("the archive holds more than {} entries", most.entries));
        }
        if self.bytes > most.bytes {
            return refuse(format!("the archive holds more than {} MiB", most.bytes >> 20));
        }
        Ok(())
    }
}

/// Unpacks an archive into the folder `destination` of the image.
pub(crate) fn unpack(
    writer: &mut Writer,
    file: File,
    archive: Archive,
    destination: &str,
    owner: Option<(u32, u32)>,
    most: UnpackLimits,
) -> Result<(), TransferError> {
    let named = crate::tree::relative(Path::new(destination));
    let outcome = (|| {
        let base = follow(writer, &named)?;
        writer.folders(&base, 0o755, owner.unwrap_or((0, 0)))?;
        let mut tar = tar::Archive::new(archive.open(file)?);
        let mut room = Room { entries: 0, bytes: 0 };
        for entry in tar.entries()? {
            let mut entry = entry?;
            room.take(entry.size(), most)?;
            let path = clean(&entry.path_bytes())?;
            self::entry(writer, &base, &path, &mut entry, owner)?;
        }
        Ok(())
    })();
    outcome.map_err(at(&named))
}

fn clean(raw: &[u8]) -> io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(raw)).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                let why = format!("the archive's entry `{}` climbs out of it", String::from_utf8_lossy(raw));
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            _ => {}
        }
    }
    Ok(path)
}

fn entry<R: Read>(
    writer: &mut Writer,
    base: &Path,
    path: &Path,
    entry: &mut tar::Entry<'_, R>,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let attributes = attributes(entry)?;
    let header = entry.header();
    let owner = owner.unwrap_or((header.uid()? as u32, header.gid()? as u32));
    let modified = (header.mtime().unwrap_or(0).min(u64::from(u32::MAX)) as i64, 0);
    let mut node = Node {
        kind: Kind::File,
        mode: header.mode()? & 0o7777,
        uid: owner.0,
        gid: owner.1,
        size: entry.size(),
        modified,
        linked: None,
    };
    let parent = follow(writer, &base.join(path.parent().unwrap_or(Path::new(""))))?;
    let Some(name) = path.file_name() else { return Ok(()) };
    let target = parent.join(name);
    writer.folders(&parent, 0o755, (0, 0))?;
    match header.entry_type() {
        EntryType::Directory => {
            node.kind = Kind::Folder;
            writer.folder(&target, &node, &attributes)
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            writer.file(&target, &node, &attributes, &mut |mut out| {
                io::copy(entry, &mut out)?;
                Ok(())
            })
        }
        EntryType::Symlink => {
            let link = entry.link_name_bytes().unwrap_or_default();
            node.kind = Kind::Link(OsStr::from_bytes(&link).to_owned());
            writer.other(&target, &node)
        }
        EntryType::Fifo => {
            node.kind = Kind::Fifo;
            writer.other(&target, &node)
        }
        EntryType::Link => {
            let first = clean(&entry.link_name_bytes().unwrap_or_default())?;
            let first = follow(writer, &base.join(first))?;
            if writer.node(&first)?.is_none_or(|node| node.kind != Kind::File) {
                let why =
                    format!("it is a hard link to `{}`, which is no file of the archive", first.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            writer.hard_link(&first, &target)
        }
        // Devices cannot come into being here.
        _ => Ok(()),
    }
}

fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for extension in extensions {
        // The reader takes a line's end within a value for the record's end: such a value is lost, the file is not.
        let Ok(extension) = extension else { continue };
        let name = extension.key_bytes().strip_prefix(b"SCHILY.xattr.");
        let Some(name) = name else { continue };
        let own = name.starts_with(b"user.overlay.") || name.starts_with(b"user.windlass.");
        if name == b"security.capability" || (name.starts_with(b"user.") && !own) {
            found.push((OsStr::from_bytes(name).to_owned(), extension.value_bytes().to_vec()));
        }
    }
    Ok(found)
}
