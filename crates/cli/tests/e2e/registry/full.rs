//! A disk that is full before a push is over: said in the specification's words, and what was sent is given back.

use nix::sys::statvfs::statvfs;

use super::killed::{copied, digest, files, image, no_half_blob, noise, skopeo};
use super::wire::Wire;
use crate::limits::SmallDisk;
use crate::platform::{Options, Platform, is_root, program, told, wait_for, wanted};

/// The disk's free bytes.
fn free(disk: &SmallDisk) -> u64 {
    let told = statvfs(&disk.0).unwrap();
    told.blocks_available() * told.fragment_size()
}

#[test]
fn a_push_that_fills_the_disk_is_refused_in_words_and_gives_its_space_back() {
    const NAME: &str = "registry: full disk";
    if !wanted(NAME) {
        return;
    }
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    if !is_root() {
        return windlass_testkit::skip(NAME, "only root can mount a small disk");
    }
    let disk = match SmallDisk::mount(96) {
        Ok(disk) => disk,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let options = Options { data: Some(disk.0.join("data")), ..Options::default() };
    let Some(platform) = Platform::start_with(NAME, options) else { return };
    platform.ok(&["project", "create", "narrow"]);
    let folder = |name: &str| format!("dir:{}", platform.folder().join(name).display());
    let ours = |name: &str| format!("docker://{}/narrow/{name}:v1", platform.address());
    let large = noise(160 << 20, 3);
    image(&platform.folder().join("small"), &[noise(50_000, 1)]);
    image(&platform.folder().join("after"), &[noise(2 << 20, 2)]);
    image(&platform.folder().join("large"), &[noise(30_000, 4), large.clone()]);
    copied(&platform, &folder("small"), &ours("small"));
    let control = platform.pid_of("control");
    let room = free(&disk);
    assert!(room < large.len() as u64, "the disk is too large for this test: {room}");

    // As a client does it, which sends what it sends as a stream.
    let refused = skopeo(&platform, &folder("large"), &ours("large")).wait_with_output().unwrap();
    let text = told(&refused);
    assert!(!refused.status.success(), "a push onto a full disk succeeded: {text}");
    assert!(text.contains("507 Insufficient Storage"), "skopeo was told: {text}");
    given_back(&platform, &disk, room);

    // In one request; in chunks; and with the last of them.
    let path = "/v2/narrow/large/blobs/uploads/";
    let name = format!("sha256:{}", digest(&large));
    let begin = || {
        let begun = Wire::ask(&platform, "POST", path, &[], b"");
        begun.header("location").unwrap_or_else(|| panic!("{}", begun.text())).to_owned()
    };
    for way in ["whole", "chunk", "last chunk"] {
        let (method, path) = match way {
            "whole" => ("POST", format!("{path}?digest={name}")),
            "chunk" => ("PATCH", begin()),
            _ => ("PUT", format!("{}?digest={name}", begin())),
        };
        let refused = Wire::ask(&platform, method, &path, &[], &large);
        assert_eq!(refused.status(), 507, "{way}: {}", refused.text());
        let (code, message) = refused.error();
        assert!(!code.is_empty() && message.contains("full"), "{way}: {code} {message}");
        given_back(&platform, &disk, room);
    }
    assert_eq!(platform.pid_of("control"), control, "control did not live through it");
    let page = crate::platform::page(&platform, "/v2/narrow/large/manifests/v1");
    assert_eq!(page.status, 404, "a manifest of a push that failed: {}", page.body);
    no_half_blob(&platform);

    for name in ["after", "small"] {
        copied(&platform, &folder(name), &ours(name));
        let back = format!("{name}-back");
        copied(&platform, &ours(name), &folder(&back));
        let manifest = |folder: &str| std::fs::read(platform.folder().join(folder).join("manifest.json"));
        assert_eq!(manifest(&back).unwrap(), manifest(name).unwrap());
    }
    platform.assert_ledger_whole();
    drop(platform);
    drop(disk);
}

/// Waits until nothing of an upload is left, and as much is free as before, but for what the ledger wrote meanwhile.
#[track_caller]
fn given_back(platform: &Platform, disk: &SmallDisk, room: u64) {
    wait_for("the uploads to be gone", 20, || {
        let left = files(&platform.data.join("blobs/uploads"));
        left.is_empty().then_some(())
    });
    wait_for("the disk to be free again", 20, || (free(disk) + (8 << 20) > room).then_some(()));
}
