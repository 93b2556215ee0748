//! Somebody who may only propose sends a change whose workflow tries whatever a workflow can try. It waits for a word of
//! somebody who may write; and then each attempt fails by itself.

use serde_json::{Value, json};
use windlass_api::{ApprovalView, ArtifactView, ChangeView, Conclusion, RunDetail, RunSummary, State};

use crate::platform::{Platform, Repository, job, program, told, wait_for};

const SECRET: &str = "the-key-that-nobody-proposes-for";

/// What the project has on `main`: a test of changes, a look into the cache, and one that runs for changes with trust.
const CI: &str = "on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: 'true'
";
const PROBE: &str = "on: workflow_dispatch
jobs:
  look:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/cache/restore@v4
        with: { path: deps, key: deps-1, restore-keys: deps- }
      - run: echo \"found [$(cat deps/lib 2>/dev/null)]\"
";
const TARGET: &str = "on: pull_request_target
jobs:
  label:
    runs-on: ubuntu-latest
    steps:
      - env: { KEY: '${{ secrets.DEPLOY_KEY }}' }
        run: echo \"trusted with ${#KEY} characters, protected ${{ github.ref_protected }}, $GITHUB_REF\"
";
const MANIFEST: &str = "services: { app: { port: 8080 } }\nenvironments:\n  production: {}\n";

/// What is proposed.
const HOSTILE: &str = r#"
on: pull_request
permissions: write-all
concurrency: { group: deploys, cancel-in-progress: true }
env: { URL: "PLATFORM", VICTIM: "RUN" }
jobs:
  steal:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - name: what it is
        run: |
          echo "ref $GITHUB_REF head $GITHUB_HEAD_REF base $GITHUB_BASE_REF protected $GITHUB_REF_PROTECTED"
          git log -1 --format='commit %s'
      - name: secrets
        env: { KEY: "${{ secrets.DEPLOY_KEY }}", ALL: "${{ toJSON(secrets) }}" }
        run: echo "key [$KEY] all [$(echo "$ALL" | grep -c DEPLOY_KEY)]"
      - name: identity
        env: { TOKEN: "${{ github.token }}" }
        run: |
          echo "asked at [$ACTIONS_ID_TOKEN_REQUEST_URL]"
          curl -s -H "Authorization: Bearer $TOKEN" "$URL/_services/token/request?api-version=2.0"
          echo " identity $(curl -s -o answer -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$URL/_services/token/request?api-version=2.0")"
      - name: calls
        env: { TOKEN: "${{ github.token }}" }
        run: |
          call() { echo "$1 $(curl -s -o answer -w '%{http_code}' -X "$2" -H "Authorization: Bearer $TOKEN" -H 'content-type: application/json' -d "$4" "$URL$3")"; }
          call read GET /api/v1/projects/shop ''
          call cancel POST /api/v1/runs/$VICTIM/cancel ''
          call rerun POST /api/v1/runs/$VICTIM/rerun '{}'
          call approve POST /api/v1/approvals/$GITHUB_RUN_ID '{"approve":true}'
          call dispatch POST /api/v1/projects/shop/dispatches '{"event_type":"x"}'
          call start POST '/api/v1/projects/shop/workflows/dispatch?file=probe.yml' '{"git_ref":"main"}'
          call secret PUT /api/v1/projects/shop/secrets/DEPLOY_KEY '{"value":"mine"}'
          call variable PUT /api/v1/projects/shop/variables/MODE '{"value":"mine"}'
          call deploy POST /api/v1/projects/shop/deployments '{"environment":"production","release":"1"}'
          call rollback POST /api/v1/projects/shop/environments/production/rollback '{}'
          call close POST /api/v1/projects/shop/changes/1/close ''
          call token POST /api/v1/tokens '{"label":"mine"}'
      - name: code
        env: { TOKEN: "${{ github.token }}" }
        run: |
          git config user.name x && git config user.email x@example.test
          git commit --quiet --allow-empty -m mine
          for to in refs/heads/main refs/heads/mine refs/tags/v1 refs/for/main refs/pull/1/merge; do
            git push --quiet "http://x:$TOKEN@${URL#http://}/shop.git" HEAD:$to 2>/dev/null && echo "pushed $to" || echo "refused $to"
          done
      - name: registry
        env: { TOKEN: "${{ github.token }}" }
        run: |
          echo "blob $(curl -s -o answer -w '%{http_code}' -u "x:$TOKEN" -X POST "$URL/v2/shop/blobs/uploads/")"
          echo "manifest $(curl -s -o answer -w '%{http_code}' -u "x:$TOKEN" -X PUT -H 'content-type: application/vnd.oci.image.manifest.v1+json' -d '{}' "$URL/v2/shop/manifests/latest")"
      - run: mkdir deps && echo poison > deps/lib
      - uses: actions/cache/save@v4
        with: { path: deps, key: deps-1 }
      - uses: actions/upload-artifact@v4
        with: { name: left, path: deps }
  own:
    needs: steal
    runs-on: ubuntu-latest
    steps:
      - uses: actions/cache/restore@v4
        with: { path: deps, key: deps-1 }
      - run: echo "of its own [$(cat deps/lib)]"
  image:
    runs-on: ubuntu-latest
    steps:
      - run: echo hello > hello.txt
      - uses: windlass/build@v1
        with: { base: scratch, files: "hello.txt:/hello.txt", entrypoint: /hello, tags: latest }
  ship:
    runs-on: ubuntu-latest
    environment: production
    steps:
      - run: echo "in production [${{ secrets.DEPLOY_KEY }}]"
"#;

/// A project with a secret and an environment, and somebody who may only propose.
struct Scene {
    platform: Platform,
    repository: Repository,
    eve: String,
    /// A run of `main` that somebody might want to end.
    victim: String,
}

fn scene(name: &str) -> Option<Scene> {
    let platform = Platform::start(name)?;
    if program("curl").is_none() {
        windlass_testkit::skip(name, "there is no curl on this machine");
        return None;
    }
    let repository = Repository::new(&platform, "shop");
    repository.write(".github/workflows/ci.yml", CI).write(".github/workflows/probe.yml", PROBE);
    repository.write(".github/workflows/target.yml", TARGET).write("windlass.yml", MANIFEST);
    let sha = repository.ship(&platform, "Begin");
    for more in [&[][..], &["--environment", "production"]] {
        let arguments = [&["secret", "set", "DEPLOY_KEY", "--project", "shop"], more].concat();
        let output = platform.run_with_input(&arguments, &format!("{SECRET}\n"));
        assert!(output.status.success(), "{}", told(&output));
    }
    let victim = platform.concludes("shop", &sha, Conclusion::Success).summary.id;
    let eve = platform.account("eve", "contributor");
    Some(Scene { platform, repository, eve, victim })
}

impl Scene {
    /// Pushes what is there to `to`, as eve.
    fn propose(&self, message: &str, to: &str) -> (String, bool, String) {
        let sha = self.repository.commit(message);
        let output = self.repository.try_push(&self.platform, "eve", &self.eve, &format!("HEAD:{to}"));
        (sha, output.status.success(), told(&output))
    }

    /// The run of a commit that was proposed: its newest of `pull_request`.
    fn run_of(&self, head: &str) -> RunDetail {
        wait_for("the run of a change", 30, || {
            let runs: Vec<RunSummary> = self.platform.runs("shop");
            let mut details = runs
                .iter()
                .filter(|run| run.event == "pull_request")
                .filter_map(|run| self.platform.run_now(&run.id));
            details
                .find(|run| run.approvals.iter().any(|a| a.change.as_ref().is_some_and(|c| c.head == head)))
        })
    }
}

#[test]
fn a_hostile_change_waits_for_an_approval_and_gets_nothing_with_it() {
    let Some(scene) = scene("trust: a hostile change") else { return };
    let Scene { platform, repository, eve, victim } = &scene;
    repository.git(&["checkout", "--quiet", "-b", "evil"]);
    let hostile = HOSTILE.replace("PLATFORM", &platform.url).replace("RUN\"", &format!("{victim}\""));
    repository.write(".github/workflows/ci.yml", hostile);
    repository.write(".github/workflows/target.yml", TARGET.replace("trusted", "stolen"));

    // Where else it might be pushed to.
    for to in
        ["refs/heads/main", "refs/heads/eve", "refs/tags/v1", "refs/pull/1/merge", "refs/changes/1/head"]
    {
        let (_, pushed, said) = scene.propose("Mine", to);
        assert!(!pushed, "eve pushed to {to}: {said}");
    }
    let (head, pushed, said) = scene.propose("Mine", "refs/for/main");
    assert!(pushed && said.contains("It is the change 1 for main"), "{said}");
    assert!(said.contains("once somebody who may write has approved them"), "{said}");

    let run = scene.run_of(&head);
    let id = run.summary.id.clone();
    assert_eq!(run.summary.waits_for.as_deref(), Some("waiting for approval: first change of eve"));
    assert!(run.summary.untrusted && run.summary.git_ref == "refs/pull/1/merge", "{:?}", run.summary);

    // What runs for it at once is the project's own.
    let target = wait_for("the trusted run", 60, || {
        platform.runs("shop").into_iter().find(|run| run.event == "pull_request_target")
    });
    let target = platform.ended(&target.id, 60);
    let log = platform.log(&target, "label");
    let wanted = format!("trusted with {} characters, protected true, refs/heads/main", SECRET.len());
    assert!(log.contains(&wanted) && !log.contains("stolen with"), "{log}");
    // The runner was free all the while: it was not given the other one's jobs.
    let waiting = platform.run_now(&id).unwrap();
    assert_eq!(waiting.summary.state, State::Waiting);
    assert!(waiting.jobs.iter().all(|job| job.tries == 0 && job.started_at.is_none()), "{:?}", waiting.jobs);

    // Who cannot say so: eve, and a viewer.
    let path = format!("/api/v1/approvals/{id}");
    let viewer = platform.account("vera", "viewer");
    for token in [eve, &viewer] {
        let answer = platform.post_as::<ApprovalView>(token, &path, &json!({"approve": true}));
        assert!(answer.is_err(), "somebody who may not write approved");
    }
    let listed = platform.ok(&["run", "list", "--project", "shop"]);
    assert!(listed.contains("waits for approval"), "{listed}");
    let said = platform.ok(&["run", "approve", &id, "--comment", "let it try"]);
    assert!(said.contains("approved: the runs of change 1 of shop by eve"), "{said}");

    let run = platform.ended(&id, 180);
    let log = platform.log(&run, "steal");
    assert_eq!(job(&run, "steal").conclusion, Some(Conclusion::Success), "{log}");
    attempts_failed(platform, &run, &log, &head);
    assert_left_alone(platform, victim);
}

/// Each attempt, by what the job saw of it.
fn attempts_failed(platform: &Platform, run: &RunDetail, log: &str, head: &str) {
    let says = |what: &str, why: &str| assert!(log.contains(what), "{why}: no `{what}` in\n{log}");
    let refs = "ref refs/pull/1/merge head eve/main base main protected false";
    says(refs, "a change is what it is on GitHub");
    says(&format!("commit Merge {head} into "), "what is checked out is the merge");
    says("key [] all [0]", "a secret was to be read");
    assert!(!log.contains(SECRET) && !log.contains("key [***]"), "{log}");
    says("asked at []", "an identity token could be asked for");
    says("proposed from outside gets no identity tokens", "the refusal must say why");
    says("identity 403", "an identity token was given");
    says("read 200", "the token reads, so the others are refused for what they do");
    for call in [
        "cancel", "rerun", "approve", "dispatch", "start", "secret", "variable", "deploy", "rollback",
        "close", "token",
    ] {
        let line = log.lines().find(|line| line.contains(&format!("{call} 4")));
        assert!(line.is_some_and(|line| line.ends_with("403")), "`{call}` was not refused: {line:?}\n{log}");
    }
    for to in ["refs/heads/main", "refs/heads/mine", "refs/tags/v1", "refs/for/main", "refs/pull/1/merge"] {
        says(&format!("refused {to}"), "a job of an untrusted change pushed");
    }
    for what in ["blob", "manifest"] {
        let refused = ["401", "403"].iter().any(|code| log.contains(&format!("{what} {code}")));
        assert!(refused, "the registry took a {what}:\n{log}");
    }
    assert!(platform.log(run, "own").contains("of its own [poison]"), "it has a cache of its own");

    let image = job(run, "image");
    assert_eq!(image.conclusion, Some(Conclusion::Failure), "an image was pushed");
    let log = platform.log(run, "image");
    assert!(log.contains("it runs a change that was proposed from outside"), "{log}");
    let ship = job(run, "ship");
    assert_eq!((ship.conclusion, ship.tries), (Some(Conclusion::Failure), 0), "it was in production");
    assert!(ship.reason.as_deref().unwrap_or_default().contains("gets no environment"), "{:?}", ship.reason);
    let left: Vec<&ArtifactView> = run.artifacts.iter().collect();
    assert!(left.len() == 1 && left[0].untrusted, "{left:?}");
}

/// What the project has is as it was.
fn assert_left_alone(platform: &Platform, victim: &str) {
    let victim = platform.run_now(victim).unwrap().summary;
    assert_eq!((victim.conclusion, victim.attempt), (Some(Conclusion::Success), 1));
    // Main looks for the cache that was left for it.
    platform.ok(&["workflow", "run", "shop", "probe.yml"]);
    let probe = wait_for("the look into the cache", 30, || {
        platform.runs("shop").into_iter().find(|run| run.event == "workflow_dispatch")
    });
    let probe = platform.ended(&probe.id, 60);
    let log = platform.log(&probe, "look");
    assert!(
        log.contains("found []") && !log.contains("found [poison]"),
        "main read the cache of a change:\n{log}"
    );
    assert_eq!(platform.runs("shop").iter().filter(|run| run.event == "repository_dispatch").count(), 0);
    let tags: Result<Value, _> = platform.try_get("/v2/shop/tags/list");
    assert!(
        tags.is_err() || tags.is_ok_and(|tags| tags["tags"].as_array().is_none_or(Vec::is_empty)),
        "an image was pushed"
    );
    let ledger = platform.assert_ledger_whole();
    let kinds = |kind: &str| ledger.iter().filter(|event| event.kind == kind).count();
    assert_eq!((kinds("change.approved"), kinds("run.approved"), kinds("run.restricted")), (1, 1, 1));
    assert_eq!((kinds("identity_token.issued"), kinds("deployment.queued"), kinds("secret.set")), (0, 0, 2));
    let approved = ledger.iter().find(|event| event.kind == "change.approved").unwrap();
    assert_eq!(approved.data["comment"], "let it try");
}

#[test]
fn each_push_to_a_change_is_asked_about_anew() {
    let Some(scene) = scene("trust: asked again") else { return };
    let Scene { platform, repository, .. } = &scene;
    repository.git(&["checkout", "--quiet", "-b", "fix"]);
    repository.write("a.txt", "a\n");
    let (first, pushed, said) = scene.propose("Add a", "refs/for/main/fix-a");
    assert!(pushed, "{said}");
    let run = scene.run_of(&first);
    platform.ok(&["run", "approve", &run.summary.id]);
    assert_eq!(platform.ended(&run.summary.id, 60).summary.conclusion, Some(Conclusion::Success));

    repository.write("a.txt", "worse\n");
    let (second, pushed, said) = scene.propose("Change a", "refs/for/main/fix-a");
    assert!(pushed && said.contains("the change 1"), "{said}");
    let run = scene.run_of(&second);
    assert_eq!(run.summary.waits_for.as_deref(), Some("waiting for approval: a change of eve"));
    let said = platform.ok(&["run", "approve", &run.summary.id, "--reject", "--comment", "no"]);
    assert!(said.contains("rejected"), "{said}");
    let run = platform.ended(&run.summary.id, 30);
    assert_eq!(run.summary.conclusion, Some(Conclusion::Cancelled));
    assert!(run.jobs.iter().all(|job| job.tries == 0), "{:?}", run.jobs);

    // A member's own branch is a change that waits for nobody, numbered behind it; and merged changes are over.
    repository.git(&["checkout", "--quiet", "-b", "feature", "main"]);
    repository.write("b.txt", "b\n");
    let sha = repository.commit("Add b");
    repository.push_ref(platform, "feature");
    let own = wait_for("the run of a member's change", 30, || {
        platform
            .runs("shop")
            .into_iter()
            .find(|run| run.event == "pull_request" && run.git_ref == "refs/pull/2/merge")
    });
    assert!(!own.untrusted && own.waits_for.is_none() && own.sha != sha, "{own:?}");
    assert_eq!(platform.ended(&own.id, 60).summary.conclusion, Some(Conclusion::Success));
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["merge", "--quiet", "--no-edit", "feature"]);
    repository.push(platform);
    let merged = wait_for("the merged change", 30, || {
        let all: Vec<ChangeView> = platform.get("/api/v1/projects/shop/changes");
        all.into_iter().find(|change| change.number == 2 && change.state == "merged")
    });
    assert_eq!(merged.head, sha);
    let listed = platform.ok(&["change", "list", "shop", "--all"]);
    assert!(listed.contains("merged") && listed.contains("waits for approval"), "{listed}");
    platform.ok(&["change", "close", "shop", "1"]);
}
