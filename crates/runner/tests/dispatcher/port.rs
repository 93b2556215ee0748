//! What every control must do for a job, whatever lies between: one suite for the one in memory and the one over HTTP.

use std::collections::BTreeMap;

use windlass_api::ErrorCode;
use windlass_api::runner::{BuildImage, JobHappening, JobUpdate};
use windlass_kernel::{Secret, Timestamp};
use windlass_runner::{CacheStored, Control, ControlError, HttpControl, MemoryControl, NewArtifact};

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn in_memory() {
    keeps_the_contract(&MemoryControl::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    let server = Server::start().await;
    let token = Secret::new("job-token".to_owned());
    keeps_the_contract(&HttpControl::new(&server.url, token, "job_1")).await;
    let image = &server.control.images()[0];
    assert_eq!(image.0.labels["grün"], "🚀");
    assert_eq!(image.1, b"a tar");

    let nobody = HttpControl::new("http://127.0.0.1:9", Secret::new(String::new()), "job_1");
    assert!(matches!(nobody.updates(&[]).await, Err(ControlError::Unavailable(_))));
    let stranger = HttpControl::new(&server.url, Secret::new("wrong".to_owned()), "job_1");
    assert!(matches!(
        stranger.updates(&[]).await,
        Err(ControlError::Refused { code: ErrorCode::Unauthenticated, .. })
    ));
}

async fn keeps_the_contract(control: &dyn Control) {
    let dir = tempfile::tempdir().unwrap();
    let (archive, back) = (dir.path().join("archive"), dir.path().join("back"));

    let update = |seq| JobUpdate {
        seq,
        at: Timestamp::from_millis(1),
        what: JobHappening::Summary { markdown: "m".into() },
    };
    assert_eq!(control.updates(&[update(1), update(2)]).await.unwrap().acknowledged, 2);
    assert_eq!(
        control.updates(&[update(2), update(3)]).await.unwrap().acknowledged,
        3,
        "a repeat does no harm"
    );
    assert_eq!(control.updates(&[]).await.unwrap().acknowledged, 3);

    assert_eq!(control.append_log(0, "hello".into()).await.unwrap(), 5);
    assert_eq!(control.append_log(3, "lo you".into()).await.unwrap(), 9);
    assert_eq!(control.append_log(100, "gap".into()).await.unwrap(), 9);

    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    std::fs::write(&archive, &large).unwrap();
    let artifact =
        |name, overwrite| NewArtifact { name, archive: &archive, retention_days: Some(3), overwrite };
    let view = control.store_artifact(artifact("my files ü", false)).await.unwrap();
    assert_eq!((view.name.as_str(), view.size), ("my files ü", 3_000_000));
    let taken = control.store_artifact(artifact("my files ü", false)).await;
    assert!(matches!(taken, Err(ControlError::Refused { code: ErrorCode::Conflict, .. })));
    control.store_artifact(artifact("my files ü", true)).await.unwrap();
    assert_eq!(control.artifacts().await.unwrap().len(), 1);
    control.fetch_artifact("my files ü", &back).await.unwrap();
    assert_eq!(std::fs::read(&back).unwrap(), large);
    let missing = control.fetch_artifact("none", &back).await;
    assert!(matches!(missing, Err(ControlError::Refused { code: ErrorCode::NotFound, .. })));

    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    assert_eq!(control.fetch_cache("v", &keys(&["a b-1", "a b-"]), &back).await.unwrap(), None);
    assert_eq!(control.store_cache("v", "a b-1", &archive).await.unwrap(), CacheStored::Stored);
    assert_eq!(control.store_cache("v", "a b-1", &archive).await.unwrap(), CacheStored::Exists);
    assert_eq!(
        control.fetch_cache("v", &keys(&["a b-2", "a b-"]), &back).await.unwrap().as_deref(),
        Some("a b-1")
    );
    assert_eq!(control.fetch_cache("other", &keys(&["a b-1"]), &back).await.unwrap(), None);

    std::fs::write(&archive, "a tar").unwrap();
    let build = BuildImage {
        base: "scratch".into(),
        name: Some("shop".into()),
        tags: Vec::new(),
        entrypoint: vec!["/app".into()],
        cmd: Vec::new(),
        env: Vec::new(),
        workdir: None,
        user: None,
        expose: vec![80],
        labels: BTreeMap::from([("grün".to_owned(), "🚀".to_owned())]),
    };
    assert!(control.build_image(&build, &archive).await.unwrap().reference.contains("shop@sha256:"));
}
