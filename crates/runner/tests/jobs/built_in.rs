//! Built-in actions beside those that move files.

use std::path::Path;

use windlass_api::Conclusion::Failure;

use crate::fixture::job;

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_the_workflow_run_on_node() {
    let ran = job(r#"
steps:
  - uses: actions/github-script@v7
    id: s
    env: { WHO: world }
    with:
      script: |
        core.setOutput('greeting', `hello ${process.env.WHO}`);
        core.exportVariable('FROM_SCRIPT', { a: 1 });
        core.setSecret('not-for-the-log');
        core.warning('careful', { file: 'a.js', startLine: 3 });
        await core.summary.addHeading('Title').addList(['x', 'y']).write();
        const { stdout } = await exec.getExecOutput('echo', ['one two'], { silent: true });
        require('fs').writeFileSync('note.txt', stdout);
        require('fs').writeFileSync('mod.js', 'module.exports = 42');
        const files = await (await glob.create('*.txt\n!mod*')).glob();
        console.log('not-for-the-log', require('./mod.js'), files.length);
        return { sha: context.sha.length, repo: context.repo, event: context.payload.after, which: !!(await io.which('sh')) };
  - uses: actions/github-script@v7
    id: plain
    with: { script: return 'text', result-encoding: string }
  - run: |
      echo '${{ steps.s.outputs.greeting }} ${{ steps.s.outputs.result }}' "$FROM_SCRIPT" '${{ steps.plain.outputs.result }}'
  - uses: actions/github-script@v7
    id: bad
    continue-on-error: true
    with: { script: "throw new Error('out of luck')" }
  - uses: actions/github-script@v7
    with: { script: "await github.rest.apps.getNothing({})" }
"#)
    .run()
    .await;
    if ran.log.contains("JavaScript actions need Node.js") {
        windlass_testkit::skip("scripts_of_the_workflow_run_on_node", "there is no Node.js on this machine");
        return;
    }
    let result = r#"{"sha":40,"repo":{"owner":"team","repo":"shop"},"event":"x","which":true}"#;
    ran.says(&format!("hello world {result} {{\"a\":1}} text")).says("*** 42 1");
    assert_eq!(ran.conclusion, Some(Failure));
    assert_eq!(ran.summary(), "<h1>Title</h1>\n<ul><li>x</li><li>y</li></ul>\n");
    let found: Vec<_> = ran.annotations().into_iter().map(|a| (a.message, a.path)).collect();
    assert_eq!(found[0], ("careful".to_owned(), Some("a.js".to_owned())));
    assert_eq!(found[1].0, "Unhandled error: Error: out of luck");
    assert!(
        ran.reason.clone().unwrap().contains("github.rest.apps.getNothing is not part of what is built in"),
        "{:?}",
        ran.reason
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_has_the_last_word_about_what_is_built_in() {
    let mut fixture = job("steps:\n  - uses: actions/setup-go@v5\n");
    let mirror = fixture.dir.path().join("mirror");
    let folder = mirror.join("actions/setup-go@v5");
    std::fs::create_dir_all(&folder).unwrap();
    let text = "runs: { using: composite, steps: [{ run: 'echo the genuine $((40 + 2))', shell: sh }] }";
    std::fs::write(Path::new(&folder).join("action.yml"), text).unwrap();
    fixture.settings.actions.mirrors = vec![mirror];
    fixture.run().await.succeeded().says("the genuine 42");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_get_their_names_and_labels() {
    let mut fixture = job(r#"
steps:
  - uses: docker/metadata-action@v5
    id: meta
    with:
      images: |
        ghcr.io/Team/Shop
        name=other,enable=false
      tags: |
        type=ref,event=branch
        type=sha
      labels: |
        maintainer=ann
        org.opencontainers.image.title=My Shop
  - run: |
      echo "${{ steps.meta.outputs.tags }}" | tr '\n' ' '; echo
      echo "${{ steps.meta.outputs.version }} ${{ fromJSON(steps.meta.outputs.json).labels['org.opencontainers.image.title'] }}"
      echo "${{ steps.meta.outputs.labels }}" | grep -c revision=0123456789012345678901234567890123456789
"#);
    fixture.assignment.github["event"] = serde_json::json!({"repository": {"default_branch": "main"}});
    let ran = fixture.run().await;
    ran.succeeded()
        .says("ghcr.io/team/shop:main ghcr.io/team/shop:sha-0123456 ")
        .says("main My Shop")
        .says("1");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_is_closed_unless_the_operator_opens_it() {
    for uses in [
        "docker/setup-buildx-action@v3\n    with: { driver: docker }",
        "docker/build-push-action@v6\n    with: { builder: default }",
        "docker/build-push-action@v6\n    env: { WINDLASS_BUILDER: docker }",
    ] {
        let ran = job(&format!("steps:\n  - uses: {uses}\n")).run().await;
        assert_eq!(ran.conclusion, Some(Failure));
        assert!(ran.reason.clone().unwrap().contains("WINDLASS_DOCKER=allowed"), "{:?}", ran.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_and_coverage_are_kept_with_the_run() {
    let ran = job(r#"
steps:
  - run: mkdir -p out/sub && echo '{}' > out/a.sarif && echo '<x/>' > out/sub/coverage.xml
  - uses: github/codeql-action/upload-sarif@v3
    with: { sarif_file: out/a.sarif, category: lint }
  - uses: codecov/codecov-action@v5
    with: { flags: unit }
  - uses: codecov/codecov-action@v5
    with: { files: none.xml }
  - uses: codecov/codecov-action@v5
    with: { files: none.xml, fail_ci_if_error: true }
    continue-on-error: true
    id: strict
  - run: echo "strict ${{ steps.strict.outcome }}"
  - uses: github/codeql-action/upload-sarif@v3
    with: { sarif_file: missing.sarif }
"#)
    .run()
    .await;
    ran.says("strict failure");
    assert_eq!(ran.artifact_names().await, ["coverage-unit", "sarif-lint"]);
    assert!(ran.reason.clone().unwrap().contains("Path does not exist: missing.sarif"), "{:?}", ran.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_kept_under_names_that_say_what_they_hold() {
    let ran = job(r#"
name: Tests (linux, 3)
steps:
  - run: mkdir -p out && echo '<testsuite/>' > out/junit.xml && echo 'TN:' > lcov.info
  - uses: windlass/report@v1
    with: { junit: "out/*.xml", coverage: lcov.info, sarif: none.sarif }
  - uses: windlass/report@v1
    with: { sarif: none.sarif, name: x, if-no-files-found: error }
"#)
    .run()
    .await;
    assert_eq!(ran.artifact_names().await.len(), 2, "{:?}", ran.artifact_names().await);
    for (name, kind) in ran.artifact_names().await.iter().zip(["coverage-", "junit-"]) {
        assert!(name.starts_with(kind), "{name}");
    }
    ran.says("##[error]`sarif`: no file was found with none.sarif");
    assert_eq!(ran.conclusion, Some(Failure));
}
