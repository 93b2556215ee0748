//! What instructions do.

use windlass_build::BuildError;
use windlass_kernel::Secret;

use crate::fixture::Site;

#[tokio::test(flavor = "multi_thread")]
async fn files_of_steps_are_in_the_image_and_removed_ones_are_not() {
    let Some(site) = Site::with_steps("files_of_steps").await else { return };
    site.file("a.txt", "hello");
    site.file("d/b.txt", "b");
    let built = site
        .build(
            "FROM base\nWORKDIR /app\nCOPY a.txt d ./\nRUN cat a.txt b.txt > c.txt && rm b.txt && ln c.txt e.txt && \
             ln -s c.txt l && mkfifo p && chmod 4755 c.txt\nRUN rm -r /home && mkdir /home && echo x > /home/new\n",
        )
        .await
        .unwrap();
    assert_eq!(built.text("app/c.txt"), "hellob");
    assert_eq!(built.files["app/c.txt"].mode, 0o4755);
    assert_eq!(built.files["app/e.txt"].kind, 'h');
    assert_eq!(built.files["app/l"].text, "c.txt");
    assert_eq!(built.files["app/p"].kind, 'p');
    assert!(!built.has("app/b.txt"));
    assert_eq!(built.text("home/new"), "x\n");
    // Where a sandbox attaches something, nothing is left.
    for path in ["home/app", "etc/resolv.conf", "etc/hosts", "proc", "sys", "dev"] {
        assert!(!built.has(path), "{path}");
    }
    assert_eq!(built.files["tmp"].mode, 0o1777);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sees_arguments_variables_user_and_folder() {
    let Some(site) = Site::with_steps("a_step_sees").await else { return };
    let mut request = site.request(
        "FROM base\nARG WHO=nobody\nARG UNSET\nENV A=1 B=\"$A-$WHO\"\nWORKDIR /w\nUSER app\nRUN [\"/bin/sh\", \"-c\", \"echo $WHO $A $B $BASE $HOME $(pwd) $(id -u) $(id -g) $(id -G)\"]\n\
         USER 7:8\nRUN echo \"$(id -u):$(id -g)\"\nUSER root\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN echo shell; false; echo never || true\n",
    );
    request.build_args.insert("WHO".into(), "me".into());
    let Err(BuildError::Step(failed)) = site.run(request).await else { panic!("it must fail") };
    assert_eq!(failed.exit, Some(1));
    assert_eq!(failed.log, ["shell"]);
    assert!(failed.message.contains("process \"/bin/sh -ec echo shell"), "{}", failed.message);
    assert!(failed.excerpt.as_ref().unwrap().contains("  12 | >>> RUN echo shell"), "{failed}");
    let built = site
        .build("FROM base\nARG WHO=me\nENV A=1 B=\"$A-$WHO\"\nWORKDIR /w\nUSER app\nRUN echo now $WHO $A $B $BASE $HOME $(pwd) $(id -u) $(id -g) $(id -G)\nUSER 7:8\nRUN echo \"=$(id -u):$(id -g)\"\n")
        .await
        .unwrap();
    assert_eq!(built.heard.lines(), ["now me 1 -me yes /home/app /w 1000 1001 1001 50", "=7:8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn here_documents_are_scripts_and_files() {
    let Some(site) = Site::with_steps("here_documents").await else { return };
    let built = site
        .build(
            "FROM base\nRUN <<EOF\necho one\necho two > /two\nEOF\nRUN <<EOF\n#!/bin/sh\necho script $0\nEOF\nCOPY <<a <<'b' /files/\n$BASE\na\n$BASE\nb\n",
        )
        .await
        .unwrap();
    assert_eq!(built.text("two"), "two\n");
    assert_eq!(built.text("files/a"), "yes\n");
    assert_eq!(built.text("files/b"), "$BASE\n");
    assert_eq!(built.files["files/a"].mode, 0o644);
    assert!(built.heard.lines().iter().any(|line| line.starts_with("script ")), "{:?}", built.heard.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_are_seen_while_a_step_runs_and_not_in_the_image() {
    let Some(site) = Site::with_steps("mounts").await else { return };
    site.file("in/x", "from the context");
    let dockerfile = "FROM base AS other\nRUN echo other > /o && mkdir /od && echo deep > /od/f\nFROM base\n\
        RUN --mount=type=bind,source=in,target=/in --mount=type=bind,from=other,source=/od,target=/od,rw \
            --mount=type=cache,target=/cache --mount=type=tmpfs,target=/mem,size=1m \
            --mount=type=secret,id=s --mount=type=secret,id=s,env=SECRET \
            cat /in/x /od/f > /out; echo more > /od/f; echo kept >> /cache/log; wc -l < /cache/log; \
            echo $SECRET; cat /run/secrets/s; touch /mem/x; touch /in/x 2>/dev/null && echo writable || true\n";
    let mut request = site.request(dockerfile);
    request.secrets.insert("s".into(), Secret::new(b"top-secret-value".to_vec()));
    let built = site.run(request.clone()).await.unwrap();
    assert_eq!(built.text("out"), "from the contextdeep\n");
    assert_eq!(built.heard.lines(), ["1", "***", "***"]);
    for path in ["in", "od", "cache", "mem", "run", "run/secrets"] {
        assert!(!built.has(path), "{path}");
    }
    request.no_cache = true;
    let again = site.run(request.clone()).await.unwrap();
    assert_eq!(again.heard.lines()[0], "2", "the cache is kept");
    request.secrets.clear();
    let without = site.run(request).await.unwrap();
    assert!(!without.heard.lines().contains(&"***".to_owned()));
    let missing =
        site.build("FROM base\nRUN --mount=type=secret,id=q,required=true true\n").await.err().unwrap();
    assert!(missing.to_string().contains("secret q: not found"), "{missing}");
    assert!(missing.to_string().contains("Dockerfile:2"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_can_be_shut() {
    let Some(site) = Site::with_steps("network").await else { return };
    let built = site.build("FROM base\nRUN --network=none cat /proc/net/dev | grep -c :\n").await.unwrap();
    assert_eq!(built.heard.lines(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_are_not_needed_are_not_built() {
    let Some(site) = Site::with_steps("stages").await else { return };
    let dockerfile = "FROM base AS bad\nRUN false\nFROM base AS good\nRUN echo fine > /fine\nFROM scratch AS last\nCOPY --from=good /fine /\nFROM bad AS never\n";
    let mut request = site.request(dockerfile);
    request.target = Some("last".into());
    let built = site.run(request).await.unwrap();
    assert_eq!(built.files.keys().collect::<Vec<_>>(), ["fine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_what_the_dockerfile_says() {
    let site = Site::new().await;
    site.file("a", "a");
    let built = site
        .build(
            "FROM scratch\nLABEL l=v\nENV X=y\nEXPOSE 80 53/udp\nVOLUME /data\nUSER app\nWORKDIR /w\nSTOPSIGNAL SIGINT\n\
             HEALTHCHECK --interval=5s --retries=2 CMD test -f /x\nENTRYPOINT [\"/e\"]\nCMD [\"c\", \"d\"]\nONBUILD RUN x\nSHELL [\"/bin/bash\", \"-c\"]\nCOPY a /\nMAINTAINER me\n",
        )
        .await
        .unwrap();
    let local = site.builder.store();
    let mut request = site.request("FROM scratch\nCOPY a /\nCMD [\"x\"]\n");
    request.tags = vec!["x".parse().unwrap()];
    request.labels.insert("more".into(), "yes".into());
    let named = site.run(request).await.unwrap();
    let config = site.config(&named.outcome);
    assert_eq!(config["config"]["Labels"]["more"], "yes");
    assert_eq!(config["config"]["WorkingDir"], "/");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    assert_eq!(config["history"][0]["created_by"], "COPY a / # buildkit");
    assert_eq!(config["history"][1]["created_by"], "CMD [\"x\"]");
    assert_eq!(config["history"][1]["empty_layer"], true);
    assert!(local.image(&"docker.io/library/x:latest".parse().unwrap()).is_some());
    assert!(built.has("w") && built.has("a"));
}
