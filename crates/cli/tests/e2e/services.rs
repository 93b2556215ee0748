//! The services of GitHub's client libraries as a job meets them: which variables and tokens there are, and what a job
//! does with them through the ordinary `git` and `curl`.

use windlass_api::{Conclusion, RefView, RunSummary};

use crate::platform::{Options, Platform, Repository, program};

const PUSHING: &str = r#"
on: [push, workflow_dispatch]
permissions: { contents: write, id-token: write, actions: write }
jobs:
  work:
    if: github.event_name == 'push'
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - name: nothing of the actions' variables
        run: test -z "$ACTIONS_RUNTIME_TOKEN$ACTIONS_RESULTS_URL$GITHUB_TOKEN"
      - name: push
        run: |
          git config user.name ci && git config user.email ci@example.test
          echo made > made.txt && git add made.txt && git commit --quiet -m "Made by the job"
          git push --quiet origin HEAD:refs/heads/by-job
      - name: identity
        run: |
          token="$(curl -sSf -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=urn:x" | sed 's/.*"value":"\([^"]*\)".*/\1/')"
          part="$(echo "$token" | cut -d. -f2 | tr '_-' '/+')"
          while [ $(( ${#part} % 4 )) -ne 0 ]; do part="$part="; done
          echo "$part" | base64 -d | tr ',' '\n' | grep '"sub"'
      - name: start
        env: { TOKEN: "${{ github.token }}" }
        run: |
          curl -sSf -X POST -H "Authorization: Bearer $TOKEN" -H 'content-type: application/json' \
            -d '{"ref":"main"}' "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/actions/workflows/ci.yml/dispatches"
      - uses: ./action
"#;

const ACTION: &str = "name: look\ndescription: x\nruns: { using: node20, main: main.js }\n";

const LOOK: &str = r"
const claims = JSON.parse(Buffer.from(process.env.ACTIONS_RUNTIME_TOKEN.split('.')[1], 'base64url'))
const run = claims.scp.split(':')[1]
const host = new URL(process.env.GITHUB_SERVER_URL).hostname
console.log(`host ${host}, same run ${run === process.env.GITHUB_RUN_ID}, v2 ${process.env.ACTIONS_CACHE_SERVICE_V2}`)
const url = new URL('/twirp/github.actions.results.api.v1.ArtifactService/ListArtifacts', process.env.ACTIONS_RESULTS_URL)
const headers = { 'content-type': 'application/json', authorization: `Bearer ${process.env.ACTIONS_RUNTIME_TOKEN}` }
fetch(url, { method: 'POST', headers, body: JSON.stringify({ workflow_run_backend_id: run }) })
  .then(async answer => console.log(`listed ${answer.status} ${JSON.stringify(await answer.json())}`))
";

#[test]
fn a_job_pushes_starts_and_proves_itself_with_its_own_tokens() {
    let Some(platform) = Platform::start_with("services: tokens", Options::default()) else { return };
    let missing = ["node", "curl"].into_iter().find(|name| program(name).is_none());
    if let Some(missing) = missing {
        windlass_testkit::skip("services: tokens", &format!("there is no {missing} on this machine"));
        return;
    }
    let repository = Repository::new(&platform, "pushing");
    repository.write(".github/workflows/ci.yml", PUSHING);
    repository.write("action/action.yml", ACTION).write("action/main.js", LOOK);
    let sha = repository.ship(&platform, "Pushing");
    let run = platform.ended(&platform.run_of("pushing", &sha).summary.id, 120);
    let log = platform.log(&run, "work");
    assert_eq!(run.summary.conclusion, Some(Conclusion::Success), "{log}");
    for line in [
        "repo:windlass/pushing:ref:refs/heads/main",
        "host windlass.localhost, same run true, v2 True",
        "listed 200 {\"artifacts\":[]}",
    ] {
        assert!(log.contains(line), "`{line}` is not in {log}");
    }
    let refs: Vec<RefView> = platform.get("/api/v1/projects/pushing/refs");
    assert!(refs.iter().any(|r| r.name == "by-job"), "{refs:?}");
    let runs: Vec<RunSummary> = platform.get("/api/v1/projects/pushing/runs");
    let mut events: Vec<(&str, &str)> = runs.iter().map(|r| (r.event.as_str(), r.git_ref.as_str())).collect();
    events.sort_unstable();
    assert_eq!(
        events,
        [("push", "refs/heads/main"), ("workflow_dispatch", "refs/heads/main")],
        "a job's push starts nothing, what it starts by hand runs"
    );
}

const READING: &str = r#"
on: push
jobs:
  work:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          test -z "$ACTIONS_ID_TOKEN_REQUEST_URL$ACTIONS_ID_TOKEN_REQUEST_TOKEN" && echo "no identity"
          git push origin HEAD:refs/heads/by-job 2>&1 && exit 1
          echo "not pushed"
      - env: { TOKEN: "${{ secrets.GITHUB_TOKEN }}" }
        run: |
          header="Authorization: Basic $(printf 'x-access-token:%s' "$TOKEN" | base64 -w0)"
          git -c http.extraheader="$header" clone --quiet "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" again
          test "$(git -C again rev-parse HEAD)" = "$GITHUB_SHA" && echo "cloned by its full name"
"#;

#[test]
fn without_a_word_about_permissions_a_job_only_reads() {
    let Some(platform) = Platform::start("services: restricted") else { return };
    let repository = Repository::new(&platform, "reading");
    repository.write(".github/workflows/ci.yml", READING);
    let sha = repository.ship(&platform, "Reading");
    let run = platform.concludes("reading", &sha, Conclusion::Success);
    let log = platform.log(&run, "work");
    for line in ["no identity", "not pushed", "cloned by its full name"] {
        assert!(log.contains(line), "`{line}` is not in {log}");
    }
    let refs: Vec<RefView> = platform.get("/api/v1/projects/reading/refs");
    assert!(!refs.iter().any(|r| r.name == "by-job"), "{refs:?}");
}
