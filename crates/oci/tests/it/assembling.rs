//! Images from files.

use bytes::Bytes;
use tar::EntryType;
use windlass_kernel::Actor;
use windlass_oci::{
    AssembleError, AssembleSpec, Base, MACHINE_BASE, Reference, RepositoryName, UnpackLimits, WhiteoutStyle,
    one_chunk,
};

use crate::bench::{Bench, files_below};

/// An entry for a test's tar.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) content: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
}

pub(crate) fn file(path: &str, content: &str) -> Piece {
    Piece { content: content.into(), ..entry(path, EntryType::Regular, "") }
}

pub(crate) fn entry(path: &str, kind: EntryType, link: &str) -> Piece {
    Piece { path: path.into(), kind, content: Vec::new(), link: link.into(), mode: 0o644 }
}

/// A tar with exactly these paths, however bad they are.
pub(crate) fn tar_of(pieces: &[Piece], mtime: u64, uid: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for piece in pieces {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..piece.path.len()].copy_from_slice(&piece.path);
        header.as_old_mut().linkname[..piece.link.len()].copy_from_slice(&piece.link);
        header.set_entry_type(piece.kind);
        header.set_size(piece.content.len() as u64);
        header.set_mode(piece.mode);
        header.set_mtime(mtime);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_cksum();
        tar.append(&header, piece.content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn spec(base: Base) -> AssembleSpec {
    AssembleSpec::new(base, "tasks".parse().unwrap())
}

async fn assemble(
    bench: &Bench,
    spec: &AssembleSpec,
    tar: Vec<u8>,
) -> Result<windlass_oci::Assembled, AssembleError> {
    bench.assembler().assemble(spec, one_chunk(Bytes::from(tar)), &Actor::System).await
}

#[tokio::test]
async fn the_same_files_give_the_same_digest_whoever_packs_them_and_whenever() {
    let run = Piece { mode: 0o755, ..file("app/run", "#!/bin/sh\n") };
    let notes = file("app/notes.txt", "ä ö ü");
    let link = entry("app/current", EntryType::Symlink, "run");
    let folder = Piece { mode: 0o700, ..entry("app/", EntryType::Directory, "") };
    let one = tar_of(&[folder.clone(), run.clone(), notes.clone(), link.clone()], 1, 0);
    let other = [
        link,
        Piece { mode: 0o600, path: b"./app/notes.txt".to_vec(), ..notes },
        Piece { mode: 0o775, ..run.clone() },
    ];
    let two = tar_of(&other, 1_700_000_000, 1234);
    let first = assemble(&Bench::new(), &spec(Base::Scratch), one.clone()).await.unwrap();
    let second = assemble(&Bench::new(), &spec(Base::Scratch), two).await.unwrap();
    assert_eq!(first, second);

    // … and anything that matters gives another.
    let bench = Bench::new();
    let plain = tar_of(&[folder, Piece { mode: 0o644, ..run }, file("app/notes.txt", "ä ö ü")], 1, 0);
    assert_ne!(assemble(&bench, &spec(Base::Scratch), plain).await.unwrap().digest, first.digest, "a mode");
    let mut owned = spec(Base::Scratch);
    owned.owner = (10001, 10001);
    assert_ne!(assemble(&bench, &owned, one.clone()).await.unwrap().digest, first.digest, "an owner");
    let mut user = spec(Base::Scratch);
    user.user = Some("10001".into());
    assert_ne!(assemble(&bench, &user, one).await.unwrap().digest, first.digest, "a setting");
}

/// The digest is a promise to other versions of Windlass: a change here means that every image is built anew.
#[tokio::test]
async fn the_digest_of_a_known_image_stands() {
    let tar = tar_of(&[file("hello", "hello\n")], 0, 0);
    let bench = Bench::new();
    assemble(&bench, &spec(Base::Scratch), tar).await.unwrap();
    let repository: RepositoryName = "tasks".parse().unwrap();
    let manifests = bench.registry.index().manifests(&repository).await.unwrap();
    let reference = Reference::Digest(manifests[0].digest.clone());
    let (_, _, config) = bench.registry.image(&repository, &reference).await.unwrap();
    let expected = "sha256:ebf7c5aa5f0fe7829767f0539e7c0b9cdf9035e0030bb0de4382d4df5a0f8650";
    assert_eq!(config.rootfs.diff_ids[0].to_string(), expected);
}

#[tokio::test]
async fn what_an_image_may_not_hold_is_refused_by_name() {
    let cases = [
        (file("/etc/passwd", "x"), "absolute"),
        (file("../up", "x"), "`..`"),
        (file("a/../../up", "x"), "`..`"),
        (file("a/.wh.b", ""), ".wh."),
        (entry("dev/sda", EntryType::Block, ""), "only files"),
        (entry("dev/tty", EntryType::Char, ""), "only files"),
        (entry("pipe", EntryType::Fifo, ""), "only files"),
        (entry("out", EntryType::Symlink, "../../etc/passwd"), "out of the image"),
        (entry("out", EntryType::Symlink, "/../etc"), "out of the image"),
        (entry("hard", EntryType::Link, "/etc/shadow"), "absolute"),
        (entry("hard", EntryType::Link, "../secret"), "`..`"),
        (entry("hard", EntryType::Link, "nothing"), "hard link"),
    ];
    let bench = Bench::new();
    for (piece, why) in cases {
        let path = String::from_utf8(piece.path.clone()).unwrap();
        let error =
            assemble(&bench, &spec(Base::Scratch), tar_of(&[piece], 0, 0)).await.unwrap_err().to_string();
        assert!(error.contains(&path) && error.contains(why), "{path}: {error}");
    }
    let through = [entry("a", EntryType::Symlink, "/etc"), file("a/passwd", "x")];
    let error = assemble(&bench, &spec(Base::Scratch), tar_of(&through, 0, 0)).await.unwrap_err().to_string();
    assert!(error.contains("through a link"), "{error}");

    let whole = tar_of(&[file("a", &"x".repeat(4000))], 0, 0);
    let short = assemble(&bench, &spec(Base::Scratch), whole[..2000].to_vec()).await.unwrap_err().to_string();
    assert!(short.contains("tar"), "{short}");
    let empty = assemble(&bench, &spec(Base::Scratch), tar_of(&[], 0, 0)).await;
    assert!(matches!(empty, Err(AssembleError::Empty)), "{empty:?}");
    let large = assemble(&bench, &spec(Base::Scratch), vec![0; (64 << 20) + 1]).await;
    assert!(matches!(large, Err(AssembleError::TooLarge { .. })), "{large:?}");
    assert_eq!(files_below(&bench.path("spool")), 0, "the spool is empty again");
    assert_eq!(files_below(&bench.path("blobs").join("uploads")), 0, "no upload is left");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let bench = Bench::new();
    let tar = tar_of(&[file("a", "a")], 0, 0);
    let refused = |change: fn(&mut AssembleSpec)| {
        let mut spec = spec(Base::Scratch);
        change(&mut spec);
        spec
    };
    let cases = [
        (refused(|s| s.env = vec!["NOVALUE".into()]), "NOVALUE"),
        (refused(|s| s.env = vec!["=x".into()]), "=x"),
        (refused(|s| s.workdir = Some("app".into())), "app"),
        (refused(|s| s.user = Some("nobody".into())), "nobody"),
    ];
    for (spec, what) in cases {
        let error = assemble(&bench, &spec, tar.clone()).await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[tokio::test]
async fn a_base_gives_its_layers_and_settings_and_the_new_ones_win() {
    let bench = Bench::new();
    let mut base = spec(Base::Scratch);
    base.repository = "base".parse().unwrap();
    base.tags = vec!["v1".parse().unwrap()];
    base.entrypoint = vec!["/bin/base".into()];
    base.cmd = vec!["--base".into()];
    base.env = vec!["A=1".into(), "B=2".into()];
    base.labels.insert("team".into(), "core".into());
    assemble(&bench, &base, tar_of(&[file("base", "base")], 0, 0)).await.unwrap();

    let over = Base::parse("base:v1", &[]).unwrap();
    let mut top = spec(over);
    top.entrypoint = vec!["/top".into()];
    top.env = vec!["B=3".into()];
    top.expose = vec![8080];
    top.user = Some("10001:10001".into());
    let made = assemble(&bench, &top, tar_of(&[file("top", "top")], 0, 0)).await.unwrap();
    let reference = Reference::Digest(made.digest);
    let (_, manifest, config) = bench.registry.image(&top.repository, &reference).await.unwrap();
    assert_eq!((manifest.layers.len(), config.rootfs.diff_ids.len()), (2, 2));
    assert_eq!(manifest.layers.iter().map(|l| l.size).sum::<u64>(), made.size);
    let run = &config.config;
    assert_eq!(
        (run.entrypoint.as_slice(), run.cmd.len()),
        (&["/top".to_owned()][..], 0),
        "the base's arguments go"
    );
    assert_eq!(run.env, ["A=1", "B=3"]);
    assert_eq!((run.user.as_str(), run.labels["team"].as_str()), ("10001:10001", "core"));
    assert!(run.exposed_ports.contains_key("8080/tcp"));

    let unpacker = bench.unpacker(WhiteoutStyle::None, UnpackLimits::default());
    let unpacked = unpacker.unpack(&top.repository, &reference).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(unpacked.layers[0].join("top")).unwrap(),
        "top",
        "the top comes first"
    );
    assert_eq!(std::fs::read_to_string(unpacked.layers[1].join("base")).unwrap(), "base");
    assert!(!unpacked.on_machine());
}

#[tokio::test]
async fn the_machine_as_base_is_a_label_without_layers_of_its_own() {
    let bench = Bench::new();
    let spec = spec(Base::parse("machine", &[]).unwrap());
    let made = assemble(&bench, &spec, tar_of(&[file("app.py", "print('hi')")], 0, 0)).await.unwrap();
    let unpacker = bench.unpacker(WhiteoutStyle::None, UnpackLimits::default());
    let unpacked = unpacker.unpack(&spec.repository, &Reference::Digest(made.digest)).await.unwrap();
    assert!(unpacked.on_machine());
    assert_eq!(unpacked.config.labels["dev.windlass.base"], MACHINE_BASE);
    assert_eq!(unpacked.layers.len(), 1);
}

#[tokio::test]
async fn a_missing_base_says_which() {
    let bench = Bench::new();
    let spec = spec(Base::parse("127.0.0.1:7700/nothing:v9", &["127.0.0.1:7700"]).unwrap());
    let error = assemble(&bench, &spec, tar_of(&[file("a", "a")], 0, 0)).await.unwrap_err().to_string();
    assert!(error.contains("nothing") && error.contains("v9"), "{error}");
}

#[tokio::test]
async fn pushes_are_in_the_ledger_once_each() {
    let bench = Bench::new();
    let mut spec = spec(Base::Scratch);
    spec.tags = vec!["v1".parse().unwrap(), "latest".parse().unwrap()];
    let tar = tar_of(&[file("a", "a")], 0, 0);
    let made = assemble(&bench, &spec, tar.clone()).await.unwrap();
    let subject = format!("tasks@{}", made.digest);
    let expected = vec![("image.pushed".to_owned(), subject); 2];
    assert_eq!(bench.store.happened(), expected);
    assemble(&bench, &spec, tar).await.unwrap();
    assert_eq!(bench.store.happened(), expected, "the same again changes nothing");
}
