//! Contexts that a repository cannot keep: odd names and modes, sparse files, hard links, archives of all kinds.

use std::fs::{self, File, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tar::{EntryType, Header};

/// Copies the small context that is kept as files, and adds what only a program can make.
pub(crate) fn wide(kept: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--"]).arg(kept).arg(to).status().unwrap();
    assert!(copied.success());
    names(&to.join("names"));
    links(&to.join("links"));
    modes(&to.join("modes"));
    sizes(to);
    many(&to.join("many"));
    archives(&to.join("archives"));
    tools(&to.join("tools"));
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(folder: &Path) {
    for name in [
        "with space.txt",
        "ünï☃.txt",
        ".dot",
        ".dotdir/in",
        "-dash.txt",
        "[brackets].txt",
        "a1.txt",
        "b2.txt",
        "e5.txt",
        "tab\there",
        "quote\"'s",
        "back\\slash",
        "star*",
        "ends.",
        "...",
    ] {
        write(&folder.join(name), name);
    }
}

fn links(folder: &Path) {
    fs::create_dir_all(folder.join("inner")).unwrap();
    for (target, name) in [
        ("../a.txt", "to-file"),
        ("../dir", "to-dir"),
        ("nowhere", "dangling"),
        ("/etc/passwd", "absolute"),
        ("inner", "beside"),
        ("../../../../../../etc", "far-up"),
    ] {
        symlink(target, folder.join(name)).unwrap();
    }
    write(&folder.join("inner/f"), "f");
}

fn modes(folder: &Path) {
    for (name, mode) in [
        ("suid", 0o4755),
        ("sgid", 0o2755),
        ("private", 0o600),
        ("all", 0o777),
        ("odd", 0o1641),
        ("read", 0o444),
    ] {
        write(&folder.join(name), name);
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }
    for (name, mode) in [("sticky", 0o1777), ("setgid", 0o2775), ("closed", 0o700)] {
        write(&folder.join(name).join("in"), name);
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

fn sizes(to: &Path) {
    write(&to.join("empty"), "");
    fs::create_dir_all(to.join("emptydir")).unwrap();
    let mut sparse = File::create(to.join("sparse")).unwrap();
    sparse.write_all(b"begin").unwrap();
    sparse.seek(SeekFrom::Start(6 << 20)).unwrap();
    sparse.write_all(b"end").unwrap();
    write(&to.join("hard/one"), "linked");
    fs::hard_link(to.join("hard/one"), to.join("hard/two")).unwrap();
}

fn many(folder: &Path) {
    for outer in 0..100 {
        let folder = folder.join(format!("d{outer}"));
        fs::create_dir_all(&folder).unwrap();
        for inner in 0..100 {
            fs::write(folder.join(format!("f{inner}")), format!("{outer} {inner}\n")).unwrap();
        }
    }
}

/// What `setcap` needs, where the machine has it.
fn tools(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let Ok(out) = Command::new("ldd").arg("/usr/sbin/setcap").output() else { return };
    let text = String::from_utf8_lossy(&out.stdout);
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/usr/sbin/setcap"]) {
        let inside = if file.ends_with("/setcap") { "/bin/setcap" } else { file };
        let to = folder.join(inside.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

/// Whether `setcap` could be put into the context.
pub(crate) fn has_setcap(context: &Path) -> bool {
    context.join("tools/bin/setcap").is_file()
}

/// An archive in the making.
struct Packed(tar::Builder<Vec<u8>>);

impl Packed {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(&mut self, kind: EntryType, path: &str, mode: u32, owner: (u64, u64), content: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_mtime(1_000_000_000);
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        header.set_size(if link { 0 } else { content.len() as u64 });
        if link {
            self.0.append_link(&mut header, path, content).unwrap();
        } else {
            self.0.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }

    fn attribute(&mut self, name: &str, value: &[u8]) {
        self.0.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), value)]).unwrap();
    }

    fn keep(self, path: &Path) {
        fs::write(path, self.0.into_inner().unwrap()).unwrap();
    }
}

fn archives(folder: &Path) {
    use EntryType::{Directory, Fifo, Link, Regular, Symlink};
    fs::create_dir_all(folder).unwrap();
    let long = format!("long/{}/{}", "d".repeat(120), "f".repeat(130));
    let mut kinds = Packed::new();
    for (kind, path, mode, owner, content) in [
        (Directory, "d/", 0o755, (0, 0), ""),
        (Regular, "d/file", 0o644, (0, 0), "file\n"),
        (Regular, "d/empty", 0o600, (12, 34), ""),
        (Link, "d/hard", 0o644, (0, 0), "d/file"),
        (Symlink, "d/soft", 0o777, (5, 6), "file"),
        (Symlink, "d/absolute", 0o777, (0, 0), "/etc/passwd"),
        (Symlink, "d/dangling", 0o777, (0, 0), "../nowhere"),
        (Regular, "d/suid", 0o4755, (0, 0), "s"),
        (Regular, "d/sgid", 0o2711, (1000, 1001), "s"),
        (Regular, "d/none", 0o000, (0, 0), "n"),
        (Directory, "sticky/", 0o1777, (7, 8), ""),
        (Directory, "closed/", 0o500, (0, 0), ""),
        (Regular, "closed/in", 0o400, (0, 0), "in"),
        (Fifo, "pipe", 0o620, (0, 0), ""),
        (Regular, "without/folder/entry", 0o644, (3_000_000, 4), "deep"),
        (Regular, "./dotted", 0o644, (0, 0), "dotted"),
        (Regular, "twice", 0o644, (0, 0), "first"),
        (Regular, "twice", 0o755, (1, 1), "second"),
        (Regular, "ünï ☃", 0o644, (0, 0), "unicode"),
        (Regular, &long, 0o644, (0, 0), "long"),
    ] {
        kinds.add(kind, path, mode, owner, content);
    }
    let plain = folder.join("kinds.tar");
    kinds.keep(&plain);
    for (program, extension) in [("gzip", "gz"), ("xz", "xz"), ("bzip2", "bz2"), ("zstd", "zst")] {
        let to = File::create(folder.join(format!("kinds.tar.{extension}"))).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").stdin(File::open(&plain).unwrap()).stdout(to).stderr(Stdio::null());
        assert!(command.status().is_ok_and(|status| status.success()), "{program} packs the test's archive");
    }
    fs::copy(&plain, folder.join("misnamed.txt")).unwrap();
    write(&folder.join("not.tar"), "this is no archive");
    fs::copy(folder.join("kinds.tar.gz"), folder.join("empty.gz")).unwrap();
    let gzip = Command::new("gzip").arg("-nc").stdin(Stdio::null()).output().unwrap();
    fs::write(folder.join("empty.gz"), gzip.stdout).unwrap();

    let mut second = Packed::new();
    second.add(Regular, "d/second", 0o644, (0, 0), "second");
    second.keep(&folder.join("second.tar"));

    let mut over = Packed::new();
    for (kind, path, mode, content) in [
        (Directory, "d/", 0o711, ""),
        (Regular, "d/new", 0o644, "new"),
        (Regular, "file", 0o600, "new"),
        (Regular, "alias/through", 0o644, "through a link of the image"),
        (Regular, "private/in", 0o644, "in"),
    ] {
        over.add(kind, path, mode, (0, 0), content);
    }
    over.keep(&folder.join("over.tar"));

    let mut attributes = Packed::new();
    attributes.attribute("user.mime", b"text/plain");
    attributes.add(Regular, "user", 0o644, (0, 0), "user");
    // `struct vfs_cap_data`, revision 2 with the effective bit: cap_net_bind_service.
    let mut capability = [0_u8; 20];
    capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
    capability[4..8].copy_from_slice(&(1_u32 << 10).to_le_bytes());
    attributes.attribute("security.capability", &capability);
    attributes.add(Regular, "capable", 0o755, (0, 0), "capable");
    attributes.keep(&folder.join("attributes.tar"));
}

/// A context with a list of what is left out that uses every form.
pub(crate) fn ignored(to: &Path) {
    let list = ".dockerignore\n# a comment\n\n*.log\n!keep.log\n**/*.tmp\n/rooted\nsrc/**/gen\n!src/a/gen/kept\ndocs/*\n!docs/*.md\n!docs/sub/deep\n\
                docs/secret.md\nnode_modules\nspaced name  \n?x\n[ab]z\nback\\*slash\ntrailing/\n./dotted\n**/.cache\n!src/.cache/*.in\n";
    write(&to.join(".dockerignore"), list);
    for path in [
        "a.log",
        "keep.log",
        "d/b.log",
        "x.tmp",
        "d/e/x.tmp",
        "rooted",
        "d/rooted",
        "src/gen/f",
        "src/a/gen/f",
        "src/a/gen/kept",
        "src/a/b/gen/f",
        "src/main",
        "src/.cache/a.in",
        "src/.cache/b.out",
        ".cache/f",
        "docs/a.md",
        "docs/a.txt",
        "docs/secret.md",
        "docs/sub/deep",
        "docs/sub/other",
        "node_modules/m",
        "d/node_modules/m",
        "spaced name",
        "1x",
        "12x",
        "az",
        "cz",
        "back*slash",
        "backXslash",
        "trailing/in",
        "dotted",
        "plain",
    ] {
        write(&to.join(path), path);
    }
}

/// The context of a case, made when it is first asked for.
pub(crate) fn named(name: &str, corpus: &Path, temp: &Path) -> PathBuf {
    let kept = corpus.join("context");
    let at = temp.join(format!("context-{name}"));
    match name {
        "kept" => return kept,
        _ if at.is_dir() => {}
        "wide" => wide(&kept, &at),
        "ignored" => ignored(&at),
        _ => panic!("there is no context `{name}`"),
    }
    at
}
