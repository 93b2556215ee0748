//! Clients that send a manifest as large as a film, and clients that stop in the middle: the others do not notice.

use super::killed::{copied, digest, image, noise};
use super::wire::Wire;
use crate::platform::{Platform, peak, program, wait_for};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const HUGE: usize = 100 << 20;

/// Puts a manifest with an annotation that goes on and on; the answer's status, code and message.
fn put_huge(platform: &Platform, tag: &str, announced: bool) -> (u16, String, String) {
    let path = format!("/v2/huge/manifests/{tag}");
    let length = HUGE.to_string();
    let how = if announced { ("Content-Length", length.as_str()) } else { ("Transfer-Encoding", "chunked") };
    let mut wire = Wire::begin(platform, "PUT", &path, &[("Content-Type", MANIFEST), how]);
    let mut send = |bytes: &[u8]| {
        if announced {
            return wire.send(bytes);
        }
        let size = format!("{:x}\r\n", bytes.len());
        wire.send(size.as_bytes()) && wire.send(bytes) && wire.send(b"\r\n")
    };
    let start = format!("{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"annotations\":{{\"long\":\"");
    let mut sent = send(start.as_bytes());
    let more = vec![b'x'; 1 << 20];
    for _ in 0..HUGE >> 20 {
        sent = sent && send(&more);
    }
    let answer = wire.answer();
    let (code, message) = answer.error();
    (answer.status(), code, message)
}

#[test]
fn a_manifest_of_a_hundred_megabytes_is_refused_and_costs_no_memory() {
    const NAME: &str = "registry: huge manifest";
    let Some(platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "huge"]);
    let control = platform.pid_of("control");
    let before = peak(control).unwrap();
    for announced in [true, false] {
        let (status, code, message) = put_huge(&platform, "v1", announced);
        assert_eq!((status, code.as_str()), (413, "MANIFEST_INVALID"), "announced: {announced}: {message}");
        assert!(message.contains("4194304"), "it does not say what is allowed: {message}");
    }
    // Many at once, of both kinds.
    std::thread::scope(|scope| {
        for n in 0..12 {
            let platform = &platform;
            scope.spawn(move || {
                let (status, code, message) = put_huge(platform, &format!("many-{n}"), n % 2 == 0);
                assert_eq!((status, code.as_str()), (413, "MANIFEST_INVALID"), "{message}");
            });
        }
    });
    let after = peak(control).unwrap();
    assert!(after < before + HUGE as u64, "control grew from {} to {} MiB", before >> 20, after >> 20);
    assert_eq!(platform.pid_of("control"), control, "control did not live through it");
    let page = crate::platform::page(&platform, "/v2/huge/manifests/v1");
    assert_eq!(page.status, 404, "{}", page.body);
}

#[test]
fn clients_that_stall_are_let_go_and_nobody_waits_for_them() {
    const NAME: &str = "registry: stalled clients";
    if program("skopeo").is_none() {
        return windlass_testkit::skip(NAME, "there is no skopeo");
    }
    let Some(platform) = Platform::start(NAME) else { return };
    platform.ok(&["project", "create", "stall"]);
    let large = noise(64 << 20, 7);
    let folder = |name: &str| platform.folder().join(name);
    image(&folder("large"), std::slice::from_ref(&large));
    let ours = |name: &str| format!("docker://{}/stall/{name}:v1", platform.address());
    copied(&platform, &format!("dir:{}", folder("large").display()), &ours("large"));

    // One stops sending, one stops reading.
    let upload = noise(10 << 20, 8);
    let begun = Wire::ask(&platform, "POST", "/v2/stall/half/blobs/uploads/", &[], b"");
    let place = begun.header("location").unwrap().to_owned();
    let length = upload.len().to_string();
    let mut sender = Wire::begin(&platform, "PATCH", &place, &[("Content-Length", &length)]);
    let (first, rest) = upload.split_at(1 << 20);
    assert!(sender.send(first));
    let path = format!("/v2/stall/large/blobs/sha256:{}", digest(&large));
    let mut reader = Wire::begin(&platform, "GET", &path, &[]);
    let head = reader.some();
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    assert!(sender.held() && reader.held(), "the table of connections does not show them");

    // The others push and pull, the very same blob too.
    for turn in 0..3 {
        let name = format!("other-{turn}");
        image(&folder(&name), &[noise(300_000, 20 + turn)]);
        copied(&platform, &format!("dir:{}", folder(&name).display()), &ours(&name));
    }
    copied(&platform, &ours("large"), &format!("dir:{}", folder("back").display()));

    let cut = sender.answer();
    assert_eq!((cut.status(), cut.error().0.as_str()), (408, "BLOB_UPLOAD_INVALID"), "{}", cut.text());
    wait_for("the connection of the one that reads nothing to be closed", 300, || {
        (!reader.held()).then_some(())
    });
    let got = head.len() + reader.rest();
    assert!(got < large.len(), "it has it all: {got} bytes");

    // What came before is kept, and can be gone on with.
    let kept = Wire::ask(&platform, "GET", &place, &[], b"");
    assert_eq!((kept.status(), kept.header("range")), (204, Some("0-1048575")), "{}", kept.text());
    let range = format!("{}-{}", first.len(), upload.len() - 1);
    let more = Wire::ask(&platform, "PATCH", &place, &[("Content-Range", &range)], rest);
    assert_eq!(more.status(), 202, "{}", more.text());
    let whole = format!("{place}?digest=sha256:{}", digest(&upload));
    let whole = Wire::ask(&platform, "PUT", &whole, &[], b"");
    assert_eq!(whole.status(), 201, "{}", whole.text());
}
