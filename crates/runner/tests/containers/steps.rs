//! Steps and actions in containers from image layers.

use std::path::PathBuf;

use windlass_api::Conclusion::Success;
use windlass_runtime::Level;

use crate::world::World;

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
async fn actions_are_images_in_sandboxes() {
    let Some(world) = World::new("actions_are_images_in_sandboxes").await else { return };
    let mut fixture = world.job(
        r#"
services:
  web: { image: BOX, command: httpd -f -p 8080 -h / }
steps:
  - uses: docker://BOX
    env: { OF_STEP: step }
    with:
      entrypoint: /bin/sh
      args: -c "echo image says $OF_STEP $HOME $PWD $FROM_IMAGE; echo left > left; wget -q -O - http://web:8080/kept"
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

#[tokio::test(flavor = "multi_thread")]
async fn actions_in_javascript_run_in_an_image_without_node() {
    let test = "actions_in_javascript_run_in_an_image_without_node";
    let Some(world) = World::new(test).await else { return };
    if std::process::Command::new("node").arg("--version").output().is_err() {
        return windlass_testkit::skip(test, "there is no node");
    }
    let fixture = world.job(
        r#"
container: { image: BOX, env: { OF_CONTAINER: here } }
steps:
  - run: command -v node || echo none of its own
  - uses: ./js
    id: js
    with: { who: world }
  - run: echo "${{ steps.js.outputs.said }}"
  - uses: actions/github-script@v7
    with: { script: "console.log('script ' + require('fs').readFileSync('/kept', 'utf8'))" }
"#,
    );
    let folder = fixture.dir.path().join("job/work/shop/shop/js");
    std::fs::create_dir_all(&folder).unwrap();
    let meta = "inputs: { who: { required: true } }\nruns: { using: node20, main: main.js, post: post.js }\n";
    std::fs::write(folder.join("action.yml"), meta).unwrap();
    let main = r"
const fs = require('fs');
console.log(`action ${process.env.INPUT_WHO} ${process.env.OF_CONTAINER} ${process.cwd()} ${fs.existsSync('/bin/busybox')}`);
fs.appendFileSync(process.env.GITHUB_OUTPUT, 'said=hello\n');
console.log(require('child_process').execSync('busybox echo child').toString());
";
    std::fs::write(folder.join("main.js"), main).unwrap();
    std::fs::write(folder.join("post.js"), "console.log('after it')").unwrap();
    let ran = fixture.run().await;
    ran.succeeded()
        .says("none of its own")
        .says("action world here /__w/shop/shop true")
        .says("child")
        .says("hello")
        .says("script above")
        .says("after it");
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
