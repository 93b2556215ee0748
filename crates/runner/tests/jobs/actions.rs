//! The built-in actions, and composite ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use windlass_api::Conclusion::{Failure, Success};
use windlass_api::{DeploymentState, DeploymentStep, DeploymentView, ReleaseView};
use windlass_kernel::Timestamp;
use windlass_runner::Control as _;

use crate::fixture::{Fixture, job};
use crate::git_server;

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_go_up_and_come_down() {
    let ran = job(r#"
steps:
  - run: |
      mkdir -p out/sub; echo a > out/a.txt; echo b > out/sub/b.txt; echo c > out/c.log
      ln -s /etc/passwd out/outside.txt
  - uses: actions/upload-artifact@v4
    id: up
    with:
      name: files
      path: |
        out
        !out/**/*.log
        !out/outside.txt
  - uses: actions/upload-artifact@v4
    with: { name: none, path: nothing, if-no-files-found: ignore, surprise: x }
  - uses: actions/download-artifact@v4
    with: { name: files, path: down }
  - uses: actions/download-artifact@v4
    with: { pattern: f*, path: all }
  - run: find down all -type f | sort | tr '\n' ' '; echo; echo "id ${{ steps.up.outputs.artifact-id }}"
  - uses: actions/upload-artifact@v4
    with: { name: files, path: out }
    continue-on-error: true
  - uses: actions/upload-artifact@v4
    with: { name: files, path: out/a.txt, overwrite: true }
  - uses: actions/upload-artifact@v4
    with: { name: x, path: nothing, if-no-files-found: error }
"#)
    .run()
    .await;
    ran.says("all/files/a.txt all/files/sub/b.txt down/a.txt down/sub/b.txt ").says("id files");
    assert_eq!(ran.artifact_names().await, ["files"]);
    assert_eq!(ran.conclusion, Some(Failure));
    assert!(
        ran.reason.clone().unwrap().contains("No files were found with the provided path: nothing"),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("Unexpected input(s) 'surprise'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_is_saved_once_and_found_again() {
    let text = r#"
steps:
  - uses: actions/cache@v4
    id: cache
    with:
      path: |
        deps
        ~/.tool
      key: deps-1
      restore-keys: deps-
  - run: |
      echo "hit [${{ steps.cache.outputs.cache-hit }}] matched [${{ steps.cache.outputs.cache-matched-key }}]"
      cat deps/file ~/.tool/file || true
      mkdir -p deps ~/.tool; echo kept > deps/file; echo home > ~/.tool/file
"#;
    let first = job(text).run().await;
    first.succeeded().says("hit [] matched []").says("Cache saved with key: deps-1 (2 files)");
    let names: Vec<_> = first.steps().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[3], "Post Run actions/cache@v4");

    let mut second = job(text);
    second.control = first.control.clone();
    // The control numbers updates per hand-out: this is another one.
    second.control.forget_updates();
    let second = second.run().await;
    second.succeeded().says("hit [true] matched [deps-1]").says("kept").says("home");
    assert!(
        second.log.contains("Cache hit occurred on the primary key deps-1, not saving cache."),
        "{}",
        second.log
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_mode_skips_what_it_forbids() {
    let text = "steps:\n  - {uses: actions/cache@v4, with: {path: deps, key: k}}\n  - run: mkdir -p deps; echo x > deps/file\n";
    for (mode, restores, saves) in
        [("read", true, false), ("write-only", false, true), ("none", false, false), ("write", true, true)]
    {
        let mut one = job(text);
        one.assignment.cache_mode = mode.into();
        let ran = one.run().await;
        ran.succeeded();
        let skipped = |what: &str| {
            ran.log
                .contains(&format!("Cache {what} skipped: the effective cache-mode '{mode}' does not permit"))
        };
        assert_eq!((skipped("restore"), skipped("save")), (!restores, !saves), "{}", ran.log);
        assert_eq!(ran.log.contains("Cache saved with key: k"), saves, "{}", ran.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn composite_actions_have_inputs_outputs_and_scopes() {
    let ran = job(r#"
env: { OUTER: job }
steps:
  - run: |
      mkdir -p .github/actions/greet .github/actions/inner
      cat > .github/actions/greet/action.yml <<'END'
      name: greet
      inputs:
        who: { default: "world ${{ '${{ github.actor }}' }}" }
        loud: { required: true }
      outputs:
        said: { value: "${{ '${{ steps.say.outputs.said }}' }}" }
      runs:
        using: composite
        steps:
          - id: say
            shell: bash
            run: |
              echo "said=hello $WHO $OUTER $STEP" >> $GITHUB_OUTPUT
              echo "FROM_ACTION=1" >> $GITHUB_ENV
              test -f "$GITHUB_ACTION_PATH/action.yml" && echo path ok
            env: { WHO: "${{ '${{ inputs.who }}' }}" }
          - uses: ./.github/actions/inner
          - if: failure()
            shell: bash
            run: echo inner failed
      END
      cat > .github/actions/inner/action.yml <<'END'
      name: inner
      runs:
        using: composite
        steps: [{ shell: bash, run: "exit ${CODE:-0}" }]
      END
  - uses: ./.github/actions/greet
    id: greet
    env: { STEP: step }
  - run: echo "[${{ steps.greet.outputs.said }}] [$FROM_ACTION]"
  - uses: ./.github/actions/greet
    continue-on-error: true
    id: failing
    env: { CODE: 3 }
  - run: echo "outcome ${{ steps.failing.outcome }}"
  - uses: ./missing
"#)
    .run()
    .await;
    ran.says("path ok").says("[hello world ann job step] [1]").says("inner failed").says("outcome failure");
    assert!(ran.reason.clone().unwrap().contains("Can't find 'action.yml'"), "{:?}", ran.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkout_brings_the_commit_and_leaves_no_token() {
    // Jobs have a /tmp of their own: what they clone lies elsewhere.
    let repositories = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (url, sha) = repository(repositories.path());
    let mut fixture = job(r#"
steps:
  - uses: actions/checkout@v4
    id: out
  - run: |
      cat file.txt; git log --oneline | wc -l; git rev-parse --abbrev-ref HEAD
      grep -ri -e extraheader -e token .git/config || echo config is clean
      git config --get-regexp 'http.*extraheader' > /dev/null && echo persisted
      git config --get-all include.path > "$GITHUB_WORKSPACE/../include"
  - uses: actions/checkout@v4
    with: { path: again, ref: v1, fetch-depth: 0, persist-credentials: false }
  - run: cat again/file.txt; cd again; git config --get-regexp 'http.*extraheader' || echo not persisted
"#);
    fixture.assignment.clone_url = url;
    fixture.assignment.github["sha"] = sha.clone().into();
    let ran = fixture.run().await;
    ran.succeeded()
        .says("second")
        .says("1")
        .says("main")
        .says("config is clean")
        .says("persisted")
        .says("first")
        .says("not persisted");
    let encoded = "eC1hY2Nlc3MtdG9rZW46";
    assert!(!ran.log.contains("job-token") && !ran.log.contains(encoded), "{}", ran.log);
    let include = std::fs::read_to_string(ran.dir.path().join("job/work/shop/include")).unwrap();
    assert!(
        !include.trim().is_empty() && !Path::new(include.trim()).exists(),
        "the credentials' file goes with the job"
    );
}

fn repository(dir: &Path) -> (String, String) {
    let git = |args: &[&str]| {
        let out = Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.invalid",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(args)
            .current_dir(dir.join("src"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    std::fs::create_dir(dir.join("src")).unwrap();
    git(&["init", "-q", "-b", "main"]);
    std::fs::write(dir.join("src/file.txt"), "first\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    git(&["tag", "v1"]);
    std::fs::write(dir.join("src/file.txt"), "second\n").unwrap();
    git(&["commit", "-q", "-a", "-m", "second"]);
    git(&["clone", "-q", "--bare", ".", "../shop.git"]);
    (format!("file://{}/shop.git", dir.display()), git(&["rev-parse", "HEAD"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_assembled_from_the_workspace_only() {
    let ran = job(r#"
steps:
  - run: mkdir -p bin && echo '#!/bin/sh' > bin/app && chmod +x bin/app && ln -s /etc/passwd bin/evil
  - uses: windlass/build@v1
    id: build
    with:
      files: |
        bin/app:/app
      entrypoint: /app
      cmd: '["--port", "80 80"]'
      env: A=b=c
      expose: 8080
      tags: latest ${{ github.sha }}
  - run: echo "${{ steps.build.outputs.digest }} ${{ steps.build.outputs.reference }}"
  - uses: windlass/build@v1
    with: { files: "bin:/" }
"#)
    .run()
    .await;
    let images = ran.control.images();
    assert_eq!(images.len(), 1, "{}", ran.log);
    let build = &images[0].0;
    assert_eq!(build.cmd, ["--port", "80 80"]);
    assert_eq!(
        (build.entrypoint.as_slice(), build.expose.as_slice()),
        (&["/app".to_owned()][..], &[8080][..])
    );
    assert_eq!(build.env, ["A=b=c"]);
    assert_eq!(build.tags.len(), 2);
    assert!(ran.reason.clone().unwrap().contains("leads out of the workspace"), "{:?}", ran.reason);
}

fn deployment(state: DeploymentState, log: &[&str], reason: &str) -> DeploymentView {
    let at = Timestamp::from_millis(0);
    DeploymentView {
        id: "dep_1".into(),
        project: "shop".into(),
        environment: "staging".into(),
        release: ReleaseView {
            id: "rel_1".into(),
            number: 3,
            project: "shop".into(),
            sha: String::new(),
            title: String::new(),
            run: None,
            images: BTreeMap::new(),
            created_at: at,
            created_by: "run:1".into(),
        },
        strategy: "rolling".into(),
        cause: "deploy".into(),
        state,
        reason: reason.into(),
        log: log.iter().map(|text| DeploymentStep { at, text: (*text).into() }).collect(),
        last_health: Some("503 not yet".into()),
        last_lines: vec!["panic: no database".into()],
        created_at: at,
        finished_at: None,
        created_by: "run:1".into(),
        urls: BTreeMap::from([("shop".to_owned(), "http://shop.staging.localhost".to_owned())]),
    }
}

fn deploying() -> Fixture {
    let mut fixture = job(r#"
environment: { name: staging, url: "${{ steps.d.outputs.url }}" }
steps:
  - uses: windlass/deploy@v1
    id: d
    with: { image: "sha256:00" }
"#);
    fixture.assignment.environment = Some("staging".into());
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_waited_for_and_told() {
    let fixture = deploying();
    fixture.control.script_deployment(vec![
        deployment(DeploymentState::Running, &["started"], ""),
        deployment(DeploymentState::Running, &["started", "healthy"], ""),
        deployment(DeploymentState::Succeeded, &["started", "healthy", "switched"], "all healthy"),
    ]);
    let ran = fixture.run().await;
    ran.succeeded().says("started").says("switched");
    assert_eq!(ran.log.lines().filter(|line| *line == "healthy").count(), 1);
    assert_eq!(ran.environment_url.as_deref(), Some("http://shop.staging.localhost"));
    assert_eq!(ran.control.deployed()[0][""], "sha256:00");

    let fixture = deploying();
    fixture.control.script_deployment(vec![deployment(
        DeploymentState::RolledBack,
        &["went back"],
        "the health check failed",
    )]);
    let ran = fixture.run().await;
    assert_eq!(ran.conclusion, Some(Failure));
    ran.says("503 not yet").says("panic: no database").says("went back");
    assert!(ran.reason.clone().unwrap().contains("failed and was rolled back: the health check failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_uses_the_machines_own_toolchain() {
    let ran = job(
        r#"
steps:
  - uses: actions/setup-python@v5
    id: py
    with: { python-version: "3" }
  - run: python -c 'import sys; print("major", sys.version_info[0])'; echo "${{ steps.py.outputs.python-version }}"
  - uses: actions/setup-python@v5
    with: { python-version: "1.5" }
"#,
    )
    .run()
    .await;
    if !ran.log.contains("major 3") && ran.log.contains("nor is any other version") {
        windlass_testkit::skip("setup_uses_the_machines_own_toolchain", "there is no Python on this machine");
        return;
    }
    ran.says("major 3");
    let reason = ran.reason.clone().unwrap();
    assert!(reason.contains("Python 1.5 is not on this machine; there is "), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributions_python_installs_packages_and_their_programs_are_found() {
    let ran = job(
        r#"
steps:
  - uses: actions/setup-python@v5
  - shell: python
    run: |
      import zipfile
      with zipfile.ZipFile("mini-1-py3-none-any.whl", "w") as wheel:
          info = "mini-1.dist-info/"
          wheel.writestr("mini.py", "def says(): print('mini says hello')")
          wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: mini\nVersion: 1\n")
          wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
          wheel.writestr(info + "entry_points.txt", "[console_scripts]\nmini-says = mini:says\n")
          wheel.writestr(info + "RECORD", "mini.py,,\n" + "".join(f"{info}{n},,\n" for n in ("METADATA", "WHEEL", "entry_points.txt", "RECORD")))
  - run: python -m pip --version || { echo "no pip"; exit 1; }
  - run: pip install --no-index mini-1-py3-none-any.whl
  - run: mini-says
"#,
    )
    .run()
    .await;
    if ran.log.contains("nor is any other version") || ran.log.contains("no pip") {
        windlass_testkit::skip(
            "a_distributions_python_installs_packages_and_their_programs_are_found",
            "there is no Python with pip on this machine",
        );
        return;
    }
    ran.succeeded().says("mini says hello");
    let of_machine = std::process::Command::new("python3").args(["-c", "import mini"]).output().unwrap();
    assert!(!of_machine.status.success(), "the job's package is on the machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_that_are_not_there_fail_the_set_up() {
    let ran = job("steps:\n  - uses: someone/else@v1\n").run().await;
    assert_eq!(ran.conclusion, Some(Failure));
    assert!(ran.log.contains("someone/else"), "{}", ran.log);
    assert_eq!(ran.steps()[0].1, Failure);
    assert_ne!(ran.conclusion, Some(Success));
    assert!(ran.control.artifacts().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_is_found_and_its_cache_kept() {
    let text = r#"
env: { CARGO_HOME: "${{ github.workspace }}/cargo" }
steps:
  - uses: dtolnay/rust-toolchain@stable
    id: rust
    with: { components: "rustfmt, clippy" }
  - run: |
      mkdir -p target/debug && echo built > target/debug/x
      printf '[package]\nname = "x"\nversion = "0.1.0"\n' > Cargo.toml
      rustc --version
  - uses: Swatinem/rust-cache@v2
    id: cache
  - run: echo "hit ${{ steps.cache.outputs.cache-hit }}"
"#;
    let first = job(text).run().await;
    if first.log.contains("there is no Rust at all") {
        windlass_testkit::skip("rust_is_found_and_its_cache_kept", "there is no Rust on this machine");
        return;
    }
    first.succeeded().says("hit false");
    assert!(first.log.contains("Cache saved with key: v0-rust-j-Linux-"), "{}", first.log);
    let mut second = job(text);
    second.control = first.control.clone();
    second.control.forget_updates();
    second.run().await.succeeded().says("hit true").says("Cache up-to-date.");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkout_over_http_shows_the_jobs_token_and_nobody_else_does() {
    let repositories = tempfile::tempdir().unwrap();
    let (_, sha) = repository(repositories.path());
    // x-access-token:job-token-0123456789
    let server =
        git_server::serve(repositories.path(), "basic eC1hY2Nlc3MtdG9rZW46am9iLXRva2VuLTAxMjM0NTY3ODk=");
    let mut fixture = job(r"
steps:
  - uses: actions/checkout@v4
  - run: cat file.txt; git rev-list --count HEAD; git fetch --quiet --unshallow && git rev-list --count HEAD
  - uses: actions/checkout@v4
    with: { path: other, persist-credentials: false, repository: team/shop }
  - run: cd other; GIT_TERMINAL_PROMPT=0 git fetch origin 2> /dev/null || echo refused without
");
    fixture.assignment.clone_url = format!("{server}/shop.git");
    fixture.assignment.github["sha"] = sha.into();
    let ran = fixture.run().await;
    ran.succeeded().says("second").says("1").says("2").says("refused without");
    assert!(!ran.log.contains("eC1hY2Nlc3M"), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_job_cannot_see_gets_into_no_archive() {
    let mut fixture = job(r#"
steps:
  - run: |
      ln -s "$OUTSIDE" link
      ln -s "$(dirname "$OUTSIDE")" folder
      if cat link 2> /dev/null; then echo leaked; else echo hidden; fi
    env: { OUTSIDE: "${{ vars.OUTSIDE }}" }
  - uses: actions/upload-artifact@v4
    continue-on-error: true
    with: { name: all, path: ".", if-no-files-found: ignore }
  - uses: actions/upload-artifact@v4
    continue-on-error: true
    with: { name: direct, path: "${{ vars.OUTSIDE }}", if-no-files-found: ignore }
  - uses: windlass/build@v1
    continue-on-error: true
    with: { files: "folder:/" }
  - run: echo "[${{ hashFiles('link', 'folder/**') }}]"
"#);
    fixture.level = None;
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let secret = data.path().join("secret");
    std::fs::write(&secret, "the data directory's own").unwrap();
    fixture.settings.hidden = vec![data.path().to_owned()];
    fixture.assignment.vars = serde_json::json!({"OUTSIDE": secret});
    let ran = fixture.run().await;
    if ran.log.contains("Sandbox: process") {
        windlass_testkit::skip(
            "what_the_job_cannot_see_gets_into_no_archive",
            "only plain processes are permitted",
        );
        return;
    }
    ran.says("hidden").says("[]");
    assert_eq!(ran.artifact_names().await, Vec::<String>::new(), "{}", ran.log);
    assert!(ran.control.images().is_empty());
}
