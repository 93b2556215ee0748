//! Archives and base images that mean harm.

use std::io::Write as _;
use std::path::Path;

use tar::{EntryType, Header};
use windlass_build::BuildError;

use crate::fixture::Site;

/// An entry of an archive: kind, path, target of a link or content.
type Piece<'a> = (EntryType, &'a str, &'a str);

/// An archive with these entries, whatever their paths are.
fn archive(pieces: &[Piece<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, path, content) in pieces {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if link {
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
        }
        let bytes = if link { "" } else { content };
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(bytes.as_bytes());
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend_from_slice(&[0; 1024]);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A file that must not change, and where a link of an image would lead.
struct Outside {
    at: std::path::PathBuf,
}

impl Outside {
    fn new(site: &Site) -> Self {
        let at = site.path("outside");
        std::fs::create_dir(&at).unwrap();
        std::fs::write(at.join("precious"), "precious").unwrap();
        Self { at }
    }

    fn check(&self, what: &str) {
        assert_eq!(std::fs::read_dir(&self.at).unwrap().count(), 1, "{what}: something was planted");
        assert_eq!(std::fs::read_to_string(self.at.join("precious")).unwrap(), "precious", "{what}");
        let links =
            std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(self.at.join("precious")).unwrap());
        assert_eq!(links, 1, "{what}: it got another name");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_added_stay_in_the_image() {
    use EntryType::{Char, Directory, Link, Regular, Symlink};
    let site = Site::new().await;
    let outside = Outside::new(&site);
    let out = outside.at.to_str().unwrap();
    let hard = format!("{}/precious", out.trim_start_matches('/'));
    let cases: Vec<(&str, Vec<Piece<'_>>, bool)> = vec![
        ("dots", vec![(Regular, "../../../../outside/planted", "x")], true),
        ("dots inside", vec![(Regular, "a/../../../outside/planted", "x")], true),
        ("hard link by dots", vec![(Link, "h", "../../../outside/precious")], true),
        ("hard link to a file of the machine", vec![(Link, "h", "/etc/hostname")], true),
        ("hard link to a file that is not there", vec![(Link, "h", &hard)], true),
        ("below a file", vec![(Regular, "f", "x"), (Regular, "f/g", "x")], true),
        // Links are the image's: they lead where they lead within it.
        ("through an absolute link", vec![(Symlink, "l", out), (Regular, "l/planted", "x")], false),
        (
            "through a relative link",
            vec![(Symlink, "l", "../../outside"), (Regular, "l/planted", "x")],
            false,
        ),
        ("a folder through a link", vec![(Symlink, "l", out), (Directory, "l/d/", "")], false),
        ("a file in the place of a link", vec![(Symlink, "l", "/etc/hostname"), (Regular, "l", "x")], false),
        ("a device", vec![(Char, "null", ""), (Regular, "beside", "x")], false),
    ];
    for (what, pieces, refused) in cases {
        std::fs::create_dir_all(site.path("context")).unwrap();
        std::fs::write(site.path("context/evil.tar"), archive(&pieces)).unwrap();
        let outcome = site.build("FROM scratch\nADD evil.tar /in/\n").await;
        match outcome {
            Ok(built) => {
                assert!(!refused, "{what} is taken");
                assert!(built.files.values().all(|file| "dflh".contains(file.kind)), "{what}");
            }
            Err(error) => assert!(refused, "{what}: {error}"),
        }
        outside.check(what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_grow_are_ended_at_the_limit() {
    let site = Site::new().await;
    std::fs::create_dir_all(site.path("context")).unwrap();
    let zeros = "\0".repeat(90 << 20);
    let bomb = gzip(&archive(&[(EntryType::Regular, "zeros", &zeros)]));
    assert!(bomb.len() < 1 << 20);
    std::fs::write(site.path("context/bomb.tar.gz"), &bomb).unwrap();
    let mut request = site.request("FROM scratch\nADD bomb.tar.gz /in/\n");
    request.limits.layer_bytes = 64 << 20;
    let Err(BuildError::Step(failed)) = site.run(request.clone()).await else { panic!("it must fail") };
    assert!(failed.message.contains("more than 64 MiB"), "{}", failed.message);
    // As it is, packed, it may be copied.
    request.dockerfile =
        windlass_build::DockerfileSource::Text("FROM scratch\nCOPY bomb.tar.gz /in/\n".into());
    assert!(site.run(request).await.unwrap().has("in/bomb.tar.gz"));
    let left = std::fs::read_dir(site.builder.store().root().join("steps")).unwrap().flatten();
    assert_eq!(left.filter(|entry| entry.path().join("in/zeros").exists()).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_too_many_entries_is_refused() {
    let site = Site::new().await;
    std::fs::create_dir_all(site.path("context")).unwrap();
    // The same file again and again: what counts is what has to be done.
    let one = archive(&[(EntryType::Regular, "f", "")]);
    let entry = &one[..512];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&entry.repeat(5_001)).unwrap();
    std::fs::write(site.path("context/many.tar.gz"), packed.finish().unwrap()).unwrap();
    let mut request = site.request("FROM scratch\nADD many.tar.gz /\n");
    assert_eq!(request.limits.layer_entries, 1_000_000, "what is usual");
    request.limits.layer_entries = 5_000;
    let why = site.run(request.clone()).await.err().unwrap().to_string();
    assert!(why.contains("more than 5000 entries"), "{why}");
    request.limits.layer_entries = 5_001;
    assert!(site.run(request).await.unwrap().has("f"));
    // So it is with a base image.
    let many = flate2::read::GzDecoder::new(std::fs::File::open(site.path("context/many.tar.gz")).unwrap());
    let mut layer = Vec::new();
    std::io::Read::read_to_end(&mut { many }, &mut layer).unwrap();
    layer.extend_from_slice(&[0; 1024]);
    load(&site, &layer, "many").await.unwrap();
    site.file("a", "a");
    let mut request = site.request("FROM many\nCOPY a /a\n");
    request.limits.layer_entries = 5_000;
    let why = site.run(request).await.err().unwrap().to_string();
    assert!(why.contains("5000"), "{why}");
}

/// Takes an image of one layer into the store, as `docker load` would.
async fn load(site: &Site, layer: &[u8], name: &str) -> Result<(), BuildError> {
    use sha2::Digest as _;
    let diff_id = hex::encode(sha2::Sha256::digest(layer));
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#,
        if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
    );
    let manifest =
        format!(r#"[{{"Config":"config.json","RepoTags":["{name}:latest"],"Layers":["layer.tar"]}}]"#);
    let folder = site.path(&format!("saved-{name}"));
    std::fs::create_dir(&folder).unwrap();
    for (file, bytes) in
        [("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes()), ("layer.tar", layer)]
    {
        std::fs::write(folder.join(file), bytes).unwrap();
    }
    site.builder.load(Path::new(&folder)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn base_images_that_mean_harm_are_refused_or_stay_what_they_are() {
    use EntryType::{Block, Char, Link, Regular, Symlink};
    let site = Site::new().await;
    let outside = Outside::new(&site);
    let out = outside.at.to_str().unwrap();
    site.file("a", "a");
    let cases: Vec<(&str, Vec<Piece<'_>>, &str, bool)> = vec![
        ("dots", vec![(Regular, "../../outside/planted", "x")], "COPY a /a", true),
        ("through-link", vec![(Symlink, "l", out), (Regular, "l/planted", "x")], "COPY a /a", true),
        ("hard-link-out", vec![(Link, "h", "../../outside/precious")], "COPY a /a", true),
        ("hard-link-abs", vec![(Link, "h", "/etc/passwd")], "COPY a /a", true),
        ("removal-out", vec![(Symlink, "l", out), (Regular, "l/.wh.precious", "")], "COPY a /a", true),
        // Links in a base are harmless: what is copied through them stays in the image.
        ("copied-through", vec![(Symlink, "l", out)], "COPY a /l/planted", false),
        (
            "copied-through-dots",
            vec![(Symlink, "l", "../../../../../../outside")],
            "COPY a /l/planted",
            false,
        ),
        ("folder-through", vec![(Symlink, "l", out)], "WORKDIR /l/planted", false),
        ("devices", vec![(Char, "dev/mem", ""), (Block, "dev/sda", "")], "COPY a /a", false),
    ];
    for (name, pieces, step, refused) in cases {
        load(&site, &archive(&pieces), name).await.unwrap();
        let outcome = site.build(&format!("FROM {name}\n{step}\n")).await;
        match outcome {
            Ok(built) => {
                assert!(!refused, "{name} is taken");
                assert!(!built.has("dev/mem") && !built.has("dev/sda"), "{name}");
            }
            Err(error) => assert!(refused, "{name}: {error}"),
        }
        outside.check(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_image_that_grows_is_ended_at_the_limit() {
    let site = Site::new().await;
    site.file("a", "a");
    let zeros = "\0".repeat(90 << 20);
    load(&site, &archive(&[(EntryType::Regular, "zeros", &zeros)]), "bomb").await.unwrap();
    let mut request = site.request("FROM bomb\nCOPY a /a\n");
    request.limits.layer_bytes = 64 << 20;
    let why = site.run(request).await.err().unwrap().to_string();
    assert!(why.contains("limit") || why.contains("more than"), "{why}");
    let layers = std::fs::read_dir(site.builder.store().root().join("layers")).unwrap().flatten();
    assert_eq!(
        layers.filter(|entry| entry.path().join("zeros").exists()).count(),
        0,
        "nothing is half there"
    );
}
