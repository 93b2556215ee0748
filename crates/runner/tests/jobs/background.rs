//! Steps in the background.

use windlass_api::Conclusion::{Cancelled, Failure, Skipped, Success};

use crate::fixture::job;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_background_step_brings_about_is_there_after_the_wait() {
    let ran = job(r#"
steps:
  - id: server
    name: server
    background: true
    run: |
      echo begun > begun
      while ! test -f go; do sleep 0.02; done
      echo "port=42" >> "$GITHUB_OUTPUT"
      echo "FROM_SERVER=1" >> "$GITHUB_ENV"
      mkdir -p bin; printf '#!/bin/sh\necho tool ran\n' > bin/mytool; chmod +x bin/mytool
      echo "$PWD/bin" >> "$GITHUB_PATH"
      echo "::add-mask::from-the-server"
      echo server ends with from-the-server
  - run: |
      while ! test -f begun; do sleep 0.02; done
      echo "meanwhile [${{ steps.server.outputs.port }}] [$FROM_SERVER] [${{ steps.server.outcome }}]"
      touch go
  - wait: server
  - run: |
      echo "after [${{ steps.server.outputs.port }}] [$FROM_SERVER] [${{ steps.server.outcome }}]"
      mytool
      echo hide from-the-server
"#)
    .run()
    .await;
    ran.succeeded()
        .says("meanwhile [] [] []")
        .says("server ends with ***")
        .says("after [42] [1] [success]")
        .says("tool ran")
        .says("hide ***");
    let steps = ran.steps();
    assert_eq!(steps[1], ("server".to_owned(), Success));
    assert_eq!(steps[3], ("Wait for server".to_owned(), Success));
    // Its part of the log is its own, although other steps wrote meanwhile.
    let view = &ran.views()[1];
    let whole = ran.control.log();
    let own =
        &whole[usize::try_from(view.log_start).unwrap()..usize::try_from(view.log_end.unwrap()).unwrap()];
    assert!(own.contains("server ends") && !own.contains("meanwhile ["), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_step_that_failed_fails_the_wait_and_only_there() {
    let ran = job(r#"
steps:
  - { id: bad, background: true, run: exit 3 }
  - { id: tolerated, background: true, continue-on-error: true, run: exit 4 }
  - run: echo goes on
  - { name: tolerant, id: w, wait: [bad, tolerated], continue-on-error: true }
  - run: echo "${{ steps.bad.outcome }} ${{ steps.tolerated.outcome }} ${{ steps.tolerated.conclusion }} ${{ steps.w.outcome }} ${{ steps.w.conclusion }}"
  - { id: worse, background: true, run: exit 5 }
  - wait-all:
  - run: echo never
  - { wait: worse, name: again }
"#)
    .run()
    .await;
    assert_eq!(ran.conclusion, Some(Failure));
    ran.says("goes on").says("failure failure success failure success");
    let found: Vec<_> = ran.steps().into_iter().skip(1).map(|(_, conclusion)| conclusion).collect();
    assert_eq!(
        found,
        [Failure, Success, Success, Success, Success, Failure, Failure, Skipped, Success, Success],
        "{}",
        ran.log
    );
    let reason = ran.reason.clone().unwrap();
    assert!(
        reason.contains("`Wait for all background steps` failed: the background step `Run exit 5` failed"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_background_step_does_not_fail_the_job() {
    let ran = job(r#"
steps:
  - id: long
    background: true
    run: |
      trap 'echo asked to end; exit 1' INT
      touch begun
      sleep 300 & wait
  - run: while ! test -f begun; do sleep 0.02; done
  - cancel: long
  - run: echo "[${{ steps.long.outcome }}] ${{ job.status }}"
"#)
    .run()
    .await;
    ran.succeeded().says("asked to end").says("[cancelled] success");
    assert_eq!(ran.steps()[1].1, Cancelled);
    assert_eq!(ran.steps()[3], ("Cancel long".to_owned(), Success));
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_steps_run_at_once_and_all_are_waited_for() {
    // Each waits for the others: one after the other they would never end.
    let meet = |own: &str| {
        format!(
            "touch {own}; for f in a b c; do while ! test -f $f; do sleep 0.02; done; done; echo met {own} >> met"
        )
    };
    let ran = job(&format!(
        r#"
steps:
  - name: three
    parallel:
      - {{ id: a, run: "{}; echo x=1 >> $GITHUB_OUTPUT" }}
      - {{ run: "{}" }}
      - {{ run: "{}", if: "true" }}
      - {{ run: exit 1, if: failure() }}
  - run: sort met | tr '\n' ' '; echo "[${{{{ steps.a.outputs.x }}}}]"
"#,
        meet("a"),
        meet("b"),
        meet("c")
    ))
    .run()
    .await;
    ran.succeeded().says("met a met b met c [1]");
    let found: Vec<_> = ran.steps().into_iter().skip(1).map(|(_, conclusion)| conclusion).collect();
    assert_eq!(found, [Success, Success, Success, Success, Skipped, Success, Success], "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_run_at_once_the_others_wait_and_all_end_before_the_job() {
    let mut steps = String::from("\nsteps:\n");
    for n in 0..13 {
        steps.push_str(&format!(
            "  - {{ background: true, run: 'mkdir -p now; touch now/{n}; ls now | wc -l >> most; sleep 0.3; rm now/{n}' }}\n"
        ));
    }
    steps.push_str("  - wait-all:\n  - run: echo most $(sort -n most | tail -1) of $(wc -l < most)\n");
    steps.push_str("  - { background: true, name: failing, run: exit 9 }\n");
    let ran = job(&steps).run().await;
    assert_eq!(ran.conclusion, Some(Failure), "what nobody waits for is waited for at the end");
    assert!(ran.reason.clone().unwrap().contains("`failing` failed"), "{:?}", ran.reason);
    let line = ran.log.lines().find(|line| line.starts_with("most ") && line.ends_with(" of 13"));
    let most: u32 = line.unwrap_or_else(|| panic!("{}", ran.log)).split(' ').nth(1).unwrap().parse().unwrap();
    assert!((2..=10).contains(&most), "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_run_in_the_background_with_their_posts() {
    let ran = job(r#"
steps:
  - run: |
      mkdir -p act && cat > act/action.yml <<'END'
      outputs: { out: { value: "${{ '${{ steps.s.outputs.x }}' }}" } }
      runs: { using: composite, steps: [{ id: s, run: "echo x=deep >> $GITHUB_OUTPUT", shell: bash }] }
      END
      echo kept > file
  - { uses: ./act, id: act, background: true }
  - { uses: actions/cache@v4, background: true, with: { path: file, key: k } }
  - wait-all: true
  - run: echo "[${{ steps.act.outputs.out }}]"
"#)
    .run()
    .await;
    ran.succeeded().says("[deep]").says("Cache saved with key: k (1 files)");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_one_that_waits_for_its_turn_lets_no_other_jump_the_queue() {
    let mut steps = String::from("\nsteps:\n");
    for n in 0..13 {
        steps.push_str(&format!(
            "  - {{ id: s{n}, background: true, run: 'mkdir -p now; touch now/{n}; ls now | wc -l >> most; echo ran {n}.; sleep 0.5; rm now/{n}' \
             }}\n"
        ));
    }
    steps.push_str("  - { cancel: s12 }\n  - wait-all:\n  - run: echo most $(sort -n most | tail -1) of $(wc -l < most)\n");
    let ran = job(&steps).run().await;
    ran.succeeded().says("ran 11.");
    assert!(!ran.log.contains("\nran 12."), "{}", ran.log);
    let line = ran.log.lines().find(|line| line.starts_with("most ") && line.ends_with(" of 12"));
    let most: u32 = line.unwrap_or_else(|| panic!("{}", ran.log)).split(' ').nth(1).unwrap().parse().unwrap();
    assert!((2..=10).contains(&most), "{most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn matchers_and_declared_artifacts_of_a_background_step_are_there_after_the_wait() {
    let ran = job(r#"
steps:
  - id: b
    background: true
    run: |
      cat > matcher.json <<'END'
      {"problemMatcher": [{"owner": "m", "pattern": [{"regexp": "^bad: (.+)$", "message": 1}]}]}
      END
      echo "::add-matcher::matcher.json"
      echo built > out
      echo out >> $GITHUB_ARTIFACTS
  - wait: b
  - run: |
      echo "bad: found it"
      echo "list $(cat $GITHUB_ARTIFACTS_LIST)"
"#)
    .run()
    .await;
    ran.succeeded();
    assert!(ran.log.contains(r#"list {"version":1,"subjects":[{"name":"out","#), "{}", ran.log);
    let messages: Vec<_> = ran.annotations().into_iter().map(|annotation| annotation.message).collect();
    assert!(messages.contains(&"found it".to_owned()), "{messages:?}");
}
