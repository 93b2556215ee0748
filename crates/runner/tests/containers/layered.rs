//! Jobs, services and actions in containers on our own sandbox, with no engine: from image layers that this test made, out of
//! a registry of its own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::json;
use windlass_api::Conclusion::{Failure, Success};
use windlass_runtime::{Level, Linux, Runtime as _, RuntimeConfig};

use crate::fixture::{Fixture, Ran, exe, job};
use crate::images::{Image, Served};

/// A registry with the image `own/box:1`, and a folder for what is fetched from it.
struct World {
    served: Served,
    image: Image,
    name: String,
    images: tempfile::TempDir,
    level: Option<Level>,
}

impl World {
    /// None: this machine cannot, and that was said.
    async fn new(test: &str) -> Option<Self> {
        // All of these tests can be run at another level: WINDLASS_SANDBOX names it.
        let level = std::env::var("WINDLASS_SANDBOX").ok().and_then(|level| level.parse().ok());
        let scratch = tempfile::tempdir().unwrap();
        let config = RuntimeConfig { exe: exe(), scratch_root: scratch.path().to_owned(), level };
        let found = Linux::open(config).await;
        if !found.is_ok_and(|found| found.capabilities().level != Level::Process) {
            windlass_testkit::skip(test, "this machine gives no sandbox with namespaces");
            return None;
        }
        let Some(image) = Image::of_busybox() else {
            windlass_testkit::skip(test, "there is no busybox to make an image of");
            return None;
        };
        let served = Served::start().await;
        let name = served.put("own/box:1", &image).await;
        Some(Self { served, image, name, images: tempfile::tempdir().unwrap(), level })
    }

    /// A job, in whose text `BOX` is the image.
    fn job(&self, body: &str) -> Fixture {
        let mut fixture = job(&body.replace("BOX", &self.name));
        fixture.level = self.level;
        fixture.settings.containers.images = Some(self.images.path().to_owned());
        fixture.assignment.registry.clone_from(&self.served.host);
        fixture
    }

    async fn run(&self, body: &str) -> Ran {
        self.job(body).run().await
    }

    #[track_caller]
    fn fails(ran: &Ran, why: &str) {
        assert_eq!(ran.conclusion, Some(Failure), "{}", ran.log);
        let reason = ran.reason.clone().unwrap_or_default();
        assert!(reason.contains(why), "`{why}` is not in: {reason}");
        assert!(!ran.log.lines().any(|line| line == "never"), "{}", ran.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_in_image_layers_beside_its_services() {
    let Some(world) = World::new("a_job_runs_in_image_layers_beside_its_services").await else { return };
    let ran = world
        .run(
            r#"
env: { OF_JOB: job }
container:
  image: docker://BOX
  env: { OF_CONTAINER: "${{ secrets.PASSWORD }}", LINES_OF: "one\ntwo" }
  volumes: ["data:/data", "${{ github.workspace }}:/again"]
  options: --cpus 1 --hostname here --label "two=words here" --tmpfs /empty
services:
  web:
    image: BOX
    ports: [8080, "9090"]
    env: { GREETING: "hello\nand again" }
    volumes: ["data:/data"]
    entrypoint: sh
    command: -c "mkdir -p /www && echo \"$GREETING\" > /www/index.html && httpd -f -p 8080 -h /www"
    options: --health-cmd "wget -q -O - http://127.0.0.1:8080/" --health-interval 1s --network-alias second
  none:
    image: ${{ matrix.os == 'windows' && 'BOX' || '' }}
steps:
  - id: first
    env: { OF_STEP: step }
    run: |
      echo "$LINES_OF"
      echo "$OF_JOB $OF_STEP $FROM_IMAGE $HOME $PWD $HOSTNAME $(hostname)"
      echo "secret $OF_CONTAINER"; touch /data/x && test -d /again && test -d /empty && echo mounted
      test -e /gone && echo "what was taken away is there"; cat /kept; test -d /run/mine && echo "own folders"
      echo "x=42" >> "$GITHUB_OUTPUT"; echo "LATER=set" >> "$GITHUB_ENV"
      mkdir -p tools && printf '#!/bin/sh\necho tool ran\n' > tools/mine && chmod +x tools/mine
      echo "$GITHUB_WORKSPACE/tools" >> "$GITHUB_PATH"
      echo "kept" > "${{ github.workspace }}/file"; cat /__w/shop/shop/file
      test "$GITHUB_EVENT_PATH" = /github/workflow/event.json && grep -q after /github/workflow/event.json && echo event
      test -e /usr/bin && echo "the machine is there"; touch /written && echo "root may be written"
  - run: |
      mine; echo "${{ steps.first.outputs.x }} $LATER"
      test -e /written && echo "still written"
      wget -q -O - http://web:8080/ && wget -q -O - http://second:8080/ | tail -n 1
      wget -q -O - http://127.0.0.1:${{ job.services.web.ports['8080'] }}/ | head -n 1
      echo "port ${{ job.services.web.ports['8080'] > 1024 }} ${{ job.container.network == job.services.web.network }}"
    working-directory: tools
  - run: echo "shell is $0"; exit 3
    continue-on-error: true
  - uses: actions/upload-artifact@v4
    with: { name: made, path: file }
  - run: echo "hash ${{ hashFiles('file') != '' }}"
"#,
        )
        .await;
    ran.succeeded()
        .says("two")
        .says("job step yes /github/home /__w/shop/shop here here")
        .says("secret ***")
        .says("mounted")
        .says("above")
        .says("own folders")
        .says("kept")
        .says("event")
        .says("root may be written")
        .says("still written")
        .says("tool ran")
        .says("42 set")
        .says("and again")
        .says("port true true")
        .says("hash true")
        .says("##[error]Process completed with exit code 3.");
    assert!(ran.log.matches("and again").count() >= 2, "{}", ran.log);
    for bad in ["what was taken away is there", "the machine is there"] {
        assert!(!ran.log.lines().any(|line| line == bad), "{bad}: {}", ran.log);
    }
    assert_eq!(ran.artifact_names().await, ["made"]);
    let names: Vec<_> = ran.steps();
    assert_eq!(names[1], ("Initialize containers".to_owned(), Success));
    assert_eq!(names[names.len() - 2], ("Stop containers".to_owned(), Success));
    assert!(ran.log.contains("shell: sh -e {0}"), "{}", ran.log);
    assert!(!ran.dir.path().join("job/containers").exists(), "something of the containers is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_have_a_service_on_one_port_at_once() {
    let Some(world) = World::new("two_jobs_have_a_service_on_one_port_at_once").await else { return };
    let body = |name: &str, place: &str| {
        format!(
            r#"
{place}
services:
  db:
    image: BOX
    ports: [5432]
    command: sh -c "mkdir /www && echo from {name} > /www/index.html && httpd -f -p 5432 -h /www"
steps:
  - shell: sh
    run: |
      sleep 1
      busybox wget -q -O - "http://ADDRESS/"
"#
        )
    };
    let inside = |name: &str| body(name, "container: BOX").replace("ADDRESS", "db:5432");
    let beside = body("three", "").replace("ADDRESS", "127.0.0.1:${{ job.services.db.ports['5432'] }}");
    let (one, two) = (inside("one"), inside("two"));
    let (one, two, three) = tokio::join!(world.run(&one), world.run(&two), world.run(&beside));
    one.succeeded().says("from one");
    two.succeeded().says("from two");
    three.succeeded().says("from three");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_machine_is_one_jobs_at_a_time() {
    let Some(world) = World::new("a_port_of_the_machine_is_one_jobs_at_a_time").await else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let body = format!(
        "services:\n  web:\n    image: BOX\n    ports: [\"{port}:80\"]\n    command: sleep 100\nsteps:\n  - run: echo never\n"
    );
    World::fails(&world.run(&body).await, &format!("port {port} of 127.0.0.1 cannot be had"));
    drop(taken);
    let body = body.replace("sleep 100", "httpd -f -p 80 -h /").replace(
        "echo never",
        &format!("busybox wget -q -O - http://127.0.0.1:{port}/kept; echo \"port ${{{{ job.services.web.ports['80'] }}}}\""),
    );
    world.run(&body).await.succeeded().says(&format!("port {port}")).says("above");
}

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
async fn services_reach_each_other_by_their_names() {
    let Some(world) = World::new("services_reach_each_other_by_their_names").await else { return };
    let ran = world
        .run(
            r#"
services:
  back:
    image: BOX
    command: httpd -f -p 81 -h /
    options: --health-cmd "wget -q -O - http://127.0.0.1:81/kept" --health-interval 1s
  front:
    image: BOX
    ports: [80]
    command: sh -c "until wget -q -O /tmp/got http://back:81/kept; do sleep 0.1; done; echo got $(cat /tmp/got); httpd -f -p 80 -h /tmp"
    options: --health-cmd "wget -q -O - http://front/got" --health-interval 5s
container: BOX
steps:
  - run: |
      echo "through front: $(wget -q -O - http://front/got)"
      wget -q -T 2 -O - http://front:81/ || echo "nobody listens there"
"#,
        )
        .await;
    ran.succeeded().says("got above").says("through front: above").says("nobody listens there");
}

/// What is listened on for one service in another's network is never in the way of that one's own programs.
#[tokio::test(flavor = "multi_thread")]
async fn two_services_of_a_job_listen_on_one_port() {
    let Some(world) = World::new("two_services_of_a_job_listen_on_one_port").await else { return };
    let service = |name: &str, wait: &str| {
        format!(
            "  {name}:\n    image: BOX\n    command: sh -c \"mkdir /www; echo {name} > /www/who; sleep {wait}; httpd -f -p 80 -h /www\"\n    options: --health-cmd \"wget -q -O - http://127.0.0.1/who\"\n"
        )
    };
    let body = format!(
        "container: BOX\nservices:\n{}{}steps:\n  - run: |\n      wget -q -O - http://one/who\n      wget -q -O - http://two/who\n",
        service("one", "0"),
        service("two", "1"),
    );
    world.run(&body).await.succeeded().says("one").says("two");
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
        let packed =
            left.iter().filter(|path| path.metadata().is_ok_and(|m| m.is_file() && m.len() > 1 << 20));
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

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_images_in_sandboxes() {
    let Some(world) = World::new("actions_are_images_in_sandboxes").await else { return };
    let mut fixture = world.job(
        r#"
services:
  web: { image: BOX, command: httpd -f -p 80 -h / }
steps:
  - uses: docker://BOX
    env: { OF_STEP: step }
    with:
      entrypoint: /bin/sh
      args: -c "echo image says $OF_STEP $HOME $PWD $FROM_IMAGE; echo left > left; wget -q -O - http://web/kept"
  - run: cat left
  - uses: ./act
    id: act
    with: { who: world }
  - run: echo "${{ steps.act.outputs.said }}"
  - uses: docker://BOX
    continue-on-error: true
    with: { args: "sh -c 'exit 9'" }
  - uses: ./plain
"#,
    );
    let act = fixture.dir.path().join("job/work/shop/shop");
    let write = |name: &str, text: &str| {
        let path: PathBuf = act.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let text = r#"
inputs: { who: { required: true }, mood: { default: happy } }
outputs: { said: { description: x } }
runs:
  using: docker
  image: docker://BOX
  entrypoint: /github/workspace/act/main.sh
  args: ["${{ inputs.who }}", two words]
  env: { MOOD: "${{ inputs.mood }}" }
  post-entrypoint: /github/workspace/act/post.sh
"#;
    write("act/action.yml", &text.replace("BOX", &world.name));
    write(
        "act/main.sh",
        "#!/bin/sh\necho \"main $1 [$2] $MOOD $INPUT_WHO\"; echo said=hello >> $GITHUB_OUTPUT; echo kept=1 >> $GITHUB_STATE\n",
    );
    write("act/post.sh", "#!/bin/sh\necho \"post $STATE_kept\"\n");
    let text = "FROM BOX\nCOPY said /\nRUN echo and built >> /said\nCMD [\"cat\", \"/said\"]\n";
    write("plain/Dockerfile", &text.replace("BOX", &world.name));
    write("plain/said", "only a Dockerfile\n");
    for script in ["main.sh", "post.sh"] {
        let made = std::process::Command::new("chmod").arg("+x").arg(act.join("act").join(script)).status();
        assert!(made.unwrap().success());
    }
    fixture.assignment.debug = false;
    let ran = fixture.run().await;
    ran.succeeded()
        .says("image says step /github/home /github/workspace yes")
        .says("above")
        .says("left")
        .says("main world [two words] happy world")
        .says("hello")
        .says("##[error]Docker run failed with exit code 9")
        .says("only a Dockerfile")
        .says("and built")
        .says("post 1");
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
async fn a_service_that_does_not_get_well_fails_the_job() {
    let Some(world) = World::new("a_service_that_does_not_get_well_fails_the_job").await else { return };
    let body = |more: &str| {
        format!(
            "services:\n  ill:\n    image: BOX\n{more}steps:\n  - run: echo never\n  - if: always()\n    run: echo never\n"
        )
    };
    let ran = world.run(&body("    command: sh -c \"echo about to fail; exit 7\"\n")).await;
    World::fails(&ran, "the service `ill` is exited (exit code 7)");
    ran.says("about to fail");
    let ran = world
        .run(&body(
            "    command: sh -c \"echo up; sleep 100\"\n    options: --health-cmd \"echo not yet; exit 1\" --health-interval 100ms --health-retries 2\n",
        ))
        .await;
    World::fails(&ran, "the service `ill` is unhealthy");
    assert!(ran.reason.clone().unwrap().contains("not yet"), "{:?}", ran.reason);
    ran.says("up");
    // An image's own check counts as well.
    let check = json!({"Test": ["CMD-SHELL", "exit 1"], "Interval": 50_000_000, "Retries": 1});
    let ill = world.served.put("own/box:ill", &world.image.clone().with("Healthcheck", check)).await;
    let ran = world.run(&body("    command: sleep 100\n").replace("BOX", &ill)).await;
    World::fails(&ran, "the service `ill` is unhealthy");
    let ran = world.run(&body("    command: /none\n")).await;
    World::fails(&ran, "no program `/none`");
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
async fn a_container_is_as_its_image_and_options_say() {
    let Some(world) = World::new("a_container_is_as_its_image_and_options_say").await else { return };
    let ran = world
        .run(
            r#"
services:
  one:
    image: BOX
    command: sh -c "pwd; id -u; id -g; echo $HOME $A; touch /here || echo cannot; touch /empty/x && echo can; sleep 100"
    options: --user web --workdir /work/deep -e A=B --tmpfs /empty --read-only
container:
  image: BOX
  options: --user 33
steps:
  - run: id -u; id -g; touch /x || echo refused
    working-directory: /
"#,
        )
        .await;
    if world.level == Some(Level::UserNamespaces) {
        // There is one id only.
        ran.succeeded().says("/work/deep").says("/srv/web B").says("cannot");
    } else {
        ran.succeeded()
            .says("/work/deep")
            .says("33")
            .says("34")
            .says("/srv/web B")
            .says("cannot")
            .says("can")
            .says("refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_too_long_is_ended_within_its_layers() {
    let Some(world) = World::new("a_step_that_takes_too_long_is_ended_within_its_layers").await else {
        return;
    };
    let ran = world
        .run(
            r#"
container: BOX
steps:
  - { timeout-minutes: 0.03, run: "sleep 4242", continue-on-error: true }
  - run: if ps | grep -v grep | grep -q 'sleep 4242'; then echo still there; else echo gone; fi
"#,
        )
        .await;
    ran.succeeded().says("gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_there_are_no_containers() {
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
        .args(["--exact", "layered::the_unit_that_is_killed", "--ignored"])
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
    assert!(marked() >= 3, "service, step and its program run");
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
