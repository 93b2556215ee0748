//! Images of Dockerfiles, built without Docker.

use windlass_api::Conclusion::Failure;

use crate::fixture::job;

/// The steps that such workflows usually have; an image of files only, so that no base is needed.
const WORKFLOW: &str = r#"
steps:
  - run: |
      mkdir -p app/sub && echo hello > app/sub/file && ln -s /etc/hostname app/link && echo secret > left-out
      printf 'left-out\n' > .dockerignore
      printf 'FROM scratch AS one\nARG WHO=nobody\nCOPY app /app\nLABEL who=$WHO\nFROM one AS two\nCOPY app/sub/file /more\nUSER 7\n' > Dockerfile
  - uses: docker/setup-qemu-action@v3
  - uses: docker/setup-buildx-action@v3
    id: buildx
  - uses: docker/login-action@v3
    with: { registry: "localhost:1", username: ann, password: "${{ secrets.PASSWORD }}" }
  - uses: docker/build-push-action@v6
    id: build
    with:
      builder: ${{ steps.buildx.outputs.name }}
      context: .
      tags: localhost:1/team/shop:one
      target: one
      build-args: WHO=ann
      labels: colour=blue
      cache-from: type=gha
      cache-to: type=gha,mode=max
      outputs: type=local,dest=tree
  - run: |
      echo "id [${{ steps.build.outputs.imageid }}]" | cut -c1-11
      cat tree/app/sub/file; readlink tree/app/link; ls tree
      test ! -e tree/left-out
  - uses: docker/build-push-action@v6
    id: oci
    with: { context: app, file: Dockerfile2, outputs: "type=oci,dest=out/image.tar" }
    continue-on-error: true
  - run: |
      echo "without its file: ${{ steps.oci.outcome }}"
      printf 'FROM scratch\nCOPY sub /\n' > Dockerfile2
  - uses: docker/build-push-action@v6
    with: { context: app, file: Dockerfile2, outputs: "type=oci,dest=out/image.tar" }
  - run: tar -tf out/image.tar | grep -c index.json
  - uses: docker/build-push-action@v6
    with:
      context: app
      file: Dockerfile2
      platforms: linux/amd64,linux/arm64
      outputs: type=oci,dest=out/several.tar
  - run: echo "an index is named $(tar -xOf out/several.tar index.json | grep -o image.index.v1 | wc -l) times"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_steps_build_an_image_without_docker() {
    let ran = job(WORKFLOW).run().await;
    ran.succeeded()
        .says("id [sha256:")
        .says("hello")
        .says("/etc/hostname")
        .says("app")
        .says("without its file: failure")
        .says("1")
        .says("an index is named 2 times");
    assert!(!ran.log.contains("hunter2"), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_build_may_not_read_it_does_not_read() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("key"), "the-key-of-the-server").unwrap();
    std::fs::write(
        outside.path().join("Dockerfile"),
        "FROM scratch\nCOPY key /\n# the-key-of-the-server\nNONSENSE\n",
    )
    .unwrap();
    let at = outside.path().display();
    for (what, script, with) in [
        ("a link to a Dockerfile", format!("ln -s {at}/Dockerfile Dockerfile"), ""),
        ("a link beside the context", format!("mkdir c; ln -s {at}/Dockerfile D"), "context: c, file: D, "),
        ("a folder above", format!("ln -s {at} out"), "context: ../.., "),
        (
            "a link that is copied through",
            format!("ln -s {at} out; printf 'FROM scratch\nCOPY out/key /\n' > Dockerfile"),
            "",
        ),
    ] {
        let steps = format!(
            "\nsteps:\n  - run: |\n      {}\n  - uses: docker/build-push-action@v6\n    with: {{ {with}outputs: 'type=local,dest=tree' }}\n",
            script.replace('\n', "\\n")
        );
        let ran = job(&steps).run().await;
        assert_eq!(ran.conclusion, Some(Failure), "{what}: {}", ran.log);
        let reason = ran.reason.clone().unwrap_or_default();
        assert!(
            !ran.log.contains("the-key-of-the-server") && !reason.contains("the-key"),
            "{what}: {}",
            ran.log
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_builder_does_not_have_is_said() {
    for (with, why) in [
        ("platforms: 'linux/amd64,no platform'", "is not a platform"),
        ("platforms: 'windows/amd64'", "for linux only"),
        ("platforms: 'linux/amd64,linux/s390x', outputs: 'type=tar,dest=x'", "holds one platform"),
        ("ssh: default", "is Docker's"),
        ("outputs: 'type=local'", "must name a path of the workspace"),
        ("outputs: 'type=local,dest=../x'", "lies outside of the workspace"),
        ("context: 'https://github.com/a/b.git'", "check the repository out first"),
        ("cache-from: 'type=s3,bucket=x'", "is not supported"),
        ("secret-envs: 'a=NOT_THERE'", "there is no variable"),
        ("tags: 'Not A Name'", "is not the name of an image"),
        ("build-contexts: 'x=/etc'", "is not an image"),
    ] {
        let steps = format!(
            "\nsteps:\n  - run: printf 'FROM scratch\\nCOPY Dockerfile /\\n' > Dockerfile\n  - uses: docker/build-push-action@v6\n    with: {{ {with} }}\n"
        );
        let ran = job(&steps).run().await;
        assert_eq!(ran.conclusion, Some(Failure), "{with}: {}", ran.log);
        assert!(ran.reason.clone().unwrap().contains(why), "{with}: {:?}", ran.reason);
    }
}
