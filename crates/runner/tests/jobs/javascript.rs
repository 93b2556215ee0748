//! JavaScript and composite actions: of the workspace, of a mirror, by Git.

use std::path::Path;
use std::process::Command;

use windlass_api::Conclusion::{Failure, Skipped, Success};

use crate::fixture::{Fixture, Ran, job};

/// An action that tells what it is given, at each of its stages.
const TELLS: &str = r"
const fs = require('fs');
const stage = __filename.replace(/.*\/|\.js$/g, '');
console.log(`${stage} who=[${process.env.INPUT_WHO}] loud=[${process.env['INPUT_LOUD-VOICE']}] state=[${process.env.STATE_seen || ''}]`);
console.log(`${stage} action=${process.env.GITHUB_ACTION} of=${process.env.GITHUB_ACTION_REPOSITORY}@${process.env.GITHUB_ACTION_REF} step=${process.env.STEP || ''}`);
fs.appendFileSync(process.env.GITHUB_STATE, `seen=${process.env.STATE_seen || ''}${stage};\n`);
if (stage == 'main') {
  fs.appendFileSync(process.env.GITHUB_OUTPUT, 'greeting=hello ' + process.env.INPUT_WHO + '\n');
  fs.appendFileSync(process.env.GITHUB_ENV, 'FROM_JS=1\n');
}
if (process.env.INPUT_WHO == 'nobody') { console.log('::error::nobody to greet'); process.exit(1); }
";

const METADATA: &str = "
name: tells
inputs:
  who: { default: '${{ github.actor }}' }
  loud-voice: { default: no }
outputs:
  greeting: { description: x }
runs: { using: node20, pre: pre.js, main: main.js, post: post.js, post-if: env.NO_POST != '1' }
";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn tells(folder: &Path) {
    write(folder, &[("action.yml", METADATA), ("pre.js", TELLS), ("main.js", TELLS), ("post.js", TELLS)]);
}

/// A job with a mirror of these actions.
fn mirrored(body: &str, fill: impl Fn(&Path)) -> Fixture {
    let mut fixture = job(body);
    let mirror = fixture.dir.path().join("mirror");
    fill(&mirror);
    fixture.settings.actions.mirrors = vec![mirror];
    fixture
}

fn has_node(test: &str) -> bool {
    let there = Command::new("node").arg("--version").output().is_ok_and(|out| out.status.success());
    if !there {
        windlass_testkit::skip(test, "there is no Node.js on this machine");
    }
    there
}

fn lines<'a>(ran: &'a Ran, stages: &[&str]) -> Vec<&'a str> {
    ran.log.lines().filter(|line| stages.iter().any(|stage| line.starts_with(stage))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_run_in_their_order_with_inputs_and_state() {
    if !has_node("stages_run_in_their_order_with_inputs_and_state") {
        return;
    }
    let ran = mirrored(
        r#"
env: { STEP: job }
steps:
  - uses: Team/tells@v1
    id: first
    env: { STEP: step }
  - uses: team/tells/deep@v1
    with: { WHO: bob, loud-voice: yes, unknown: x }
  - run: echo "[${{ steps.first.outputs.greeting }}] [$FROM_JS]"
"#,
        |mirror| {
            tells(&mirror.join("TEAM/tells@v1"));
            tells(&mirror.join("TEAM/tells@v1/deep"));
        },
    )
    .run()
    .await;
    ran.succeeded().says("[hello ann] [1]");
    assert_eq!(
        lines(&ran, &["pre ", "main ", "post "]),
        [
            "pre who=[ann] loud=[no] state=[]",
            "pre action=first of=Team/tells@v1 step=step",
            "pre who=[bob] loud=[yes] state=[]",
            "pre action=__team_tells of=team/tells@v1 step=job",
            "main who=[ann] loud=[no] state=[pre;]",
            "main action=first of=Team/tells@v1 step=step",
            "main who=[bob] loud=[yes] state=[pre;]",
            "main action=__team_tells of=team/tells@v1 step=job",
            "post who=[bob] loud=[yes] state=[pre;main;]",
            "post action=__team_tells of=team/tells@v1 step=job",
            "post who=[ann] loud=[no] state=[pre;main;]",
            "post action=first of=Team/tells@v1 step=step",
        ],
        "{}",
        ran.log
    );
    assert!(ran.log.contains("Unexpected input(s) 'unknown', valid inputs are ['who', 'loud-voice']"));
    let names: Vec<_> = ran.steps().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[1..3], ["Pre Run Team/tells@v1", "Pre Run team/tells/deep@v1"]);
    assert_eq!(names[6..8], ["Post Run team/tells/deep@v1", "Post Run Team/tells@v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn post_runs_after_failure_not_after_skip_and_only_if_its_condition_holds() {
    if !has_node("post_runs_after_failure_not_after_skip_and_only_if_its_condition_holds") {
        return;
    }
    let ran = mirrored(
        r#"
steps:
  - uses: team/plain@v1
    with: { who: nobody }
  - uses: team/plain@v1
    if: always()
    with: { who: "" }
  - uses: team/plain@v1
  - run: echo NO_POST=$((0 + 1)) >> "$GITHUB_ENV"
    if: always() && matrix.os == 'windows'
"#,
        |mirror| {
            let plain = METADATA.replace("pre: pre.js, ", "");
            write(
                &mirror.join("team/plain@v1"),
                &[("action.yml", &plain), ("main.js", TELLS), ("post.js", TELLS)],
            );
        },
    )
    .run()
    .await;
    assert_eq!(ran.conclusion, Some(Failure));
    assert!(ran.reason.clone().unwrap().contains("failed: nobody to greet"), "{:?}", ran.reason);
    let errors =
        ran.annotations().into_iter().filter(|a| a.level == "error" && a.message == "nobody to greet");
    assert_eq!(
        errors.count(),
        2,
        "once from the action, once from its post; nothing beside them: {}",
        ran.log
    );
    assert_eq!(
        lines(&ran, &["main who", "post who"]),
        [
            "main who=[nobody] loud=[no] state=[]",
            "main who=[] loud=[no] state=[]",
            "post who=[] loud=[no] state=[main;]",
            "post who=[nobody] loud=[no] state=[main;]",
        ]
    );
    let found: Vec<_> = ran.steps().into_iter().skip(1).map(|(_, conclusion)| conclusion).collect();
    assert_eq!(found, [Failure, Success, Skipped, Skipped, Success, Failure, Success], "{}", ran.log);

    let ran =
        mirrored("steps:\n  - uses: team/tells@v1\n  - run: echo NO_POST=1 >> \"$GITHUB_ENV\"\n", |mirror| {
            tells(&mirror.join("team/tells"));
        })
        .run()
        .await;
    ran.succeeded();
    assert!(lines(&ran, &["post "]).is_empty(), "{}", ran.log);
    assert_eq!(ran.steps()[4], ("Post Run team/tells@v1".to_owned(), Skipped));
}

#[tokio::test(flavor = "multi_thread")]
async fn composites_of_repositories_use_others_and_their_stages_count() {
    if !has_node("composites_of_repositories_use_others_and_their_stages_count") {
        return;
    }
    let outer = r#"
inputs: { name: { default: composite } }
outputs: { said: { value: "${{ steps.inner.outputs.greeting }}" } }
runs:
  using: composite
  steps:
    - uses: team/tells@v2
      id: inner
      with: { who: "${{ inputs.name }}" }
    - run: echo "$GITHUB_ACTION_REPOSITORY@$GITHUB_ACTION_REF ${{ github.action_ref }} $(cat "$GITHUB_ACTION_PATH/note")"
      shell: bash
"#;
    let ran = mirrored(
        r#"
steps:
  - uses: team/outer/sub@main
    id: o
  - run: echo "said ${{ steps.o.outputs.said }}"
"#,
        |mirror| {
            tells(&mirror.join("team/tells@v2"));
            write(&mirror.join("team/outer"), &[("sub/action.yaml", outer), ("sub/note", "noted")]);
        },
    )
    .run()
    .await;
    ran.succeeded().says("said hello composite").says("team/outer@main main noted");
    assert_eq!(
        lines(&ran, &["pre who", "main who", "post who"]),
        [
            "pre who=[composite] loud=[no] state=[]",
            "main who=[composite] loud=[no] state=[pre;]",
            "post who=[composite] loud=[no] state=[pre;main;]"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_may_be_nested_ten_deep() {
    let nest = |deep: usize| {
        mirrored("steps:\n  - uses: team/n1@v1\n", move |mirror| {
            for n in 1..=deep {
                let next = if n == deep {
                    "{ run: echo bottom $((40 + 2)), shell: bash }".to_owned()
                } else {
                    format!("{{ uses: team/n{}@v1 }}", n + 1)
                };
                let text = format!("runs: {{ using: composite, steps: [{next}] }}\n");
                write(&mirror.join(format!("team/n{n}")), &[("action.yml", &text)]);
            }
        })
    };
    nest(10).run().await.succeeded().says("bottom 42");
    let ran = nest(11).run().await;
    assert_eq!(ran.conclusion, Some(Failure));
    assert!(ran.log.contains("nested more than 10 deep"), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_actions_in_javascript_run_without_pre() {
    if !has_node("local_actions_in_javascript_run_without_pre") {
        return;
    }
    let mut fixture = job("steps:\n  - uses: ./act\n    with: { who: me }\n");
    tells(&fixture.dir.path().join("job/work/shop/shop/act"));
    fixture.assignment.debug = true;
    let ran = fixture.run().await;
    ran.succeeded();
    assert_eq!(
        lines(&ran, &["pre who", "main who", "post who"]),
        ["main who=[me] loud=[no] state=[]", "post who=[me] loud=[no] state=[main;]"]
    );
}

fn git(folder: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn say(word: &str) -> String {
    format!("runs: {{ using: composite, steps: [{{ run: 'echo says {word}', shell: sh }}] }}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_server_gave_one_project_is_not_kept_for_others() {
    let served = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let repository = served.path().join("act.git");
    std::fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    write(&repository, &[("action.yml", &say("one"))]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "one"]);
    let commit = git(&repository, &["rev-parse", "HEAD"]);
    let fixture = |uses: &str| {
        let mut fixture = job(&format!("steps:\n  - uses: {uses}\n"));
        fixture.assignment.clone_url = format!("file://{}/shop.git", served.path().display());
        fixture.settings.actions.url = None;
        fixture.settings.actions.kept = Some(kept.path().to_owned());
        fixture
    };
    fixture("team/act@main").run().await.succeeded().says("says one");
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
    // As when the server refuses this job's token.
    std::fs::remove_dir_all(&repository).unwrap();
    for uses in ["team/act@main".to_owned(), format!("team/act@{commit}")] {
        let ran = fixture(&uses).run().await;
        assert_eq!(ran.conclusion, Some(Failure), "{}", ran.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_fetched_by_git_kept_by_commit_and_a_moved_tag_is_told() {
    // Jobs have a /tmp of their own: what they fetch lies elsewhere.
    let served = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let repository = served.path().join("team/act");
    std::fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    write(&repository, &[("action.yml", &say("one"))]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "one"]);
    git(&repository, &["tag", "-a", "-m", "x", "v1"]);
    let first = git(&repository, &["rev-parse", "HEAD"]);
    let fixture = |uses: &str| {
        let mut fixture = job(&format!("steps:\n  - uses: {uses}\n"));
        fixture.settings.actions.url = Some(format!("file://{}", served.path().display()));
        fixture.settings.actions.kept = Some(kept.path().to_owned());
        fixture
    };
    fixture("team/act@v1").run().await.succeeded().says("says one");
    let again = fixture("team/act@v1").run().await;
    again.succeeded().says("says one").says(&format!("Action team/act@v1 (kept, commit {first})"));

    write(&repository, &[("action.yml", &say("two"))]);
    git(&repository, &["commit", "-q", "-a", "-m", "two"]);
    git(&repository, &["tag", "-f", "-a", "-m", "x", "v1"]);
    let moved = fixture("Team/act@v1").run().await;
    // Names of folders heed case: it is the mirror's or the server's to ignore it.
    assert_eq!(moved.conclusion, Some(Failure));
    let moved = fixture("team/act@v1").run().await;
    moved.succeeded().says("says two");
    let warnings: Vec<_> = moved.annotations().into_iter().filter(|a| a.level == "warning").collect();
    assert!(warnings[0].message.contains(&format!("has moved: it was commit {first}")), "{warnings:?}");
    fixture("team/act@main").run().await.succeeded().says("says two");
    fixture(&format!("team/act@{first}")).run().await.succeeded().says("says one");

    // The server is away: what was kept is used, by ref or by commit.
    std::fs::rename(&repository, served.path().join("gone")).unwrap();
    let offline = fixture("team/act@v1").run().await;
    offline.succeeded().says("says two");
    assert!(offline.log.contains("cannot be asked"), "{}", offline.log);
    fixture(&format!("team/act@{first}")).run().await.succeeded().says("says one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_may_hold_repositories() {
    let ran = mirrored("steps:\n  - uses: team/act@v1\n", |mirror| {
        let repository = mirror.join("team/act");
        std::fs::create_dir_all(&repository).unwrap();
        git(&repository, &["init", "-q", "-b", "main"]);
        write(&repository, &[("action.yml", &say("one"))]);
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "-q", "-m", "one"]);
        git(&repository, &["tag", "v1"]);
        write(&repository, &[("action.yml", &say("two"))]);
        git(&repository, &["commit", "-q", "-a", "-m", "two"]);
    })
    .run()
    .await;
    ran.succeeded().says("says one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_cannot_be_had_says_how_to_provide_it() {
    let ran = mirrored("steps:\n  - run: echo never\n  - uses: someone/else/deep@v1\n", |_| {}).run().await;
    assert_eq!(ran.conclusion, Some(Failure));
    let reason = ran.reason.clone().unwrap();
    for part in [
        "`someone/else@v1` is not built in and cannot be had",
        "`else@v1`",
        "/mirror/someone`",
        "WINDLASS_ACTIONS_URL",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(ran.steps().len(), 1, "nothing ran: {}", ran.log);

    let ran = mirrored("steps:\n  - uses: team/empty@v1\n", |mirror| {
        write(&mirror.join("team/empty"), &[("x", "")]);
    });
    let reason = ran.run().await.reason.unwrap();
    assert!(reason.contains("Can't find 'action.yml' or 'action.yaml'"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_of_the_files_own_repository_are_those_of_its_commit() {
    let served = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let repository = served.path().join("shop.git");
    std::fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    let outer = "runs: { using: composite, steps: [{ uses: $/inner }, { uses: team/far@v1 }] }\n";
    write(&repository, &[("outer/action.yml", outer), ("inner/action.yml", &say("own"))]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "one"]);
    let commit = git(&repository, &["rev-parse", "HEAD"]);
    write(&repository, &[("inner/action.yml", &say("later"))]);
    git(&repository, &["commit", "-q", "-a", "-m", "two"]);
    let mut fixture = mirrored("steps:\n  - uses: $/outer\n", |mirror| {
        let far = "runs: { using: composite, steps: [{ uses: $/inner }] }\n";
        write(&mirror.join("team/far"), &[("action.yml", far), ("inner/action.yml", &say("far"))]);
    });
    fixture.assignment.clone_url = format!("file://{}", repository.display());
    fixture.assignment.github["sha"] = commit.into();
    let ran = fixture.run().await;
    ran.succeeded().says("says own").says("says far");
    assert!(!ran.log.contains("says later"));
}
