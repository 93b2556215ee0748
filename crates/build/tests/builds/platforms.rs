//! Other platforms than this machine's, and several at once.

use windlass_build::{BuildError, Compression, Destination, NamedContext, Output};
use windlass_dockerfile::Platform;

use crate::fixture::Site;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

/// A platform that is not this machine's, and that no emulator is registered for in the tests' surroundings.
fn foreign() -> Platform {
    platform("linux/s390x")
}

fn emulated() -> bool {
    let entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("s390x"))
}

const ARGUMENTS: &str = "FROM scratch
ARG TARGETPLATFORM
ARG TARGETOS
ARG TARGETARCH
ARG TARGETVARIANT
ARG BUILDPLATFORM
ENV SAID=$TARGETPLATFORM,$TARGETOS,$TARGETARCH,$TARGETVARIANT,$BUILDPLATFORM
COPY a /a
";

#[tokio::test(flavor = "multi_thread")]
async fn files_are_put_together_for_any_platform() {
    let site = Site::new().await;
    site.file("a", "a");
    let here = Platform::linux(windlass_oci::machine_architecture());
    for (wanted, architecture, variant) in [
        ("linux/arm64", "arm64", None),
        ("linux/arm/v6", "arm", Some("v6")),
        ("linux/riscv64", "riscv64", None),
    ] {
        let mut request = site.request(ARGUMENTS);
        request.platforms = vec![platform(wanted)];
        let built = site.run(request).await.unwrap();
        let config = site.config(&built.outcome);
        assert_eq!(config["architecture"], architecture);
        assert_eq!(config.get("variant").and_then(|v| v.as_str()), variant, "{wanted}");
        let said = format!("SAID={wanted},linux,{architecture},{},{here}", variant.unwrap_or_default());
        let env = config["config"]["Env"].as_array().unwrap().clone();
        assert!(env.iter().any(|one| *one == said.as_str()), "{said}: {env:?}");
        assert_eq!(built.text("a"), "a");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_run_on_the_builds_own_platform_for_another() {
    let Some(site) = Site::with_steps("steps_run_on_the_builds_own_platform").await else { return };
    let dockerfile = "FROM --platform=$BUILDPLATFORM base AS build
ARG TARGETARCH
RUN echo \"made for $TARGETARCH\" > /made
FROM scratch
COPY --from=build /made /made
";
    let mut request = site.request(dockerfile);
    request.platforms = vec![foreign()];
    let built = site.run(request).await.unwrap();
    assert_eq!(built.text("made"), "made for s390x\n");
    assert_eq!(site.config(&built.outcome)["architecture"], "s390x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_cannot_run_is_refused_before_anything_is_done() {
    let Some(site) = Site::with_steps("a_step_that_cannot_run").await else { return };
    if emulated() {
        return windlass_testkit::skip("a_step_that_cannot_run", "this machine has an emulator for s390x");
    }
    let mut request = site.request(
        "FROM --platform=$BUILDPLATFORM base AS fine\nRUN echo fine > /fine\nFROM scratch\nCOPY --from=fine /fine /\nRUN true\n",
    );
    request.platforms = vec![foreign()];
    let refused = site.builder.build(request, std::sync::Arc::new(crate::fixture::Heard::default())).await;
    let Err(BuildError::Dockerfile(refused)) = refused else { panic!("it must be refused: {refused:?}") };
    assert_eq!(refused.findings[0].span.start.line, 5);
    let text = refused.to_string();
    for part in ["linux/s390x", "Dockerfile:5", "qemu-user", "--platform=$BUILDPLATFORM"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What the target does not need is no obstacle.
    let mut request = site.request("FROM scratch AS other\nRUN true\nFROM scratch\nCOPY a /a\n");
    site.file("a", "a");
    request.platforms = vec![foreign()];
    assert!(site.run(request).await.unwrap().has("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_platforms_make_one_index_that_is_built_upon() {
    let site = Site::new().await;
    site.file("a", "a");
    let layout = site.path("layout");
    let mut request = site.request(ARGUMENTS);
    request.platforms = vec![platform("linux/amd64"), platform("linux/arm64"), platform("linux/arm/v7")];
    request.tags = vec!["many:1".parse().unwrap()];
    let archive = site.path("many.tar");
    request.outputs = vec![
        Output::Oci { to: Destination::Path(layout.clone()), folder: true, compression: Compression::Gzip },
        Output::Oci { to: Destination::Path(archive.clone()), folder: false, compression: Compression::None },
        Output::Local(site.path("files")),
    ];
    let heard = std::sync::Arc::new(crate::fixture::Heard::default());
    let outcome = site.builder.build(request, heard).await.unwrap();
    assert_eq!(outcome.steps, 3);
    for name in ["linux_amd64", "linux_arm64", "linux_arm_v7"] {
        assert_eq!(std::fs::read_to_string(site.path("files").join(name).join("a")).unwrap(), "a");
    }
    let read = |path: std::path::PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let top = read(layout.join("index.json"));
    let blob =
        |digest: &serde_json::Value| layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let index = read(blob(&top["manifests"][0]["digest"]));
    let named: Vec<String> =
        index["manifests"].as_array().unwrap().iter().map(|one| one["platform"].to_string()).collect();
    assert_eq!(
        named,
        [
            r#"{"architecture":"amd64","os":"linux"}"#,
            r#"{"architecture":"arm64","os":"linux"}"#,
            r#"{"architecture":"arm","os":"linux","variant":"v7"}"#
        ]
    );
    // Each platform finds its own, in the layout and among this machine's images.
    for (wanted, from) in [
        ("linux/arm64", "context"),
        ("linux/arm/v7", "context"),
        ("linux/arm64", "many:1"),
        ("linux/amd64", "many:1"),
    ] {
        let mut request = site.request(&format!("FROM {from}\nCOPY a /b\n"));
        request.platforms = vec![platform(wanted)];
        request.contexts.insert("context-of-images".into(), NamedContext::Layout(layout.clone(), None));
        if from == "context" {
            request.dockerfile =
                windlass_build::DockerfileSource::Text("FROM context-of-images\nCOPY a /b\n".into());
        }
        let built = site.run(request).await.unwrap();
        let env = site.config(&built.outcome)["config"]["Env"].to_string();
        assert!(env.contains(&format!("SAID={wanted},")), "{from} {wanted}: {env}");
    }
    let mut request = site.request("FROM many:1\n");
    request.platforms = vec![foreign()];
    let why = site.run(request).await.err().unwrap().to_string();
    assert!(why.contains("linux/s390x is wanted"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_one_platform_is_not_asked_for_several() {
    let site = Site::new().await;
    for output in [
        Output::Tar(Destination::Path(site.path("x"))),
        Output::Docker { to: Destination::Path(site.path("x")), compression: Compression::None },
        Output::DockerLoad,
    ] {
        let mut request = site.request("FROM scratch\n");
        request.platforms = vec![platform("linux/amd64"), platform("linux/arm64")];
        request.outputs = vec![output];
        let heard = std::sync::Arc::new(crate::fixture::Heard::default());
        let why = site.builder.build(request, heard).await.err().unwrap().to_string();
        assert!(why.contains("--platform names several"), "{why}");
    }
    let mut request = site.request("FROM scratch\n");
    request.platforms = vec![platform("windows/amd64")];
    assert!(site.run(request).await.err().unwrap().to_string().contains("for linux only"));
}
