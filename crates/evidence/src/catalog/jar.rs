//! Java archives: what Maven wrote into them, else what the manifest says; and the archives inside.

use std::io::{Cursor, Read as _};

use zip::ZipArchive;

use crate::package::{Kind, Package};

/// How deep archives are opened, how many files one may have, and how large a file in it may be, in bytes.
const DEEPEST: usize = 3;
const MOST_FILES: usize = 100_000;
const LARGEST_TEXT: u64 = 1 << 20;
const LARGEST_INNER: u64 = 64 << 20;

/// What Java's archives are called, by what they are for.
const ENDINGS: [&str; 11] = ["jar", "war", "ear", "par", "sar", "nar", "jpi", "hpi", "kar", "far", "lpkg"];

/// Whether a file is one, by its name.
pub(super) fn is_archive(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| ENDINGS.iter().any(|e| end.eq_ignore_ascii_case(e)))
}

/// The packages of an archive; `path` is its place in the image.
pub(super) fn packages(path: &str, bytes: &[u8]) -> Result<Vec<Package>, String> {
    let mut found = Vec::new();
    open(path, bytes, 0, &mut found)?;
    Ok(found)
}

fn open(path: &str, bytes: &[u8], depth: usize, found: &mut Vec<Package>) -> Result<(), String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    if archive.len() > MOST_FILES {
        return Err(format!("it has more than {MOST_FILES} files"));
    }
    let before = found.len();
    let mut manifest = None;
    let mut inner = Vec::new();
    for index in 0..archive.len() {
        let Ok(file) = archive.by_index(index) else { continue };
        let Ok(name) = file.name().map(|name| name.into_owned()) else { continue };
        let maven = name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties");
        if (maven || name == "META-INF/MANIFEST.MF") && file.size() <= LARGEST_TEXT {
            let mut bytes = Vec::new();
            if file.take(LARGEST_TEXT).read_to_end(&mut bytes).is_err() {
                continue;
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if maven {
                found.extend(of_maven(path, &text));
            } else {
                manifest = Some(text);
            }
        } else if is_archive(&name) && depth + 1 < DEEPEST && file.size() <= LARGEST_INNER {
            inner.push((index, name));
        }
    }
    if found.len() == before
        && let Some(package) = manifest.and_then(|text| of_manifest(path, &text))
    {
        found.push(package);
    }
    for (index, name) in inner {
        let Ok(file) = archive.by_index(index) else { continue };
        let mut bytes = Vec::new();
        if file.take(LARGEST_INNER).read_to_end(&mut bytes).is_ok() {
            // One that cannot be read does not hide the others.
            let _ = open(&format!("{path}!/{name}"), &bytes, depth + 1, found);
        }
    }
    Ok(())
}

fn of_maven(path: &str, text: &str) -> Option<Package> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))
            .map(str::trim)
    };
    let (group, artifact, version) = (field("groupId")?, field("artifactId")?, field("version")?);
    let package = Package::new(Kind::Maven, format!("{group}:{artifact}"), version);
    Some(Package { path: path.to_owned(), ..package })
}

fn of_manifest(path: &str, text: &str) -> Option<Package> {
    // A line that begins with a blank continues the one before (JAR file specification, "Line length").
    let text = text.replace("\r\n", "\n").replace("\n ", "");
    let main = text.split("\n\n").next()?;
    let field = |name: &str| {
        main.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    let file = path.rsplit('/').next()?;
    let file = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let artifact = file.rsplit_once('-').filter(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit()));
    let version = field("Implementation-Version").or_else(|| field("Bundle-Version"));
    let version = version.or_else(|| artifact.map(|(_, version)| version.to_owned()))?;
    let artifact = artifact.map_or(file, |(name, _)| name);
    let group = field("Implementation-Vendor-Id").or_else(|| field("Bundle-SymbolicName"));
    let group = group.map(|g| g.split(';').next().unwrap_or_default().to_owned());
    let licences = field("Bundle-License").filter(|l| l.len() <= 100).into_iter().collect();
    let name = format!("{}:{artifact}", group.unwrap_or_else(|| artifact.to_owned()));
    Some(Package { path: path.to_owned(), licences, ..Package::new(Kind::Maven, name, version) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn archives_in_archives_are_read() {
        let maven = b"#x\ngroupId=org.slf4j\nartifactId=slf4j-api\nversion = 1.7.36\n";
        let inner = jar(&[("META-INF/maven/org.slf4j/slf4j-api/pom.properties", maven)]);
        let manifest = b"Manifest-Version: 1.0\r\nImplementation-Version: 2.0\r\nImplementation-Vendor-Id: org.exam\r\n ple\r\n";
        let outer = jar(&[("META-INF/MANIFEST.MF", manifest), ("BOOT-INF/lib/slf4j.jar", &inner)]);
        let found = packages("app/shop-2.0.jar", &outer).unwrap();
        let names: Vec<_> =
            found.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.path.as_str())).collect();
        assert_eq!(
            names,
            [
                ("org.example:shop", "2.0", "app/shop-2.0.jar"),
                ("org.slf4j:slf4j-api", "1.7.36", "app/shop-2.0.jar!/BOOT-INF/lib/slf4j.jar"),
            ]
        );
        assert!(packages("x.jar", b"PK no").is_err());
    }
}
