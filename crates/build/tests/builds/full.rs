//! A disk that fills while a build writes to it: the store lies on a small one, in a mount namespace of its own.

use std::process::Command;

use crate::fixture::Site;

const PLACE: &str = "WINDLASS_TEST_FULL_PLACE";
/// Enough for the base image, and for little more.
const SIZE: &str = "size=48m";

/// Not a test of its own: [`a_disk_that_fills_is_told_and_leaves_nothing_half_done`] runs it where the disk is small.
#[tokio::test(flavor = "multi_thread")]
async fn inner() {
    if std::env::var_os(PLACE).is_none() {
        return;
    }
    let site = Site::with_steps("a_disk_that_fills").await.expect("it ran outside of the namespace");
    site.file("small", "small");
    let big = site.path("context/big");
    let file = std::fs::File::create(&big).unwrap();
    // Many bytes that take none on the disk as long as nobody copies them.
    file.set_len(96 << 20).unwrap();
    let step = "FROM base\nRUN dd if=/dev/zero of=/big bs=1048576 count=96\n";
    let quick = "FROM base\nRUN dd if=/dev/urandom of=/big bs=65536 count=2000 2>/dev/null; sleep 30; true\n";
    let copy = "FROM base\nRUN echo before > /before\nCOPY big /big\n";
    for dockerfile in [step, quick, copy] {
        let why = site.build(dockerfile).await.err().expect("there is no room for it").to_string();
        let said = why.contains("No space left on device") || why.contains("the disk is nearly full");
        assert!(said, "{dockerfile}: {why}");
        // What is there works, and what did not fit is not known.
        let fine = site.build("FROM base\nCOPY small /small\nRUN cat /small > /copy\n").await;
        assert_eq!(fine.unwrap_or_else(|e| panic!("after {dockerfile}: {e}")).text("copy"), "small");
        assert!(site.build(dockerfile).await.is_err(), "{dockerfile}: it is not half in the cache");
    }
    let left: Vec<_> =
        std::fs::read_dir(site.builder.store().root().join("steps")).unwrap().flatten().collect();
    let big = left.iter().filter(|entry| entry.path().join("big").exists()).count();
    assert_eq!(big, 0, "nothing of the steps that failed is kept");
    println!("the disk was full, and it went on");
}

#[test]
fn a_disk_that_fills_is_told_and_leaves_nothing_half_done() {
    let name = "a_disk_that_fills_is_told";
    if !nix::unistd::geteuid().is_root() {
        return windlass_testkit::skip(name, "a small disk is mounted by root only");
    }
    let temp = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o \"$1\" none \"$2\" && exec \"$3\" full::inner --exact --nocapture";
    let out = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", mount, "sh", SIZE])
        .arg(temp.path())
        .arg(std::env::current_exe().unwrap())
        .env(PLACE, "1")
        .env("TMPDIR", temp.path())
        .output();
    let out = match out {
        Ok(out) => out,
        Err(error) => {
            return windlass_testkit::skip(name, &format!("there is no program `unshare`: {error}"));
        }
    };
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if said.contains("mount: ") && said.contains("permission denied") {
        return windlass_testkit::skip(name, "nothing can be mounted here");
    }
    assert!(out.status.success() && said.contains("the disk was full, and it went on"), "{said}");
}
