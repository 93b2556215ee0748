//! The blob port over files: what exists is whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use windlass_kernel::{Algorithm, Digest, OsEntropy};
use windlass_oci::{BlobError, BlobStore, ByteStream, FileBlobs, one_chunk};

use crate::bench::{Bench, files_below};

const HELLO: &[u8] = b"hello, blobs";

fn chunks(bytes: &[u8], size: usize) -> ByteStream {
    let pieces: Vec<Result<Bytes, BlobError>> =
        bytes.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(pieces).boxed()
}

fn store(bench: &Bench) -> &dyn BlobStore {
    &*bench.blobs
}

#[tokio::test]
async fn a_blob_appears_only_when_its_digest_is_right() {
    let bench = Bench::new();
    let blobs = store(&bench);
    let digest = Digest::sha256(HELLO);

    let upload = blobs.begin().await.unwrap();
    assert_eq!(blobs.append(&upload, Some(0), chunks(HELLO, 5)).await.unwrap(), HELLO.len() as u64);
    assert_eq!(blobs.stat(&digest).await.unwrap(), None, "not yet");
    let wrong = blobs.finish(&upload, &Digest::sha256(b"other")).await;
    assert!(matches!(wrong, Err(BlobError::WrongDigest { ref found, .. }) if *found == digest), "{wrong:?}");
    assert!(matches!(blobs.uploaded(&upload).await, Err(BlobError::UnknownUpload(_))));
    assert_eq!(files_below(&bench.path("blobs")), 0, "nothing is left");

    assert_eq!(blobs.put(Bytes::from_static(HELLO)).await.unwrap(), digest);
    assert_eq!(blobs.stat(&digest).await.unwrap(), Some(12));
    assert_eq!(blobs.read(&digest, 100).await.unwrap(), HELLO);
    assert!(matches!(blobs.read(&digest, 5).await, Err(BlobError::TooLarge { limit: 5 })));
    let list = blobs.list().await.unwrap();
    assert_eq!(list.iter().map(|b| (&b.digest, b.size)).collect::<Vec<_>>(), [(&digest, 12)]);
    assert!(blobs.delete(&digest).await.unwrap());
    assert!(!blobs.delete(&digest).await.unwrap());
    assert!(matches!(blobs.open(&digest, None).await, Err(BlobError::Unknown(_))));
}

#[tokio::test]
async fn sha512_is_verified_too() {
    let bench = Bench::new();
    let digest = Digest::of(Algorithm::Sha512, HELLO);
    let upload = bench.blobs.begin().await.unwrap();
    bench.blobs.append(&upload, None, one_chunk(Bytes::from_static(HELLO))).await.unwrap();
    bench.blobs.finish(&upload, &digest).await.unwrap();
    assert_eq!(store(&bench).read(&digest, 100).await.unwrap(), HELLO);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_broken_off_also_after_a_restart() {
    let bench = Bench::new();
    let upload = bench.blobs.begin().await.unwrap();
    let broken: ByteStream = stream::iter([
        Ok(Bytes::from_static(b"hello")),
        Err(BlobError::Interrupted("the client went away".into())),
    ])
    .boxed();
    assert!(matches!(bench.blobs.append(&upload, Some(0), broken).await, Err(BlobError::Interrupted(_))));
    assert_eq!(bench.blobs.uploaded(&upload).await.unwrap(), 5);
    let gap = bench.blobs.append(&upload, Some(6), one_chunk(Bytes::from_static(b"x"))).await;
    assert!(matches!(gap, Err(BlobError::OutOfOrder { size: 5, start: 6 })), "{gap:?}");

    let restarted = FileBlobs::open(&bench.path("blobs"), bench.clock.clone(), Arc::new(OsEntropy)).unwrap();
    assert_eq!(restarted.uploaded(&upload).await.unwrap(), 5);
    restarted.append(&upload, Some(5), chunks(&HELLO[5..], 2)).await.unwrap();
    restarted.finish(&upload, &Digest::sha256(HELLO)).await.unwrap();
    assert_eq!(store(&bench).read(&Digest::sha256(HELLO), 100).await.unwrap(), HELLO);
}

#[tokio::test]
async fn concurrent_pushes_of_one_blob_store_it_once() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let digest = Digest::sha256(&bytes);
    let pushes = (0..8).map(|_| async {
        let upload = bench.blobs.begin().await.unwrap();
        bench.blobs.append(&upload, Some(0), chunks(&bytes, 65_536)).await.unwrap();
        bench.blobs.finish(&upload, &digest).await.unwrap()
    });
    let sizes = futures_util::future::join_all(pushes).await;
    assert!(sizes.iter().all(|size| *size == bytes.len() as u64));
    assert_eq!(files_below(&bench.path("blobs")), 1);
    assert_eq!(store(&bench).read(&digest, u64::MAX).await.unwrap(), bytes);
}

#[tokio::test]
async fn only_idle_uploads_are_swept() {
    let bench = Bench::new();
    let files = bench.path("blobs");
    let upload = bench.blobs.begin().await.unwrap();
    bench.blobs.append(&upload, None, one_chunk(Bytes::from_static(HELLO))).await.unwrap();
    // The files' times are real; the clock is set to before and then well after them.
    let past = Arc::new(windlass_testkit::TestClock::at(0));
    let early = FileBlobs::open(&files, past, Arc::new(OsEntropy)).unwrap();
    assert_eq!(early.sweep(Duration::from_hours(1)).await.unwrap(), 0);
    let future = Arc::new(windlass_testkit::TestClock::at(4_000_000_000_000));
    let late = FileBlobs::open(&files, future, Arc::new(OsEntropy)).unwrap();
    assert_eq!(late.sweep(Duration::from_hours(1)).await.unwrap(), 1);
    assert_eq!(files_below(&files), 0);
    assert!(matches!(late.uploaded(&upload).await, Err(BlobError::UnknownUpload(_))));
}

#[tokio::test]
async fn parts_are_read_and_those_outside_refused() {
    let bench = Bench::new();
    let digest = store(&bench).put(Bytes::from_static(HELLO)).await.unwrap();
    let blob = bench.blobs.open(&digest, Some(7..12)).await.unwrap();
    let parts: Vec<Bytes> = blob.bytes.map(Result::unwrap).collect().await;
    assert_eq!((blob.size, parts.concat().as_slice()), (12, &b"blobs"[..]));
    for outside in [0..13, 12..13, 5..5] {
        let refused = bench.blobs.open(&digest, Some(outside)).await;
        assert!(matches!(refused, Err(BlobError::OutOfRange { size: 12 })));
    }
}

#[tokio::test]
async fn a_corrupt_blob_never_comes_whole_is_set_aside_and_can_be_pushed_again() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let digest = store(&bench).put(bytes.clone().into()).await.unwrap();
    bench.damage(&digest);

    let mut blob = bench.blobs.open(&digest, None).await.unwrap();
    let (mut passed, mut failure) = (0, None);
    while let Some(chunk) = blob.bytes.next().await {
        match chunk {
            Ok(chunk) => passed += chunk.len(),
            Err(error) => failure = Some(error),
        }
    }
    assert!(passed < bytes.len(), "the last bytes are held back");
    let text = failure.expect("an error ends the stream").to_string();
    assert!(
        text.contains("corrupt") && text.contains(digest.hex()) && text.contains("push the image again"),
        "{text}"
    );

    assert_eq!(bench.blobs.stat(&digest).await.unwrap(), None, "it no longer counts as there");
    store(&bench).put(bytes.clone().into()).await.unwrap();
    assert_eq!(store(&bench).read(&digest, u64::MAX).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    // /dev/full answers every write with "no space left".
    let bench = Bench::new();
    let upload = bench.blobs.begin().await.unwrap();
    let path = bench.path("blobs").join("uploads").join(upload.as_str());
    std::fs::remove_file(&path).unwrap();
    if std::os::unix::fs::symlink("/dev/full", &path).is_err() || !std::path::Path::new("/dev/full").exists()
    {
        return windlass_testkit::skip("full_disk", "/dev/full is not there");
    }
    let restarted = FileBlobs::open(&bench.path("blobs"), bench.clock.clone(), Arc::new(OsEntropy)).unwrap();
    let failed = restarted.append(&upload, None, one_chunk(Bytes::from_static(HELLO))).await;
    let Err(error @ BlobError::Full) = failed else { panic!("{failed:?}") };
    assert!(error.to_string().contains("free some space"), "{error}");
}

/// Stores a blob without waiting for the disk.
async fn early(blobs: &FileBlobs, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    let upload = blobs.begin().await.unwrap();
    blobs.append(&upload, Some(0), one_chunk(Bytes::copy_from_slice(bytes))).await.unwrap();
    assert_eq!(blobs.finish_early(&upload, &digest).await.unwrap(), bytes.len() as u64);
    digest
}

#[tokio::test]
async fn what_is_finished_early_is_there_at_once_and_comes_to_its_place_when_it_is_settled() {
    let bench = Bench::new();
    let blobs = &bench.blobs;
    let (one, two) = (early(blobs, b"one").await, early(blobs, b"two").await);
    assert_eq!(early(blobs, b"one").await, one);
    assert!(!blobs.path(&one).exists(), "what lies there lasts");
    assert_eq!(files_below(&bench.path("blobs")), 2, "the same bytes are kept once");
    for digest in [&one, &two] {
        assert_eq!(blobs.stat(digest).await.unwrap(), Some(3));
        assert_eq!(store(&bench).read(digest, 10).await.unwrap().len(), 3);
    }
    blobs.settle(Some(std::slice::from_ref(&one))).await.unwrap();
    assert!(blobs.path(&one).exists() && !blobs.path(&two).exists(), "only what was named");
    assert!(blobs.delete(&two).await.unwrap());
    assert_eq!(blobs.stat(&two).await.unwrap(), None);
    blobs.settle(None).await.unwrap();
    assert_eq!(files_below(&bench.path("blobs")), 1);
    assert_eq!(blobs.list().await.unwrap().len(), 1);
    assert_eq!(store(&bench).read(&one, 10).await.unwrap(), &b"one"[..]);
}

#[tokio::test]
async fn what_the_disk_did_not_take_is_never_said_to_last_until_it_comes_again() {
    let bench = Bench::new();
    let blobs = &bench.blobs;
    let digest = early(blobs, b"one").await;
    let only = std::slice::from_ref(&digest);
    let fresh = std::fs::read_dir(bench.path("blobs/fresh")).unwrap().next().unwrap().unwrap().path();
    // A file that cannot be forced to any disk.
    std::fs::remove_file(&fresh).unwrap();
    std::os::unix::fs::symlink("/dev/null", &fresh).unwrap();
    // Nobody waits for it at first; then whoever does is told, though the disk complains no more.
    blobs.settle(None).await.unwrap();
    assert_eq!(blobs.stat(&digest).await.unwrap(), None);
    for _ in 0..2 {
        let refused = blobs.settle(Some(only)).await.unwrap_err();
        assert!(refused.to_string().contains("storing blobs"), "{refused}");
    }
    assert_eq!(early(blobs, b"one").await, digest);
    blobs.settle(Some(only)).await.unwrap();
    assert!(blobs.path(&digest).exists());
}

#[tokio::test]
async fn a_large_blob_lasts_at_once() {
    let bench = Bench::new();
    let digest = early(&bench.blobs, &vec![1; (1 << 20) + 1]).await;
    assert!(bench.blobs.path(&digest).exists());
}

#[tokio::test]
async fn what_did_not_reach_the_disk_is_found_at_the_next_start_and_nothing_wrong_is() {
    let bench = Bench::new();
    let (whole, torn) = (early(&bench.blobs, b"whole").await, early(&bench.blobs, b"torn").await);
    // The process is killed, and the machine loses its power: of one file only the name is left.
    for entry in std::fs::read_dir(bench.path("blobs/fresh")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().contains(torn.hex()) {
            std::fs::write(path, b"").unwrap();
        }
    }
    let again = FileBlobs::open(&bench.path("blobs"), bench.clock.clone(), Arc::new(OsEntropy)).unwrap();
    assert!(again.path(&whole).exists());
    assert_eq!(again.stat(&torn).await.unwrap(), None);
    assert_eq!(files_below(&bench.path("blobs")), 1);
    assert_eq!(early(&again, b"torn").await, torn, "it is pushed once more");
    assert_eq!(again.stat(&torn).await.unwrap(), Some(4));
}

#[tokio::test]
async fn an_early_blob_that_rots_is_set_aside_and_can_be_pushed_again() {
    let bench = Bench::new();
    let digest = early(&bench.blobs, b"rotten").await;
    bench.damage(&digest);
    let read = store(&bench).read(&digest, 10).await;
    assert!(matches!(read, Err(BlobError::Corrupt { .. })), "{read:?}");
    assert_eq!(bench.blobs.stat(&digest).await.unwrap(), None);
    assert_eq!(early(&bench.blobs, b"rotten").await, digest);
    bench.blobs.settle(None).await.unwrap();
    assert_eq!(store(&bench).read(&digest, 10).await.unwrap(), &b"rotten"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_and_pushing_the_same_side_by_side_loses_nothing() {
    let bench = Bench::new();
    let work = (0..200u32).map(|n| {
        let blobs = bench.blobs.clone();
        tokio::spawn(async move {
            let digest = early(&blobs, &(n % 10).to_be_bytes()).await;
            blobs.settle(Some(std::slice::from_ref(&digest))).await.unwrap();
            assert!(blobs.path(&digest).exists());
            assert_eq!(blobs.stat(&digest).await.unwrap(), Some(4));
        })
    });
    for done in work.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    blobs_last(&bench).await;
}

async fn blobs_last(bench: &Bench) {
    bench.blobs.settle(None).await.unwrap();
    assert_eq!(files_below(&bench.path("blobs")), 10);
    assert_eq!(std::fs::read_dir(bench.path("blobs/fresh")).unwrap().count(), 0);
}
