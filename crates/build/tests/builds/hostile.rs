//! Contexts, images and steps that mean harm.

use std::os::unix::fs::symlink;
use std::time::Duration;

use windlass_build::BuildError;

use crate::fixture::Site;

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_nowhere_out_of_the_context() {
    let site = Site::new().await;
    std::fs::write(site.path("secret"), "secret").unwrap();
    site.file("d/x", "x");
    symlink("../secret", site.path("context/up")).unwrap();
    symlink("/etc/passwd", site.path("context/abs")).unwrap();
    symlink("..", site.path("context/d/out")).unwrap();
    symlink("loop", site.path("context/loop")).unwrap();
    for source in ["up", "abs", "d/out/../../secret", "loop"] {
        let outcome = site.build(&format!("FROM scratch\nCOPY {source} /x\n")).await;
        assert!(outcome.is_err(), "{source}: {:?}", outcome.map(|built| built.files));
    }
    // As what they are, links may be copied.
    let built = site.build("FROM scratch\nCOPY . /\n").await.unwrap();
    assert_eq!(built.text("up"), "../secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_sockets_in_a_context_hold_nobody_up() {
    let site = Site::new().await;
    site.file("a", "a");
    nix::unistd::mkfifo(&site.path("context/pipe"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.path("context/socket")).unwrap();
    let built = site.build("FROM scratch\nCOPY . /\nADD pipe /p\n").await.unwrap();
    assert_eq!(built.files["pipe"].kind, 'p');
    assert!(!built.has("socket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_in_the_image_lead_nowhere_out_of_it() {
    let Some(site) = Site::with_steps("links_in_the_image").await else { return };
    let outside = site.path("outside");
    std::fs::create_dir(&outside).unwrap();
    site.file("a", "a");
    let dockerfile = format!(
        "FROM base\nRUN ln -s {0} /abs && ln -s ../../../../../../../../{0} /up\nCOPY a /abs/one\nCOPY a /up/two\nWORKDIR /abs/three\n",
        outside.display()
    );
    let built = site.build(&dockerfile).await.unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let inside = outside.to_string_lossy().trim_start_matches('/').to_owned();
    for name in ["one", "two", "three"] {
        assert!(built.has(&format!("{inside}/{name}")), "{name}: {:?}", built.files.keys());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_writes_too_much_is_ended() {
    let Some(site) = Site::with_steps("a_step_that_writes_too_much").await else { return };
    let mut request =
        site.request("FROM base\nRUN dd if=/dev/zero of=/big bs=1048576 count=4000; sleep 30\n");
    request.limits.layer_bytes = 64 << 20;
    let Err(BuildError::Step(failed)) = site.run(request).await else { panic!("it must fail") };
    assert!(failed.message.contains("64 MiB"), "{}", failed.message);
    let left = std::fs::read_dir(site.builder.store().root().join("steps")).unwrap();
    let big = left.filter(|entry| entry.as_ref().unwrap().path().join("big").exists()).count();
    assert_eq!(big, 0, "nothing of it is in the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_without_end_is_cut_and_read_on() {
    let Some(site) = Site::with_steps("output_without_end").await else { return };
    let mut request = site.request("FROM base\nRUN yes | head -n 200000; echo the end; false\n");
    request.limits.log_bytes = 10_000;
    let Err(BuildError::Step(failed)) = site.run(request).await else { panic!("it must fail") };
    assert_eq!(failed.log.last().unwrap(), "the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_ends_its_own_step_only() {
    let Some(site) = Site::with_steps("a_fork_bomb").await else { return };
    let mut request = site.request("FROM base\nRUN f() { f | f & }; f; sleep 1; i=0; while [ $i -lt 300 ]; do sleep 5 & i=$((i+1)); done; wait\n");
    request.limits.sandbox.processes = Some(50);
    let _ = site.run(request).await;
    let fine = site.build("FROM base\nRUN echo fine\n").await.unwrap();
    assert_eq!(fine.heard.lines(), ["fine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_ends_the_step_and_leaves_no_record() {
    let Some(site) = Site::with_steps("who_stops_waiting").await else { return };
    let dockerfile = "FROM base\nRUN echo started; sleep 2; echo done > /done\n";
    let stopped = tokio::time::timeout(Duration::from_millis(700), site.build(dockerfile)).await;
    assert!(stopped.is_err());
    let built = site.build(dockerfile).await.unwrap();
    assert_eq!((built.outcome.cached, built.text("done")), (0, "done\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_mean_removal_are_no_names_of_files() {
    let Some(site) = Site::with_steps("names_that_mean_removal").await else { return };
    site.file("d/.wh.x", "x");
    for dockerfile in [
        "FROM base\nRUN touch /tmp/.wh.sh\n",
        "FROM base\nRUN touch /bin/.wh..wh..opq\n",
        "FROM base\nCOPY d /d\n",
    ] {
        let why = site.build(dockerfile).await.err().expect("it must be refused").to_string();
        assert!(why.contains("names that begin with `.wh.`"), "{dockerfile}: {why}");
        // And it is not known the next time.
        assert!(site.build(dockerfile).await.is_err(), "{dockerfile}");
    }
}
