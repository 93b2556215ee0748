//! Jobs, services and actions in containers, on an engine of the test's own, with an image of nothing but busybox.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_api::Conclusion::{Failure, Success};
use windlass_runner::Docker;
use windlass_testkit::{DockerEngine, DockerStorage};

use crate::fixture::{Fixture, job};

/// An engine of this test's own, with the image. Not below /tmp: jobs have one of their own.
fn engine() -> Result<DockerEngine, String> {
    let engine = DockerEngine::start(Path::new("/var/lib"), DockerStorage::Vfs)?;
    image(&engine)?;
    Ok(engine)
}

/// An image `box:1` of busybox and nothing else.
fn image(engine: &DockerEngine) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let busybox = path.split(':').map(|folder| Path::new(folder).join("busybox")).find(|file| file.is_file());
    let busybox = busybox.ok_or("there is no busybox")?;
    let folder = engine.folder().join("image");
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::fs::copy(&busybox, folder.join("bin/busybox")).unwrap();
    let list = Command::new(&busybox).arg("--list").output().map_err(|e| e.to_string())?;
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        let _ = std::os::unix::fs::symlink("busybox", folder.join("bin").join(name));
    }
    std::fs::create_dir_all(folder.join("tmp")).unwrap();
    let text = "FROM scratch\nCOPY . /\nENV PATH=/bin FROM_IMAGE=yes\nCMD [\"sh\"]\n";
    std::fs::write(engine.folder().join("Dockerfile"), text).unwrap();
    let file = engine.folder().join("Dockerfile");
    let mut command = engine.command();
    command.args(["build", "--tag", "box:1", "--file"]).arg(file).arg(&folder);
    let out = command.env("DOCKER_BUILDKIT", "0").output().unwrap();
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

fn fixture(engine: &DockerEngine, body: &str) -> Fixture {
    let mut fixture = job(body);
    fixture.settings.docker = Docker { containers: true, allowed: false, host: Some(engine.host()) };
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_services_and_actions_run_in_containers() {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(why) => return windlass_testkit::skip("jobs_services_and_actions_run_in_containers", &why),
    };
    a_job_runs_in_a_container_beside_its_services(&engine).await;
    actions_may_be_images(&engine).await;
    what_does_not_get_well_fails_the_job(&engine).await;
    a_step_that_takes_too_long_is_ended_within(&engine).await;
    services_are_reached_from_the_machine(&engine).await;
    nothing_of_the_machine_is_reached(&engine).await;
    what_the_dead_left_is_removed(&engine).await;
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "", "a container is left");
    let networks = engine.ok(&["network", "ls", "--format", "{{.Name}}"]);
    assert!(!networks.contains("windlass"), "{networks}");
    let volumes = engine.ok(&["volume", "ls", "--quiet"]);
    assert!(!volumes.contains("windlass"), "{volumes}");
    assert_eq!(engine.ok(&["image", "ls", "--format", "{{.Repository}}"]), "box", "an image is left");
}

async fn a_job_runs_in_a_container_beside_its_services(engine: &DockerEngine) {
    let ran = fixture(
        engine,
        r#"
env: { OF_JOB: job }
container:
  image: docker://box:1
  env: { OF_CONTAINER: "${{ secrets.PASSWORD }}", LINES_OF: "one\ntwo" }
  volumes: ["data:/data", "${{ github.workspace }}:/again"]
  options: --cpus 1 --label "two=words here"
services:
  web:
    image: box:1
    ports: [8080, "9090"]
    env: { GREETING: hello }
    entrypoint: sh
    command: -c "mkdir -p /www && echo $GREETING > /www/index.html && httpd -f -p 8080 -h /www"
    options: --health-cmd "wget -q -O - http://127.0.0.1:8080/" --health-interval 1s
  none:
    image: ${{ matrix.os == 'windows' && 'box:1' || '' }}
steps:
  - id: first
    env: { OF_STEP: step }
    run: |
      echo "child of $PPID, $(tr '\0' ' ' < /proc/1/cmdline | grep -c 'sandbox-init connect') init"
      echo "$LINES_OF"
      echo "$OF_JOB $OF_STEP $FROM_IMAGE $HOME $PWD"
      echo "secret $OF_CONTAINER"; touch /data/x && test -d /again && echo mounted
      echo "x=42" >> "$GITHUB_OUTPUT"; echo "LATER=set" >> "$GITHUB_ENV"
      mkdir -p tools && printf '#!/bin/sh\necho tool ran\n' > tools/mine && chmod +x tools/mine
      echo "$GITHUB_WORKSPACE/tools" >> "$GITHUB_PATH"
      echo "kept" > "${{ github.workspace }}/file"; cat /__w/shop/shop/file
      test "$GITHUB_EVENT_PATH" = /github/workflow/event.json && grep -q after /github/workflow/event.json && echo event
  - run: |
      mine; echo "${{ steps.first.outputs.x }} $LATER"
      wget -q -O - http://web:8080/
      echo "port ${{ job.services.web.ports['8080'] > 1024 }} ${{ job.container.network == job.services.web.network }}"
    working-directory: tools
  - run: echo "shell is $0"; exit 3
    continue-on-error: true
  - uses: actions/upload-artifact@v4
    with: { name: made, path: file }
  - run: echo "hash ${{ hashFiles('file') != '' }}"
"#,
    )
    .run()
    .await;
    ran.succeeded()
        .says("child of 1, 1 init")
        .says("two")
        .says("job step yes /github/home /__w/shop/shop")
        .says("secret ***")
        .says("mounted")
        .says("kept")
        .says("event")
        .says("tool ran")
        .says("42 set")
        .says("hello")
        .says("port true true")
        .says("hash true")
        .says("##[error]Process completed with exit code 3.");
    assert_eq!(ran.artifact_names().await, ["made"]);
    let names: Vec<_> = ran.steps();
    assert_eq!(names[1], ("Initialize containers".to_owned(), Success));
    assert_eq!(names[names.len() - 2], ("Stop containers".to_owned(), Success));
    assert!(ran.log.contains("shell: sh -e {0}"), "{}", ran.log);
}

async fn actions_may_be_images(engine: &DockerEngine) {
    let mut fixture = fixture(
        engine,
        r#"
steps:
  - uses: docker://box:1
    env: { OF_STEP: step }
    with:
      entrypoint: /bin/sh
      args: -c "echo image says $OF_STEP $HOME $PWD; echo left > left"
  - run: cat left
  - uses: ./act
    id: act
    with: { who: world }
  - run: echo "${{ steps.act.outputs.said }}"
  - uses: ./plain
"#,
    );
    let act = fixture.dir.path().join("job/work/shop/shop");
    let write = |name: &str, text: &str| {
        let path: PathBuf = act.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "act/action.yml",
        r#"
inputs: { who: { required: true }, mood: { default: happy } }
outputs: { said: { description: x } }
runs:
  using: docker
  image: Dockerfile
  args: ["${{ inputs.who }}", two words]
  env: { MOOD: "${{ inputs.mood }}" }
  post-entrypoint: /post.sh
"#,
    );
    write("act/Dockerfile", "FROM box:1\nCOPY main.sh post.sh /\nENTRYPOINT [\"sh\", \"/main.sh\"]\n");
    write(
        "act/main.sh",
        "echo \"main $1 [$2] $MOOD $INPUT_WHO\"; echo said=hello >> $GITHUB_OUTPUT; echo kept=1 >> $GITHUB_STATE\n",
    );
    write("act/post.sh", "#!/bin/sh\necho \"post $STATE_kept\"\n");
    write("plain/Dockerfile", "FROM box:1\nCMD [\"echo\", \"only a Dockerfile\"]\n");
    let status = Command::new("chmod").arg("+x").arg(act.join("act/post.sh")).status().unwrap();
    assert!(status.success());
    fixture.assignment.debug = false;
    let ran = fixture.run().await;
    ran.succeeded()
        .says("image says step /github/home /github/workspace")
        .says("left")
        .says("main world [two words] happy world")
        .says("hello")
        .says("only a Dockerfile")
        .says("post 1");
}

async fn what_does_not_get_well_fails_the_job(engine: &DockerEngine) {
    let ran = fixture(
        engine,
        r#"
services:
  ill:
    image: box:1
    command: sh -c "echo about to fail; exit 7"
steps:
  - run: echo never
  - if: always()
    run: echo never
"#,
    )
    .run()
    .await;
    assert_eq!(ran.conclusion, Some(Failure));
    assert!(ran.reason.clone().unwrap().contains("the service `ill` is exited"), "{:?}", ran.reason);
    ran.says("about to fail");
    assert!(!ran.log.lines().any(|line| line == "never"), "{}", ran.log);
}

async fn a_step_that_takes_too_long_is_ended_within(engine: &DockerEngine) {
    let ran = fixture(
        engine,
        r#"
container: box:1
steps:
  - { timeout-minutes: 0.03, run: "sleep 4242", continue-on-error: true }
  - run: if ps | grep -v grep | grep -q 'sleep 4242'; then echo still there; else echo gone; fi
"#,
    )
    .run()
    .await;
    ran.succeeded().says("gone");
}

async fn services_are_reached_from_the_machine(engine: &DockerEngine) {
    let ran = fixture(
        engine,
        r#"
services:
  web:
    image: box:1
    ports: ["8080"]
    entrypoint: sh
    command: -c "mkdir /www && echo from the service > /www/index.html && httpd -f -p 8080 -h /www"
    options: --health-cmd "wget -q -O - http://127.0.0.1:8080/" --health-interval 1s
steps:
  - run: |
      exec 3<> "/dev/tcp/127.0.0.1/${{ job.services.web.ports['8080'] }}"
      printf 'GET / HTTP/1.0\r\n\r\n' >&3
      cat <&3
    shell: bash
"#,
    )
    .run()
    .await;
    ran.succeeded().says("from the service");
}

/// What a job asks for that would give it more than its own folder is refused; what it puts in the place of its folders
/// leads nowhere but into the container.
async fn nothing_of_the_machine_is_reached(engine: &DockerEngine) {
    for (asked, why) in [
        ("options: --privileged", "--privileged"),
        ("volumes: [\"/etc:/machine\"]", "/etc"),
        ("ports: [\"0.0.0.0:81:81\"]", "0.0.0.0"),
        ("options: --network host", "--network"),
    ] {
        let body = format!("container:\n  image: box:1\n  {asked}\nsteps:\n  - run: echo never\n");
        let ran = fixture(engine, &body).run().await;
        assert_eq!(ran.conclusion, Some(Failure), "{asked}");
        assert!(ran.reason.clone().unwrap().contains(why), "{asked}: {:?}", ran.reason);
        assert!(!ran.log.lines().any(|line| line == "never"), "{}", ran.log);
    }
    let outside = engine.folder().join("outside");
    std::fs::write(&outside, "x").unwrap();
    let ran = fixture(
        engine,
        &r#"
steps:
  - run: rm -rf "$GITHUB_WORKSPACE" && ln -s / "$GITHUB_WORKSPACE"
    working-directory: /
  - uses: docker://box:1
    with:
      entrypoint: sh
      args: -c "test -e /github/workspace/OUTSIDE && echo reached; test -e /var/run/docker.sock && echo reached; echo looked"
"#
        .replace("/OUTSIDE", &outside.display().to_string()),
    )
    .run()
    .await;
    assert!(!ran.log.lines().any(|line| line == "reached"), "{}", ran.log);
    ran.says("looked");
}

/// A unit that was killed removes nothing: the next job that uses the engine does.
async fn what_the_dead_left_is_removed(engine: &DockerEngine) {
    let ran = fixture(engine, "container: box:1\nsteps:\n  - run: echo \"id $HOSTNAME\"\n");
    let ran = ran.run().await;
    ran.succeeded();
    // The labels of a job's network are known only while it runs; a service of this test's own shows them.
    let mut child = Command::new("sh").args(["-c", "exit 0"]).spawn().unwrap();
    let dead = format!("{}-1", child.id());
    child.wait().unwrap();
    let machine = windlass_runner::engine_mark();
    let labels = [format!("windlass.owner={dead}"), format!("windlass.machine={machine}")];
    engine.ok(&["create", "--label", &labels[0], "--label", &labels[1], "box:1", "true"]);
    engine.ok(&["network", "create", "--label", &labels[0], "--label", &labels[1], "windlass_left"]);
    engine.ok(&["create", "--name", "foreign", "box:1", "true"]);
    fixture(engine, "container: box:1\nsteps:\n  - run: true\n").run().await.succeeded();
    assert_eq!(
        engine.ok(&["ps", "--all", "--format", "{{.Names}}"]),
        "foreign",
        "only what is not ours stays"
    );
    engine.ok(&["rm", "foreign"]);
}
