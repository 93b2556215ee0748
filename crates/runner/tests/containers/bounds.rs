//! What containers reach, and what is left of them; where images come from.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use windlass_api::Conclusion::Failure;
use windlass_runtime::Level;

use crate::fixture::job;
use crate::world::World;

/// What a service could reach: the machine's loopback address, other jobs' services, abstract sockets, the machine's files.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_reaches_nothing_of_the_machine() {
    let Some(world) = World::new("a_service_reaches_nothing_of_the_machine").await else { return };
    let machine = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = machine.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = machine.accept() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nmachine reached\n");
        }
    });
    let mut direct = TcpStream::connect(("127.0.0.1", port)).unwrap();
    direct.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut said = String::new();
    direct.read_to_string(&mut said).unwrap();
    assert!(said.contains("machine reached"), "the test itself must reach it");
    let ran = world
        .run(
            &r#"
services:
  probe:
    image: BOX
    command: |
      sh -c "for at in 127.0.0.1 localhost 0.0.0.0 host.docker.internal $(hostname); do wget -q -T 2 -O - http://$at:PORT/; done;
      ls /sys/class/net; cat /proc/net/tcp | wc -l; cat /proc/net/unix | grep -c @; mount -t proc none /mnt; chroot / id -u;
      test -e /usr/bin && echo machine files; kill -0 1 && echo can signal init; ps | wc -l; echo looked; sleep 100"
steps:
  - run: sleep 3
"#
            .replace("PORT", &port.to_string()),
        )
        .await;
    ran.succeeded().says("looked").says("lo");
    for bad in ["machine reached", "machine files"] {
        assert!(!ran.log.lines().any(|line| line == bad), "{bad}: {}", ran.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_fetched_with_credentials_and_kept() {
    let Some(world) = World::new("images_are_fetched_with_credentials_and_kept").await else { return };
    let private = world.served.put("private/box:1", &world.image).await;
    let body = |more: &str| format!("container:\n  image: {private}\n{more}steps:\n  - run: echo never\n");
    World::fails(&world.run(&body("")).await, "it wants a login, or this one may not pull");
    let wrong = "  credentials: { username: ann, password: \"${{ secrets.PASSWORD }}\" }\n";
    let ran = world.run(&body(wrong)).await;
    World::fails(&ran, "it wants a login");
    assert!(!ran.log.contains("hunter2"), "{}", ran.log);
    let right = "  credentials: { username: ann, password: open-sesame }\n";
    let good = body(right).replace("echo never", "echo inside $FROM_IMAGE open-sesame");
    let ran = world.run(&good).await;
    ran.succeeded().says("inside yes ***");
    assert!(ran.log.contains("Layer 1 of 2"), "{}", ran.log);
    // The second time nothing is fetched; what one login opened, another does not find.
    let again = world.run(&good).await;
    again.succeeded();
    assert!(!again.log.contains("Layer 1 of 2"), "{}", again.log);
    World::fails(&world.run(&body("")).await, "it wants a login");
    let missing = format!("container: {}/own/none:1\nsteps:\n  - run: echo never\n", world.served.host);
    World::fails(&world.run(&missing).await, "check the name and the tag");
    // Without the registry, what is kept is used by whoever could have had it, and by nobody else.
    let (images, level) = (world.images, world.level);
    let name = world.name.clone();
    let host = world.served.stop().await;
    let run = |body: String| {
        let mut fixture = job(&body);
        fixture.level = level;
        fixture.settings.containers.images = Some(images.path().to_owned());
        fixture.assignment.registry.clone_from(&host);
        fixture.run()
    };
    let ran = run(good.clone()).await;
    ran.succeeded().says("inside yes ***");
    assert!(ran.log.contains("the copy that is kept here is used"), "{}", ran.log);
    World::fails(&run(body("")).await, "cannot be reached");
    World::fails(
        &run(format!("container: {name}\nsteps:\n  - run: echo never\n")).await,
        "cannot be reached",
    );
    for folder in ["blobs/sha256", "layers"] {
        let left = walk(&images.path().join(folder));
        let packed = left
            .iter()
            .filter(|path| path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() > 1 << 20));
        assert_eq!(packed.count(), usize::from(folder == "layers"), "layers are kept once: {folder}");
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| {
            let below = if path.is_dir() && !path.is_symlink() { walk(&path) } else { Vec::new() };
            std::iter::once(path).chain(below).collect::<Vec<_>>()
        })
        .collect()
}

/// What a step puts in the place of its folders leads an action nowhere but into its own container.
#[tokio::test(flavor = "multi_thread")]
async fn an_action_reaches_nothing_of_the_machine() {
    let Some(world) = World::new("an_action_reaches_nothing_of_the_machine").await else { return };
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::write(outside.path().join("file"), "x").unwrap();
    let ran = world
        .run(
            &r#"
steps:
  - run: rm -rf "$GITHUB_WORKSPACE" && ln -s / "$GITHUB_WORKSPACE"
    working-directory: /
  - uses: docker://BOX
    with:
      entrypoint: sh
      args: -c "test -e /github/workspace/OUTSIDE/file && echo reached; test -e /OUTSIDE/file && echo reached; test -e /proc/1/root/OUTSIDE/file && echo reached; echo looked"
"#
            .replace("/OUTSIDE", &outside.path().display().to_string()),
        )
        .await;
    ran.says("looked");
    assert!(!ran.log.lines().any(|line| line == "reached"), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sandbox_has_no_like_of_is_refused_by_name() {
    let Some(world) = World::new("what_a_sandbox_has_no_like_of_is_refused_by_name").await else { return };
    for (asked, why) in [
        ("options: --privileged", "--privileged"),
        ("options: --cap-add SYS_ADMIN", "--cap-add"),
        ("options: --network host", "--network"),
        ("options: --user nobody-there", "no user `nobody-there`"),
        ("volumes: [\"/etc:/machine\"]", "/etc"),
        ("volumes: [\"/:/machine\"]", "`/`"),
        ("volumes: [\"../x:/y\"]", "../x"),
        ("volumes: [\"x:/__w/y\"]", "/__w/y"),
    ] {
        let ran =
            world.run(&format!("container:\n  image: BOX\n  {asked}\nsteps:\n  - run: echo never\n")).await;
        World::fails(&ran, why);
    }
    for (asked, why) in [("ports: [\"53/udp\"]", "only TCP"), ("ports: [\"0.0.0.0:81:81\"]", "0.0.0.0")] {
        let body = format!(
            "services:\n  a:\n    image: BOX\n    {asked}\n    command: sleep 9\nsteps:\n  - run: echo never\n"
        );
        World::fails(&world.run(&body).await, why);
    }
    // Files of the machine are for runs at a person's own terminal.
    let folder = tempfile::tempdir().unwrap();
    world.image.write(folder.path());
    let body = format!("container: oci:{}\nsteps:\n  - run: echo never\n", folder.path().display());
    assert_eq!(world.run(&body).await.conclusion, Some(Failure));
    // A folder that the operator lets jobs have is had.
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("file"), "shared\n").unwrap();
    let body = format!(
        "container:\n  image: BOX\n  volumes: [\"{}:/shared:ro\"]\nsteps:\n  - run: cat /shared/file; touch /shared/x || echo refused\n",
        shared.path().display()
    );
    let mut fixture = world.job(&body);
    fixture.settings.containers.volumes = vec![shared.path().to_owned()];
    fixture.run().await.succeeded().says("shared").says("refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_there_are_no_containers() {
    if std::env::var_os("WINDLASS_SANDBOX").is_some() {
        // One process of these tests has one level beside the strongest.
        return windlass_testkit::skip(
            "without_namespaces_there_are_no_containers",
            "another level was asked for",
        );
    }
    let mut fixture = job("container: box:1\nsteps:\n  - run: echo never\n");
    fixture.level = Some(Level::Process);
    World::fails(&fixture.run().await, "containers need a sandbox with namespaces");
    let mut fixture = job("steps:\n  - uses: docker://box:1\n");
    fixture.level = Some(Level::Process);
    World::fails(&fixture.run().await, "windlass up --docker");
}

/// The folder, the port and the mark of the job that is killed.
const KILLED: &str = "WINDLASS_TEST_KILLED";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_unit_that_was_killed() {
    let Some(world) = World::new("nothing_is_left_of_a_unit_that_was_killed").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mark = format!("killed-{}-{port}", std::process::id());
    let marked = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|entry| {
                let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(&format!("MARK={mark}"))
            })
            .count()
    };
    let mut unit = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bounds::the_unit_that_is_killed", "--ignored"])
        .env(KILLED, format!("{} {port} {mark} {}", folder.path().display(), world.name))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut tries = 0;
    while !(folder.path().join("unit/job/work/shop/shop/runs").exists()
        && TcpStream::connect(("127.0.0.1", port)).is_ok())
    {
        tries += 1;
        assert!(tries < 600 && unit.try_wait().unwrap().is_none(), "the job does not begin");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(marked() >= 2, "the service and the step run");
    unit.kill().unwrap();
    unit.wait().unwrap();
    let mut tries = 0;
    while marked() > 0 || TcpStream::connect(("127.0.0.1", port)).is_ok() {
        tries += 1;
        assert!(tries < 200, "{} processes of the job are left", marked());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let swept = windlass_runtime::sweep(&folder.path().join("unit/job/scratch")).unwrap();
    assert!(swept.len() >= 3, "the sandboxes' folders go with the next look: {swept:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("unit/job/scratch")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other half of nothing_is_left_of_a_unit_that_was_killed"]
async fn the_unit_that_is_killed() {
    let Ok(told) = std::env::var(KILLED) else { return };
    let told: Vec<&str> = told.split(' ').collect();
    let [folder, port, mark, image] = told[..] else { panic!("{told:?}") };
    let body = r#"
env: { MARK: "MARKED" }
services:
  web: { image: IMAGE, ports: ["PORT:80"], env: { MARK: "MARKED" }, command: httpd -f -p 80 -h / }
container: IMAGE
steps:
  - run: touch runs; sleep 300
"#;
    let body = body.replace("MARKED", mark).replace("IMAGE", image).replace("PORT", port);
    let mut fixture = job(&body);
    fixture.level = std::env::var("WINDLASS_SANDBOX").ok().and_then(|level| level.parse().ok());
    fixture.settings.containers.images = Some(Path::new(folder).join("images"));
    fixture.assignment.registry = image.split('/').next().unwrap().to_owned();
    fixture.dir = tempfile::Builder::new().prefix("unit").rand_bytes(0).tempdir_in(folder).unwrap();
    fixture.run().await;
}
