//! What compilers write into programs: Rust's `cargo auditable` data (a section `.dep-v0`: JSON, compressed) and Go's
//! build information (in one piece since Go 1.18, through addresses before).

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use memchr::memmem;
use serde::Deserialize;

use crate::package::{Kind, Package};

/// The most that auditable data may unpack to, in bytes; the tool's own limit.
const LARGEST_AUDIT: u64 = 8 << 20;
/// What Go's build information begins with.
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// The most of Go's build information, in bytes.
const LARGEST_GO: usize = 4 << 20;

pub(super) fn packages(bytes: &[u8]) -> Vec<Package> {
    let mut found = rust(bytes).unwrap_or_default();
    found.extend(go(bytes).unwrap_or_default());
    found
}

#[derive(Deserialize)]
struct Audit {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

fn rust(bytes: &[u8]) -> Option<Vec<Package>> {
    let data = Elf::of(bytes)?.section(b".dep-v0")?;
    let mut json = Vec::new();
    ZlibDecoder::new(data).take(LARGEST_AUDIT).read_to_end(&mut json).ok()?;
    let audit: Audit = serde_json::from_slice(&json).ok()?;
    // What only built it is not in it.
    let within = audit.packages.into_iter().filter(|c| c.kind.as_deref() != Some("build"));
    Some(within.map(|c| Package::new(Kind::Cargo, c.name, c.version)).collect())
}

/// A program in the Executable and Linkable Format (System V ABI, chapters 4 and 5).
#[derive(Clone, Copy)]
struct Elf<'a> {
    bytes: &'a [u8],
    wide: bool,
    little: bool,
}

impl<'a> Elf<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let wide = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        Some(Self { bytes, wide, little: *bytes.get(5)? == 1 })
    }

    /// A number of `size` bytes.
    fn number(&self, at: usize, size: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let fold = |sum: u64, b: &u8| sum << 8 | u64::from(*b);
        let value = if self.little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) };
        usize::try_from(value).ok()
    }

    /// One of two places, by the width of addresses, with a number of that width.
    fn address(&self, from: usize, wide: usize, narrow: usize) -> Option<usize> {
        if self.wide {
            self.number(from.checked_add(wide)?, 8)
        } else {
            self.number(from.checked_add(narrow)?, 4)
        }
    }

    fn half(&self, wide: usize, narrow: usize) -> Option<usize> {
        self.number(if self.wide { wide } else { narrow }, 2)
    }

    /// The bytes of a section.
    fn section(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let (table, size) = (self.address(0, 0x28, 0x20)?, self.half(0x3a, 0x2e)?);
        let (count, names) = (self.half(0x3c, 0x30)?, self.half(0x3e, 0x32)?);
        let header = |index: usize| table.checked_add(index.checked_mul(size)?);
        let place = |header: usize| -> Option<&'a [u8]> {
            let (at, length) = (self.address(header, 0x18, 0x10)?, self.address(header, 0x20, 0x14)?);
            self.bytes.get(at..at.checked_add(length)?)
        };
        let texts = place(header(names)?)?;
        (0..count).find_map(|index| {
            let header = header(index)?;
            let name = texts.get(self.number(header, 4)?..)?;
            let rest = name.strip_prefix(wanted)?;
            (rest.first() == Some(&0)).then(|| place(header))?
        })
    }

    /// The bytes that are loaded to an address.
    fn loaded(&self, address: usize, length: usize) -> Option<&'a [u8]> {
        let (table, size) = (self.address(0, 0x20, 0x1c)?, self.half(0x36, 0x2a)?);
        (0..self.half(0x38, 0x2c)?).find_map(|index| {
            let header = table.checked_add(index.checked_mul(size)?)?;
            let (from, to) = (self.address(header, 0x08, 0x04)?, self.address(header, 0x10, 0x08)?);
            let there = self.address(header, 0x20, 0x10)?;
            let within = address.checked_sub(to).filter(|at| *at < there)?;
            let at = from.checked_add(within)?;
            (self.number(header, 4)? == 1 && length <= there - within)
                .then(|| self.bytes.get(at..at.checked_add(length)?))?
        })
    }

    /// A text to which an address leads: where it lies, and its length.
    fn text_at(&self, address: usize, width: usize) -> Option<&'a [u8]> {
        let place = self.loaded(address, 2 * width)?;
        let at = place.as_ptr() as usize - self.bytes.as_ptr() as usize;
        let (text, length) = (self.number(at, width)?, self.number(at + width, width)?);
        if length > LARGEST_GO { None } else { self.loaded(text, length) }
    }
}

fn go(bytes: &[u8]) -> Option<Vec<Package>> {
    let at = memmem::find_iter(bytes, GO_MAGIC).find(|at| at % 16 == 0)?;
    let header = bytes.get(at..at + 32)?;
    let (version, info) = if header[15] & 2 == 0 {
        // Before Go 1.18 two addresses stand here: of the version, and of the modules.
        let elf = Elf::of(bytes)?;
        let width = usize::from(header[14]);
        if !matches!(width, 4 | 8) {
            return None;
        }
        let text = |nth: usize| elf.text_at(elf.number(at + 16 + nth * width, width)?, width);
        (text(0)?, text(1).unwrap_or_default())
    } else {
        let (version, rest) = counted(bytes.get(at + 32..)?)?;
        (version, counted(rest).map_or(&[][..], |(info, _)| info))
    };
    // 16 bytes before and behind mark the text.
    let info = info.get(16..info.len().saturating_sub(16)).unwrap_or_default();
    Some(modules(std::str::from_utf8(version).ok()?, &String::from_utf8_lossy(info)))
}

/// The standard library and the modules of a program.
fn modules(version: &str, info: &str) -> Vec<Package> {
    let mut found = Vec::new();
    if let Some(number) = version.split(' ').next().and_then(|v| v.strip_prefix("go")) {
        found.push(Package::new(Kind::Golang, "stdlib", number));
    }
    for line in info.lines() {
        let mut parts = line.split('\t');
        let (Some(what), Some(path), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        match what {
            // The program itself has no version but for one that was fetched as a module.
            "mod" if version == "(devel)" => {}
            "mod" | "dep" => found.push(Package::new(Kind::Golang, path, version)),
            // The module of the line before, replaced.
            "=>" => {
                found.pop();
                found.push(Package::new(Kind::Golang, path, version));
            }
            _ => {}
        }
    }
    found
}

/// A text behind its length (Go's `binary.Uvarint`).
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = &bytes[index + 1..];
            return (length <= LARGEST_GO).then(|| rest.split_at_checked(length))?;
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;

    /// A program with one section more than the names' own.
    pub(in crate::catalog) fn elf(name: &str, content: &[u8]) -> Vec<u8> {
        let names = [b"\0.names\0".as_slice(), name.as_bytes(), b"\0"].concat();
        let mut file = vec![0u8; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let names_at = file.len();
        file.extend(&names);
        let content_at = file.len();
        file.extend(content);
        let table = file.len() as u64;
        let header = |name: u32, at: usize, size: usize| {
            let mut header = vec![0u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(at as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
            header
        };
        file.extend(header(1, names_at, names.len()));
        file.extend(header(8, content_at, content.len()));
        file[0x28..0x30].copy_from_slice(&table.to_le_bytes());
        file[0x3a..0x3c].copy_from_slice(&64u16.to_le_bytes());
        file[0x3c..0x3e].copy_from_slice(&2u16.to_le_bytes());
        file
    }

    pub(in crate::catalog) fn auditable(json: &str) -> Vec<u8> {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(json.as_bytes()).unwrap();
        elf(".dep-v0", &zlib.finish().unwrap())
    }

    #[test]
    fn auditable_data_is_read_without_what_only_built_it() {
        let program = auditable(
            r#"{"packages":[{"name":"serde","version":"1.0.1","source":"crates.io"},
            {"name":"cc","version":"1.0.0","kind":"build"},{"name":"app","version":"0.1.0","root":true}]}"#,
        );
        let names: Vec<_> = packages(&program).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["serde", "app"]);
        for cut in 0..program.len() {
            packages(&program[..cut]);
        }
        assert!(packages(&elf(".dep-v1", b"x")).is_empty());
    }

    #[test]
    fn go_tells_its_version_and_modules() {
        let text = "path\tx/app\nmod\tx/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.7.0\th1:x\n\
            dep\tgithub.com/a/b\tv1.0.0\n=>\tgithub.com/c/b\tv1.0.1\th1:y\nbuild\t-compiler=gc\n";
        let info = [&[b'<'; 16][..], text.as_bytes(), &[b'>'; 16]].concat();
        let mut program = elf(".text", b"x");
        program.resize(program.len().next_multiple_of(16), 0);
        program.extend(GO_MAGIC);
        program.extend([8, 2]);
        program.extend([0; 16]);
        program.push(8);
        program.extend(b"go1.21.3");
        let length = info.len();
        program.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
        program.extend(&info);
        let found: Vec<_> =
            packages(&program).into_iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        assert_eq!(found, ["stdlib 1.21.3", "golang.org/x/net v0.7.0", "github.com/c/b v1.0.1"]);
        for cut in 0..program.len() {
            packages(&program[..cut]);
        }
    }
}
