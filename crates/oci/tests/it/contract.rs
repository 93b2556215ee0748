//! The contract of the blob port, over each of its implementations: files, and an object store that speaks S3.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use object_store::ObjectStoreExt as _;
use windlass_kernel::{Algorithm, Digest, OsEntropy, SystemClock};
use windlass_oci::{BlobError, BlobStore, ByteStream, FileBlobs, ObjectBlobs, ObjectConfig, one_chunk};

const HELLO: &[u8] = b"hello, blobs";
/// More than one part of an object store's upload.
const LARGE: usize = 40 << 20;

fn chunks(bytes: &[u8], size: usize) -> ByteStream {
    let pieces: Vec<Result<Bytes, BlobError>> =
        bytes.chunks(size).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
    stream::iter(pieces).boxed()
}

fn noise(size: usize) -> Vec<u8> {
    (0..size as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// All that holds for every store. `damage` changes a blob's bytes behind the store's back.
async fn holds(blobs: &dyn BlobStore, damage: &dyn Fn(Digest) -> BoxFuture<'static, ()>) {
    appears_only_when_right(blobs).await;
    is_read_in_parts(blobs).await;
    goes_on_where_it_was_broken_off(blobs).await;
    is_stored_once(blobs).await;
    large_ones_come_back(blobs).await;
    corruption_is_seen(blobs, damage).await;
}

async fn appears_only_when_right(blobs: &dyn BlobStore) {
    let digest = Digest::sha256(HELLO);
    let upload = blobs.begin().await.unwrap();
    blobs.append(&upload, Some(0), chunks(HELLO, 5)).await.unwrap();
    assert_eq!(blobs.stat(&digest).await.unwrap(), None, "not yet");
    let wrong = blobs.finish(&upload, &Digest::sha256(b"other")).await;
    assert!(matches!(wrong, Err(BlobError::WrongDigest { ref found, .. }) if *found == digest), "{wrong:?}");
    assert!(matches!(blobs.uploaded(&upload).await, Err(BlobError::UnknownUpload(_))));
    assert!(blobs.list().await.unwrap().is_empty() && blobs.stored_at(&digest).await.unwrap().is_none());

    assert_eq!(blobs.put(Bytes::from_static(HELLO)).await.unwrap(), digest);
    assert_eq!(blobs.stat(&digest).await.unwrap(), Some(12));
    assert_eq!(blobs.read(&digest, 100).await.unwrap(), HELLO);
    assert_eq!(blobs.check(&digest).await.unwrap(), 12);
    let list = blobs.list().await.unwrap();
    assert_eq!(list.iter().map(|b| (&b.digest, b.size)).collect::<Vec<_>>(), [(&digest, 12)]);
    let at = blobs.stored_at(&digest).await.unwrap().unwrap();
    assert!(windlass_kernel::Clock::now(&SystemClock).since(at) < Duration::from_mins(10), "{at}");
    assert!(blobs.delete(&digest).await.unwrap() && !blobs.delete(&digest).await.unwrap());
    assert!(matches!(blobs.open(&digest, None).await, Err(BlobError::Unknown(_))));
    assert!(matches!(blobs.check(&digest).await, Err(BlobError::Unknown(_))));

    let long = Digest::of(Algorithm::Sha512, HELLO);
    let upload = blobs.begin().await.unwrap();
    blobs.append(&upload, None, one_chunk(Bytes::from_static(HELLO))).await.unwrap();
    blobs.finish(&upload, &long).await.unwrap();
    assert_eq!(blobs.read(&long, 100).await.unwrap(), HELLO);
    assert_eq!(blobs.list().await.unwrap()[0].digest, long);
    blobs.delete(&long).await.unwrap();
}

async fn is_read_in_parts(blobs: &dyn BlobStore) {
    let bytes = noise(900_000);
    let digest = blobs.put(bytes.clone().into()).await.unwrap();
    for range in [0..1, 5..900_000, 899_999..900_000, 130_000..400_001] {
        let blob = blobs.open(&digest, Some(range.clone())).await.unwrap();
        let parts: Vec<Bytes> = blob.bytes.map(Result::unwrap).collect().await;
        assert_eq!(blob.size, 900_000);
        assert!(parts.concat() == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    for outside in [0..900_001, 900_000..900_001, 5..5] {
        let refused = blobs.open(&digest, Some(outside)).await;
        assert!(matches!(refused, Err(BlobError::OutOfRange { size: 900_000 })));
    }
    blobs.delete(&digest).await.unwrap();
}

async fn goes_on_where_it_was_broken_off(blobs: &dyn BlobStore) {
    let upload = blobs.begin().await.unwrap();
    let pieces = [Ok(Bytes::from_static(b"hello")), Err(BlobError::Interrupted("gone".into()))];
    let broken: ByteStream = stream::iter(pieces).boxed();
    assert!(matches!(blobs.append(&upload, Some(0), broken).await, Err(BlobError::Interrupted(_))));
    assert_eq!(blobs.uploaded(&upload).await.unwrap(), 5);
    let gap = blobs.append(&upload, Some(6), one_chunk(Bytes::from_static(b"x"))).await;
    assert!(matches!(gap, Err(BlobError::OutOfOrder { size: 5, start: 6 })), "{gap:?}");
    blobs.append(&upload, Some(5), chunks(&HELLO[5..], 2)).await.unwrap();
    // One that was dropped half-way: what it had sent may or may not count, and the store says how much.
    {
        let waiting = stream::iter([Ok(Bytes::from(vec![1; 700_000]))]).chain(stream::pending()).boxed();
        let append = blobs.append(&upload, None, waiting);
        assert!(tokio::time::timeout(Duration::from_millis(100), append).await.is_err());
    }
    let size = blobs.uploaded(&upload).await.unwrap();
    let whole = [HELLO, &vec![1; size as usize - HELLO.len()]].concat();
    let digest = Digest::sha256(&whole);
    blobs.finish(&upload, &digest).await.unwrap();
    assert!(blobs.read(&digest, u64::MAX).await.unwrap() == whole);
    blobs.delete(&digest).await.unwrap();
    let upload = blobs.begin().await.unwrap();
    blobs.cancel(&upload).await.unwrap();
    assert!(matches!(blobs.cancel(&upload).await, Err(BlobError::UnknownUpload(_))));
}

async fn is_stored_once(blobs: &dyn BlobStore) {
    let bytes = noise(1_500_000);
    let digest = Digest::sha256(&bytes);
    let pushes = (0..6).map(|_| async {
        let upload = blobs.begin().await.unwrap();
        blobs.append(&upload, Some(0), chunks(&bytes, 65_536)).await.unwrap();
        blobs.finish(&upload, &digest).await.unwrap()
    });
    let sizes = futures_util::future::join_all(pushes).await;
    assert!(sizes.iter().all(|size| *size == bytes.len() as u64));
    assert_eq!(blobs.list().await.unwrap().len(), 1);
    blobs.delete(&digest).await.unwrap();
}

async fn large_ones_come_back(blobs: &dyn BlobStore) {
    let bytes = noise(LARGE);
    let digest = Digest::sha256(&bytes);
    let upload = blobs.begin().await.unwrap();
    blobs.append(&upload, Some(0), chunks(&bytes, 1 << 20)).await.unwrap();
    assert_eq!(blobs.finish(&upload, &digest).await.unwrap(), LARGE as u64);
    assert!(blobs.read(&digest, u64::MAX).await.unwrap() == bytes);
    blobs.delete(&digest).await.unwrap();
}

async fn corruption_is_seen(blobs: &dyn BlobStore, damage: &dyn Fn(Digest) -> BoxFuture<'static, ()>) {
    for size in [100, 1_000_000] {
        let bytes = noise(size);
        let digest = blobs.put(bytes.clone().into()).await.unwrap();
        damage(digest.clone()).await;
        let mut passed = 0;
        let failure = match blobs.open(&digest, None).await {
            Err(error) => Some(error),
            Ok(mut blob) => {
                let mut failure = None;
                while let Some(chunk) = blob.bytes.next().await {
                    match chunk {
                        Ok(chunk) => passed += chunk.len(),
                        Err(error) => failure = Some(error),
                    }
                }
                failure
            }
        };
        assert!(passed < size, "the last bytes are held back");
        assert!(matches!(failure, Some(BlobError::Corrupt { .. })), "{failure:?}");
        assert_eq!(blobs.stat(&digest).await.unwrap(), None, "it no longer counts as there");
        blobs.put(bytes.clone().into()).await.unwrap();
        assert!(blobs.read(&digest, u64::MAX).await.unwrap() == bytes);
        damage(digest.clone()).await;
        assert!(matches!(blobs.check(&digest).await, Err(BlobError::Corrupt { .. })));
        assert_eq!(blobs.stat(&digest).await.unwrap(), None);
    }
    assert!(blobs.list().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Arc::new(FileBlobs::open(folder.path(), Arc::new(SystemClock), Arc::new(OsEntropy)).unwrap());
    let store = blobs.clone();
    let damage = move |digest: Digest| -> BoxFuture<'static, ()> {
        let path = store.path(&digest);
        Box::pin(async move {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[50] ^= 1;
            std::fs::write(path, bytes).unwrap();
        })
    };
    holds(&*blobs, &damage).await;
}

/// A server that speaks S3, from PyPI's `moto`.
struct Moto {
    child: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A virtual environment with moto, kept below the target folder.
fn moto_python() -> Result<std::path::PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let home = target.join("moto");
    let python = home.join("bin/python");
    let works = |python: &Path| {
        let out = Command::new(python).args(["-c", "import moto.server"]).output();
        out.is_ok_and(|out| out.status.success())
    };
    if works(Path::new("python3")) {
        return Ok("python3".into());
    }
    if works(&python) {
        return Ok(python);
    }
    for arguments in [
        vec!["python3", "-m", "venv", home.to_str().ok_or("no text")?],
        vec![python.to_str().ok_or("no text")?, "-m", "pip", "install", "-q", "moto[server]"],
    ] {
        let done = Command::new(arguments[0]).args(&arguments[1..]).output();
        if !done.as_ref().is_ok_and(|out| out.status.success()) {
            return Err("moto[server] cannot be had from PyPI".to_owned());
        }
    }
    Ok(python)
}

async fn moto() -> Result<Moto, String> {
    let python = tokio::task::spawn_blocking(moto_python).await.unwrap()?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let child = Command::new(python)
        .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let moto = Moto { child, url: format!("http://127.0.0.1:{port}") };
    let http = reqwest::Client::new();
    for _ in 0..200 {
        let made = http.put(format!("{}/images", moto.url)).send().await;
        if made.is_ok_and(|reply| reply.status().is_success()) {
            return Ok(moto);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("moto does not answer".to_owned())
}

fn object_blobs(moto: &Moto, prefix: &str, spool: &Path) -> ObjectBlobs {
    let config = ObjectConfig::parse(&format!("s3://images/{prefix}")).unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    ObjectBlobs::at(&moto.url, ("key", "secret"), &config, spool, clock, entropy).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_holds_to_it() {
    let moto = match moto().await {
        Ok(moto) => moto,
        Err(why) => return windlass_testkit::skip("an_object_store_holds_to_it", &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let blobs = object_blobs(&moto, "team/one", folder.path());
    let store = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(&moto.url)
        .with_region("us-east-1")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_bucket_name("images")
        .with_allow_http(true)
        .build()
        .unwrap();
    let damage = move |digest: Digest| -> BoxFuture<'static, ()> {
        let hex = digest.hex();
        let key = format!("team/one/sha256/{}/{hex}", &hex[..2]);
        let store = store.clone();
        Box::pin(async move {
            store.put(&key.into(), "rotten".into()).await.unwrap();
        })
    };
    holds(&blobs, &damage).await;
    assert_eq!(crate::bench::files_below(folder.path()), 0, "nothing stays on this machine");

    // Two registries in one bucket do not see each other's, and an upload outlives a restart.
    let port: &dyn BlobStore = &blobs;
    port.put(Bytes::from_static(HELLO)).await.unwrap();
    let upload = blobs.begin().await.unwrap();
    blobs.append(&upload, None, one_chunk(Bytes::from_static(b"hello"))).await.unwrap();
    let again = object_blobs(&moto, "team/one", folder.path());
    assert_eq!(again.uploaded(&upload).await.unwrap(), 5);
    assert_eq!(again.list().await.unwrap().len(), 1);
    let spool = tempfile::tempdir().unwrap();
    let other = object_blobs(&moto, "team/other", spool.path());
    assert!(other.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_object_store_that_is_away_is_said() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let config = ObjectConfig::parse("s3://images").unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let url = format!("http://127.0.0.1:{port}");
    let blobs = ObjectBlobs::at(&url, ("key", "secret"), &config, folder.path(), clock, entropy).unwrap();
    let blobs: &dyn BlobStore = &blobs;
    let error = blobs.put(Bytes::from_static(HELLO)).await.unwrap_err().to_string();
    assert!(error.contains("storing a blob failed"), "{error}");
}
