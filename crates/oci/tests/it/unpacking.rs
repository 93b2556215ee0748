//! Layers on disk, from friendly and hostile images.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tar::EntryType;
use windlass_kernel::{Actor, Digest};
use windlass_oci::{
    BlobError, MediaType, Reference, RepositoryName, UnpackError, UnpackLimits, Unpacked, WhiteoutStyle,
};

use crate::assembling::{Piece, entry, file, tar_of};
use crate::bench::{Bench, files_below};

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(tar).unwrap();
    gzip.finish().unwrap()
}

fn name() -> RepositoryName {
    "hostile".parse().unwrap()
}

/// Pushes an image of these layers (media type, bytes as stored, claimed uncompressed digest).
async fn image(bench: &Bench, layers: &[(&str, Vec<u8>, Digest)]) -> Reference {
    let mut descriptors = Vec::new();
    let blobs = bench.registry.blobs();
    let mut held = Vec::new();
    for (kind, bytes, _) in layers {
        let digest = blobs.put(Bytes::from(bytes.clone())).await.unwrap();
        let media_type = format!("application/vnd.oci.image.layer.v1.{kind}");
        descriptors.push(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }));
        held.push(digest);
    }
    let diff_ids: Vec<&Digest> = layers.iter().map(|(_, _, diff_id)| diff_id).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = Bytes::from(config.to_string());
    let size = config.len();
    let digest = blobs.put(config).await.unwrap();
    held.push(digest.clone());
    bench.registry.index().link_blobs(&name(), &held).await.unwrap();
    let config =
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size });
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": descriptors }).to_string();
    let reference = Reference::Digest(Digest::sha256(manifest.as_bytes()));
    let repository = name();
    let push =
        bench.registry.push(&repository, &reference, MediaType::OciManifest, manifest.into(), &Actor::System);
    push.await.unwrap();
    reference
}

async fn one_layer(bench: &Bench, pieces: &[Piece]) -> Reference {
    let tar = tar_of(pieces, 1_600_000_000, 4321);
    image(bench, &[("tar+gzip", gzip(&tar), Digest::sha256(&tar))]).await
}

async fn unpack(bench: &Bench, style: WhiteoutStyle, reference: &Reference) -> Result<Unpacked, UnpackError> {
    bench.unpacker(style, UnpackLimits::default()).unpack(&name(), reference).await
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test]
async fn layers_are_laid_out_once_each_with_modes_times_and_links() {
    let bench = Bench::new();
    let pieces = [
        Piece { mode: 0o750, ..entry("bin/", EntryType::Directory, "") },
        Piece { mode: 0o755, ..file("bin/run", "run") },
        entry("bin/alias", EntryType::Symlink, "/bin/run"),
        entry("bin/same", EntryType::Link, "bin/run"),
        file("deep/er/still", "x"),
    ];
    let tar = tar_of(&pieces, 1_600_000_000, 4321);
    let second = tar_of(&[file("two", "2")], 0, 0);
    let zstd = zstd::encode_all(second.as_slice(), 3).unwrap();
    let layers = [("tar", tar.clone(), Digest::sha256(&tar)), ("tar+zstd", zstd, Digest::sha256(&second))];
    let reference = image(&bench, &layers).await;
    let unpacked = unpack(&bench, WhiteoutStyle::None, &reference).await.unwrap();
    let [top, bottom] = unpacked.layers.as_slice() else { panic!("{unpacked:?}") };
    assert_eq!(std::fs::read_to_string(top.join("two")).unwrap(), "2");
    let run = std::fs::metadata(bottom.join("bin/run")).unwrap();
    assert_eq!((run.permissions().mode() & 0o7777, run.mtime()), (0o755, 1_600_000_000));
    assert_eq!(std::fs::metadata(bottom.join("bin")).unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(std::fs::read_link(bottom.join("bin/alias")).unwrap(), Path::new("/bin/run"));
    assert_eq!(std::fs::metadata(bottom.join("bin/same")).unwrap().ino(), run.ino());
    assert_eq!(std::fs::read_to_string(bottom.join("deep/er/still")).unwrap(), "x");
    if is_root() {
        assert_eq!((run.uid(), run.gid()), (4321, 4321));
    }

    std::fs::write(top.join("mark"), "kept").unwrap();
    let again = unpack(&bench, WhiteoutStyle::None, &reference).await.unwrap();
    assert_eq!(again, unpacked);
    assert!(top.join("mark").exists(), "it was not laid out a second time");
}

#[tokio::test]
async fn hostile_layers_are_refused_and_leave_nothing_behind() {
    let bench = Bench::new();
    let outside = bench.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "precious").unwrap();
    let out = outside.to_str().unwrap();
    let attacks: Vec<(&str, Vec<Piece>)> = vec![
        ("dots", vec![file("../../outside/planted", "x")]),
        ("dots inside", vec![file("a/../../../outside/planted", "x")]),
        ("through an absolute link", vec![entry("l", EntryType::Symlink, out), file("l/planted", "x")]),
        (
            "through a relative link",
            vec![entry("l", EntryType::Symlink, "../../outside"), file("l/planted", "x")],
        ),
        ("through a link to the root", vec![entry("l", EntryType::Symlink, "."), file("l/planted", "x")]),
        (
            "through two links",
            vec![
                entry("a", EntryType::Symlink, "b"),
                entry("b", EntryType::Symlink, out),
                file("a/planted", "x"),
            ],
        ),
        (
            "folder through a link",
            vec![entry("l", EntryType::Symlink, out), entry("l/d/", EntryType::Directory, "")],
        ),
        ("hard link by dots", vec![entry("h", EntryType::Link, "../../outside/precious")]),
        ("hard link to the machine's file", vec![entry("h", EntryType::Link, "/etc/passwd")]),
        (
            "hard link through a link",
            vec![entry("l", EntryType::Symlink, out), entry("h", EntryType::Link, "l/precious")],
        ),
        (
            "hard link to a link",
            vec![entry("l", EntryType::Symlink, "/etc/passwd"), entry("h", EntryType::Link, "l")],
        ),
        ("below a file", vec![file("f", "x"), file("f/g", "x")]),
        ("whiteout by dots", vec![file("a/.wh...", "")]),
        ("whiteout through a link", vec![entry("l", EntryType::Symlink, out), file("l/.wh.precious", "")]),
        ("replaces a full folder", vec![file("d/x", "x"), file("d", "x")]),
        ("the root as a file", vec![file("./", "x")]),
    ];
    for (what, pieces) in attacks {
        let reference = one_layer(&bench, &pieces).await;
        let refused = unpack(&bench, WhiteoutStyle::Overlay, &reference).await;
        assert!(matches!(refused, Err(UnpackError::Hostile { .. })), "{what}: {refused:?}");
        assert_eq!(files_below(&bench.path("layers")), 0, "{what}");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "nothing was planted");
    assert_eq!(std::fs::read_to_string(outside.join("precious")).unwrap(), "precious");
}

#[tokio::test]
async fn what_replaces_a_link_does_not_write_through_it() {
    let bench = Bench::new();
    let victim = bench.path("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let link = victim.to_str().unwrap();
    let reference = one_layer(&bench, &[entry("f", EntryType::Symlink, link), file("f", "new")]).await;
    let unpacked = unpack(&bench, WhiteoutStyle::None, &reference).await.unwrap();
    assert_eq!(std::fs::read_to_string(unpacked.layers[0].join("f")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "untouched");
}

#[tokio::test]
async fn no_device_comes_into_being() {
    let bench = Bench::new();
    let pieces = [
        entry("sda", EntryType::Block, ""),
        entry("null", EntryType::Char, ""),
        entry("p", EntryType::Fifo, ""),
        file("f", ""),
    ];
    let reference = one_layer(&bench, &pieces).await;
    let unpacked = unpack(&bench, WhiteoutStyle::None, &reference).await.unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&unpacked.layers[0]).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    // A pipe by name is no device: it leads nowhere by itself.
    assert_eq!(names, ["f", "p"]);
}

#[tokio::test]
async fn digests_and_limits_are_held_against_the_layer() {
    let bench = Bench::new();
    let tar = tar_of(&[file("f", "x"), file("g", "y")], 0, 0);
    let other = Digest::sha256(b"something else");
    let lying = image(&bench, &[("tar+gzip", gzip(&tar), other.clone())]).await;
    let refused = unpack(&bench, WhiteoutStyle::None, &lying).await;
    assert!(
        matches!(refused, Err(UnpackError::WrongContent { ref expected, .. }) if *expected == other),
        "{refused:?}"
    );

    let honest = image(&bench, &[("tar+gzip", gzip(&tar), Digest::sha256(&tar))]).await;
    for limits in [UnpackLimits { bytes: 1024, entries: 100 }, UnpackLimits { bytes: 1 << 20, entries: 1 }] {
        let refused = bench.unpacker(WhiteoutStyle::None, limits).unpack(&name(), &honest).await;
        assert!(matches!(refused, Err(UnpackError::TooLarge { .. })), "{refused:?}");
    }
    let strange = image(&bench, &[("squashfs", tar.clone(), Digest::sha256(&tar))]).await;
    let refused = unpack(&bench, WhiteoutStyle::None, &strange).await;
    assert!(matches!(refused, Err(UnpackError::MediaType { .. })), "{refused:?}");
    let broken = image(&bench, &[("tar+gzip", b"not gzip at all".to_vec(), Digest::sha256(b""))]).await;
    let refused = unpack(&bench, WhiteoutStyle::None, &broken).await;
    assert!(matches!(refused, Err(UnpackError::Archive { .. })), "{refused:?}");
    assert_eq!(files_below(&bench.path("layers")), 0);
    unpack(&bench, WhiteoutStyle::None, &honest).await.unwrap();
}

#[tokio::test]
async fn what_is_in_holes_counts_and_names_are_bounded() {
    let bench = Bench::new();
    let mut hole = tar::Header::new_gnu();
    hole.set_entry_type(EntryType::GNUSparse);
    hole.set_path("hole").unwrap();
    hole.set_mode(0o644);
    hole.set_size(0);
    for id in [tar::Header::set_uid, tar::Header::set_gid] {
        id(&mut hole, 0);
    }
    hole.set_mtime(0);
    // Four mebibytes that the archive does not have.
    let gnu = hole.as_gnu_mut().unwrap();
    let size = *b"00020000000\0";
    (gnu.sparse[0].offset, gnu.sparse[0].numbytes, gnu.realsize) = (size, *b"00000000000\0", size);
    hole.set_cksum();
    let holes = [hole.as_bytes().as_slice(), &[0; 1024]].concat();
    let mut named = tar::Builder::new(Vec::new());
    named.append_link(&mut tar::Header::new_gnu(), "n".repeat(5 << 20), "x").unwrap();
    let named = named.into_inner().unwrap();
    let limits = UnpackLimits { bytes: 1 << 20, entries: 100 };
    let reference = image(&bench, &[("tar", holes.clone(), Digest::sha256(&holes))]).await;
    let refused = bench.unpacker(WhiteoutStyle::None, limits).unpack(&name(), &reference).await;
    assert!(matches!(refused, Err(UnpackError::TooLarge { .. })), "{refused:?}");
    let reference = image(&bench, &[("tar+gzip", gzip(&named), Digest::sha256(&named))]).await;
    let refused = unpack(&bench, WhiteoutStyle::None, &reference).await.unwrap_err();
    assert!(refused.to_string().contains("names and attributes"), "{refused}");
    let whole = UnpackLimits { bytes: 8 << 20, ..limits };
    let reference = image(&bench, &[("tar", holes.clone(), Digest::sha256(&holes))]).await;
    let unpacked = bench.unpacker(WhiteoutStyle::None, whole).unpack(&name(), &reference).await.unwrap();
    assert_eq!(std::fs::metadata(unpacked.layers[0].join("hole")).unwrap().len(), 4 << 20);
}

#[tokio::test]
async fn a_corrupt_blob_says_that_it_is_one() {
    let bench = Bench::new();
    let noise: String = (0..200_000u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    let tar = tar_of(&[file("f", &noise)], 0, 0);
    for packed in [("tar", tar.clone()), ("tar+gzip", gzip(&tar))] {
        let digest = Digest::sha256(&packed.1);
        let reference = image(&bench, &[(packed.0, packed.1, Digest::sha256(&tar))]).await;
        bench.damage(&digest);
        let refused = unpack(&bench, WhiteoutStyle::None, &reference).await;
        let Err(UnpackError::Blob(BlobError::Corrupt { digest: named, .. })) = refused else {
            panic!("{}: {refused:?}", packed.0)
        };
        assert_eq!(named, digest);
        assert_eq!(files_below(&bench.path("layers")), 0);
    }
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    // No safe wrapper is at hand; the program says it as well.
    let out =
        std::process::Command::new("getfattr").args(["--only-values", "-n", name]).arg(path).output().ok()?;
    out.status.success().then_some(out.stdout)
}

async fn whiteouts(style: WhiteoutStyle) -> Result<(Bench, PathBuf), UnpackError> {
    let bench = Bench::new();
    let pieces = [
        file("kept", "x"),
        file(".wh.gone", ""),
        file("sub/.wh..wh..opq", ""),
        file("sub/new", "x"),
        file("sub/.wh.new", ""),
    ];
    let reference = one_layer(&bench, &pieces).await;
    let unpacked = unpack(&bench, style, &reference).await?;
    Ok((bench, unpacked.layers[0].clone()))
}

#[tokio::test]
async fn whiteouts_become_what_overlay_understands() {
    let (_bench, plain) = whiteouts(WhiteoutStyle::None).await.unwrap();
    assert!(!plain.join("gone").exists() && plain.join("sub/new").exists());
    assert_eq!(files_below(&plain), 2, "no mark is left over");
    if !is_root() {
        return windlass_testkit::skip(
            "whiteouts_for_overlay",
            "only root may make the marks of a root's overlay",
        );
    }
    match whiteouts(WhiteoutStyle::Overlay).await {
        Ok((_bench, layer)) => {
            let gone = std::fs::symlink_metadata(layer.join("gone")).unwrap();
            assert!(gone.file_type().is_char_device() && gone.rdev() == 0, "{gone:?}");
            assert!(std::fs::metadata(layer.join("sub/new")).unwrap().is_file(), "what is there wins");
            if let Some(value) = attribute(&layer.join("sub"), "trusted.overlay.opaque") {
                assert_eq!(value, b"y");
            }
        }
        Err(UnpackError::Archive { why, .. }) => {
            windlass_testkit::skip(
                "whiteouts_for_overlay",
                &format!("this machine does not allow the marks: {why}"),
            );
        }
        Err(e) => panic!("{e}"),
    }
}
