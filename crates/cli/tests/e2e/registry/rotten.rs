//! Bytes that rot while the platform runs: told by a scrub, never given to anybody, healed by a mirror or the next push.

use std::os::unix::fs::PermissionsExt as _;

use super::killed::{copied, digest, files, image, noise, skopeo};
use super::wire::Wire;
use crate::platform::{Platform, program, told};

/// Turns one bit of a blob.
#[track_caller]
fn rot(platform: &Platform, hex: &str) {
    let all = files(&platform.data.join("blobs/sha256"));
    let path = all.iter().find(|p| p.ends_with(hex)).unwrap_or_else(|| panic!("no blob {hex}"));
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Asks for a blob: whatever comes, it is never a whole answer with other bytes. Whether it came.
#[track_caller]
fn comes(platform: &Platform, repository: &str, hex: &str) -> bool {
    let answer = Wire::ask(platform, "GET", &format!("/v2/{repository}/blobs/sha256:{hex}"), &[], b"");
    if answer.status() != 200 {
        let (code, message) = answer.error();
        assert!(!code.is_empty() && !message.is_empty(), "{}", answer.text());
        return false;
    }
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    if answer.body.len() < length {
        return false;
    }
    assert_eq!(digest(&answer.body), hex, "wrong bytes were given");
    true
}

fn hex(layers: &[Vec<u8>]) -> Vec<String> {
    layers.iter().map(|layer| digest(layer)).collect()
}

#[test]
fn a_rotten_blob_is_told_never_given_and_put_right_by_the_next_push() {
    const NAME: &str = "registry: rotten blob";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some(platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "own"]);
    let layers = [noise(20_000, 31), noise(3 << 20, 32), noise(50_000, 33)];
    let hexes = hex(&layers);
    let from = format!("dir:{}", platform.folder().join("own").display());
    image(&platform.folder().join("own"), &layers);
    let to = format!("docker://{}/own/app:v1", platform.address());
    let back = format!("dir:{}", platform.folder().join("back").display());
    copied(&platform, &from, &to);
    copied(&platform, &to, &back);

    // Found by whoever pulls.
    for hex in &hexes[..2] {
        rot(&platform, hex);
        assert!(!comes(&platform, "own/app", hex), "a rotten blob came");
        assert!(!comes(&platform, "own/app", hex), "a blob that was found rotten came");
        let pulled = skopeo(&platform, &to, &back).wait_with_output().unwrap();
        assert!(!pulled.status.success(), "an image with a rotten layer was pulled: {}", told(&pulled));
        copied(&platform, &from, &to);
        assert!(comes(&platform, "own/app", hex), "the push did not put it right");
    }
    // Found by a scrub.
    rot(&platform, &hexes[2]);
    let scrubbed = platform.run(&["registry", "scrub"]);
    let text = told(&scrubbed);
    assert_eq!(scrubbed.status.code(), Some(1), "{text}");
    for part in [hexes[2].as_str(), "own/app", "push it again"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains(&hexes[0]) && !text.contains(&hexes[1]), "what is whole is called rotten: {text}");
    let ledger = platform.ledger();
    let event = ledger.iter().find(|e| e.kind == "registry.scrubbed").expect("the scrub in the ledger");
    assert!(event.data.to_string().contains(&hexes[2]), "{}", event.data);
    assert!(!comes(&platform, "own/app", &hexes[2]), "a rotten blob came");
    let kept = files(&platform.data.join("blobs/corrupt"));
    assert_eq!(kept.len(), 3, "what was rotten is not set aside: {kept:?}");
    copied(&platform, &from, &to);
    copied(&platform, &to, &back);
    let text = platform.ok(&["registry", "scrub"]);
    assert!(!text.contains("sha256:"), "{text}");
    platform.assert_ledger_whole();
}

#[test]
fn a_rotten_blob_of_a_mirror_is_fetched_anew() {
    const NAME: &str = "registry: rotten mirror";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some(upstream) = Platform::start(NAME) else { return };
    let Some(mut platform) = Platform::start(NAME) else { return };
    let mut upstream = upstream;
    upstream.ok(&["project", "create", "source"]);
    let layers = [noise(20_000, 41), noise(3 << 20, 42)];
    let hexes = hex(&layers);
    let folder = upstream.folder().join("source");
    image(&folder, &layers);
    let from = format!("dir:{}", folder.display());
    copied(&upstream, &from, &format!("docker://{}/source/app:v1", upstream.address()));
    let manifest = std::fs::read(folder.join("manifest.json")).unwrap();

    // A token that outlasts the other registry's restart.
    let token = upstream.account("puller", "viewer");
    let add = ["registry", "mirror", "add", "up", &upstream.url, "--username", "puller", "--password-stdin"];
    let added = platform.run_with_input(&add, &token);
    assert!(added.status.success(), "{}", told(&added));
    let ours = format!("docker://{}/mirror/up/source/app:v1", platform.address());
    let place = platform.folder().join("back");
    let back = format!("dir:{}", place.display());
    let right = |platform: &Platform| {
        let _ = std::fs::remove_dir_all(&place);
        copied(platform, &ours, &back);
        assert_eq!(std::fs::read(place.join("manifest.json")).unwrap(), manifest);
        for (hex, layer) in hexes.iter().zip(&layers) {
            assert!(std::fs::read(place.join(hex)).unwrap() == *layer, "{hex} came back as something else");
        }
    };
    right(&platform);

    let all = [hexes.clone(), vec![digest(&manifest)]].concat();
    for hex in &all {
        rot(&platform, hex);
    }
    let text = platform.ok(&["registry", "scrub"]);
    for hex in &all {
        let line =
            text.lines().find(|line| line.contains(hex)).unwrap_or_else(|| panic!("no {hex} in {text}"));
        assert!(line.contains("fetched anew by mirror/up/source/app"), "{line}");
    }
    right(&platform);
    // Found by whoever pulls: what was on its way is cut off, the next one has it.
    for hex in &hexes {
        rot(&platform, hex);
        let first = comes(&platform, "mirror/up/source/app", hex);
        assert!(first || comes(&platform, "mirror/up/source/app", hex), "{hex} was not fetched anew");
    }
    rot(&platform, &all[2]);
    right(&platform);

    // With the other registry away it is told, not given; and healed when that is back.
    upstream.down().unwrap();
    rot(&platform, &hexes[1]);
    let scrubbed = platform.run(&["registry", "scrub"]);
    assert_eq!(scrubbed.status.code(), Some(1), "{}", told(&scrubbed));
    assert!(!comes(&platform, "mirror/up/source/app", &hexes[1]), "a rotten blob came");
    upstream.up();
    right(&platform);
    let text = platform.ok(&["registry", "scrub"]);
    assert!(!text.contains("sha256:"), "{text}");
    platform.assert_ledger_whole();
    platform.down().unwrap();
}
