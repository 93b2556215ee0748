//! Steps: environment, outputs, conditions, order.

use windlass_api::Conclusion::{Failure, Skipped, Success};

use crate::fixture::{job, workflow};

#[tokio::test(flavor = "multi_thread")]
async fn environment_outputs_and_contexts() {
    let ran = workflow(
        r#"
on: push
env:
  A: workflow
  B: workflow
  SECRET_URL: https://${{ secrets.PASSWORD }}@x
defaults:
  run:
    shell: sh
jobs:
  j:
    runs-on: ubuntu-latest
    env:
      B: job
      C: job
      N: ${{ needs.before.outputs.n }}
    outputs:
      value: ${{ steps.one.outputs.value }}
      none: ${{ steps.one.outputs.missing }}
      leak: ${{ steps.one.outputs.leak }}
    steps:
      - id: one
        shell: bash
        env:
          C: step
        run: |
          echo "A=$A B=$B C=$C N=$N CI=$CI ${{ github.job }}"
          echo "value=4${{ matrix.os == 'linux' && 2 || 0 }}" >> "$GITHUB_OUTPUT"
          echo "leak=$SECRET_URL" >> "$GITHUB_OUTPUT"
          printf 'D<<X\none\ntwo\nX\nB=from-env\nGITHUB_SHA=evil\nCI=no\n' >> "$GITHUB_ENV"
          mkdir -p bin; printf '#!/bin/sh\necho tool ran\n' > bin/mytool; chmod +x bin/mytool
          echo "$PWD/bin" >> "$GITHUB_PATH"
          echo '## done' >> "$GITHUB_STEP_SUMMARY"
          echo "password is hunter2-correct-horse"
      - name: Two ${{ steps.one.outputs.value }} ${{ vars.COLOUR }}
        env:
          D: ${{ env.D }}
        run: |
          echo "B=$B CI=$CI lines=$(echo "$D" | wc -l)"
          echo "$GITHUB_SHA $GITHUB_REPOSITORY $RUNNER_OS $GITHUB_JOB $GITHUB_ACTIONS"
          test "$PWD" = "$GITHUB_WORKSPACE" && test -d "$RUNNER_TEMP" && grep -q after "$GITHUB_EVENT_PATH" && echo places
          mytool
          test -z "$GITHUB_TOKEN$WINDLASS_TOKEN" && echo no token
"#,
    )
    .run()
    .await;
    ran.succeeded()
        .says("A=workflow B=job C=step N=5 CI=true j")
        .says("B=from-env CI=no lines=2")
        .says("0123456789012345678901234567890123456789 team/shop Linux j true")
        .says("places")
        .says("tool ran")
        .says("no token")
        .says("password is ***");
    assert!(!ran.log.contains("hunter2"), "{}", ran.log);
    assert_eq!(ran.outputs.keys().collect::<Vec<_>>(), ["value"], "empty and secret outputs are dropped");
    assert_eq!(ran.outputs["value"], "42");
    assert_eq!(ran.summary(), "## done\n");
    let names: Vec<_> = ran.steps().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["Set up job", "Run echo \"A=$A B=$B C=$C N=$N CI=$CI j\"", "Two 42 blue", "Complete job"]
    );
    assert!(
        ran.log.contains("shell: bash --noprofile --norc -e -o pipefail {0}")
            && ran.log.contains("shell: sh -e {0}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_whole_mappings_come_from_expressions() {
    let ran = workflow(
        r#"
on: push
env:
  ${{ format('X_{0}', 1) }}: one
  ${{ insert }}: {Y: two}
jobs:
  j:
    runs-on: ubuntu-latest
    env:
      ${{ insert }}: ${{ fromJSON('{"Z":"three"}') }}
    defaults:
      run: ${{ fromJSON('{"shell":"sh -e -u {0}"}') }}
    steps:
      - run: echo "$X_1 $Y $Z $0"
        env:
          ${{ insert }}: ${{ fromJSON('{"Z":"four"}') }}
"#,
    )
    .run()
    .await;
    ran.succeeded().says("shell: sh -e -u {0}");
    assert!(ran.log.contains("one two four "), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_what_runs_after_them() {
    let ran = job(r#"
steps:
  - id: tolerated
    continue-on-error: true
    run: exit 3
  - name: sees both
    run: echo "${{ steps.tolerated.outcome }} ${{ steps.tolerated.conclusion }}"
  - name: breaks
    run: |
      echo before
      false
      echo after
  - name: skipped
    run: echo never
  - name: on failure
    if: failure()
    run: echo "status ${{ job.status }}"
  - name: always
    if: always() && github.actor == 'ANN'
    run: echo here
  - name: not cancelled
    if: cancelled()
    run: echo never
  - name: broken condition
    if: ${{ always() && fromJSON('{') }}
    run: echo never
"#)
    .run()
    .await;
    let found: Vec<_> = ran.steps().into_iter().skip(1).map(|(_, conclusion)| conclusion).collect();
    assert_eq!(
        found,
        [Success, Success, Failure, Skipped, Success, Success, Skipped, Failure, Success],
        "{}",
        ran.log
    );
    assert_eq!(ran.conclusion, Some(Failure));
    ran.says("failure success")
        .says("status failure")
        .says("here")
        .says("##[error]Process completed with exit code 1.");
    assert!(!ran.log.lines().any(|line| line == "after" || line == "never"), "{}", ran.log);
    let reason = ran.reason.clone().unwrap();
    assert!(reason.contains("step `breaks` failed: Process completed with exit code 1."), "{reason}");
    let outcomes: Vec<_> = ran.views().iter().map(|step| step.outcome).collect();
    assert_eq!(outcomes[1], Some(Failure));
    for step in ran.views() {
        assert!(step.log_end.unwrap() >= step.log_start);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_files_and_commands_can_fail_a_step() {
    for (script, said) in [
        ("echo nonsense >> $GITHUB_ENV", "Invalid format 'nonsense'"),
        ("echo 'A<<X' >> $GITHUB_OUTPUT", "Invalid value. Matching delimiter not found 'X'"),
        ("echo NODE_OPTIONS=x >> $GITHUB_ENV", "Can't store NODE_OPTIONS"),
        ("rm $GITHUB_ENV; ln -s /etc/passwd $GITHUB_ENV", "outside"),
        ("rm $GITHUB_OUTPUT; mkfifo $GITHUB_OUTPUT", "not a regular file"),
        ("echo ::set-env name=A::b", "`set-env` command is disabled"),
    ] {
        let ran = job(&format!("steps:\n  - run: {}\n", serde_json::json!(script))).run().await;
        assert_eq!(ran.conclusion, Some(Failure), "{script}: {}", ran.log);
        assert!(ran.log.contains(said), "{script}: {}", ran.log);
    }
    let ran = job("steps:\n  - run: rm $GITHUB_ENV $GITHUB_OUTPUT\n  - run: echo fine\n").run().await;
    ran.succeeded().says("fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_annotate_and_mask() {
    let ran = job(r#"
steps:
  - run: |
      echo "::add-mask::walrus-tusk"
      echo "the walrus-tusk"
      echo "::error file=a.rs,line=3::bad walrus-tusk"
      echo "::set-output name=old::1" >&2
    id: s
  - run: echo "old ${{ steps.s.outputs.old }}"
"#)
    .run()
    .await;
    ran.succeeded().says("the ***").says("##[error]bad ***").says("old 1");
    let errors: Vec<_> = ran.annotations().into_iter().filter(|a| a.level == "error").collect();
    assert_eq!((errors[0].message.as_str(), errors[0].line, errors[0].step), ("bad ***", Some(3), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn background_processes_live_until_the_job_ends_and_hash_files_works() {
    let ran = job(r#"
steps:
  - run: |
      echo one > a.lock
      (sleep 1; echo late) &
      sleep 300 > /dev/null 2>&1 &
      echo $! > pid
  - run: kill -0 "$(cat pid)" && echo "alive ${{ hashFiles('*.lock') }} ${{ hashFiles('none') == '' }}"
    working-directory: .
"#)
    .run()
    .await;
    ran.succeeded();
    let hash = "2ef1a9f1bcdd5a4a8b4ad8cbbdd9a9c0fd0bc40fd42e5ff3a8b1ea1ab87ab0a0";
    let line =
        ran.log.lines().find(|line| line.starts_with("alive ")).unwrap_or_else(|| panic!("{}", ran.log));
    assert_eq!(line.split(' ').nth(1).unwrap().len(), hash.len());
    assert!(line.ends_with(" true"));
    assert!(ran.log.lines().any(|line| line == "late"), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_runs_in_the_strongest_sandbox_there_is() {
    let mut fixture = job(r#"
steps:
  - run: |
      echo hello > /tmp/note
      echo "x=1" >> "$GITHUB_OUTPUT"
      touch made-inside
    id: a
  - run: cat /tmp/note && echo "x=${{ steps.a.outputs.x }} ${{ hashFiles('made-inside') != '' }}"
"#);
    fixture.level = None;
    fixture.settings.hidden = vec![fixture.dir.path().to_owned()];
    let ran = fixture.run().await;
    ran.succeeded().says("hello").says("x=1 true");
    let sandbox = ran.log.lines().find(|line| line.starts_with("Sandbox: ")).unwrap();
    if sandbox.starts_with("Sandbox: process") {
        windlass_testkit::skip(
            "the_same_job_runs_in_the_strongest_sandbox_there_is",
            "only plain processes are permitted",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn powershell_stops_at_an_error_and_its_last_program_says_how_it_ended() {
    let path = std::env::var("PATH").unwrap_or_default();
    if !path.split(':').any(|folder| std::path::Path::new(folder).join("pwsh").is_file()) {
        let why = "there is no pwsh on this machine, and neither npm nor PyPI nor Debian has it";
        return windlass_testkit::skip(
            "powershell_stops_at_an_error_and_its_last_program_says_how_it_ended",
            why,
        );
    }
    let ran = job(r#"
steps:
  - { shell: pwsh, run: 'Write-Output "sum $(40 + 2)"' }
  - { shell: pwsh, id: error, continue-on-error: true, run: "Get-Item /none\nWrite-Output 'not reached'" }
  - { shell: pwsh, id: code, continue-on-error: true, run: "bash -c 'exit 7'" }
  - run: echo ${{ steps.error.outcome }} ${{ steps.code.outcome }}
"#)
    .run()
    .await;
    ran.succeeded().says("sum 42").says("failure failure");
    assert!(!ran.log.contains("\nnot reached"), "{}", ran.log);
}
