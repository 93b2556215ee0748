//! What ends jobs before their time, and logs without end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use windlass_api::Conclusion::{Cancelled, Failure, Skipped, Success};
use windlass_runtime::{Capabilities, ControlGroups, Level, Runtime, RuntimeError, Sandbox, SandboxSpec};

use crate::fixture::job;

/// A machine that permitted more when the dispatcher started than it does now.
#[derive(Debug)]
struct NoLonger(Capabilities);

#[async_trait]
impl Runtime for NoLonger {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    async fn start(&self, _: SandboxSpec) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        Err(RuntimeError::Invalid("namespaces were forbidden meanwhile".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_trusts_what_the_dispatcher_found_out_until_it_fails() {
    let known = Capabilities {
        level: Level::Namespaces,
        why: Vec::new(),
        cgroup: ControlGroups::None,
        overlay: true,
        abstract_sockets_hidden: false,
    };
    let body = "\nsteps:\n  - run: echo $((40 + 2)) runs";
    let mut fixture = job(body);
    fixture.settings.capabilities = Some(known.clone());
    let ran = fixture.run_with(Arc::new(NoLonger(known.clone()))).await;
    ran.succeeded().says("42 runs");
    assert!(ran.log.contains("namespaces were forbidden meanwhile"), "{}", ran.log);
    assert!(ran.log.contains("\nSandbox: "), "the level in force now is told: {}", ran.log);

    let ran = job(body).run_with(Arc::new(NoLonger(known))).await;
    assert_eq!(ran.conclusion, Some(Failure), "what the unit found out itself is final: {}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_too_long_fails_with_all_that_it_started() {
    let ran = job(
        r#"
steps:
  - name: slow
    timeout-minutes: 0.02
    run: |
      setsid sleep 300 > /dev/null 2>&1 &
      echo $! > pid
      exec sleep 300
  - name: after
    if: always()
    # What is dead but not yet fetched by its parent is gone as well.
    run: if grep -q '^State:.[^Z]' "/proc/$(cat pid)/status" 2> /dev/null; then cat "/proc/$(cat pid)/status"; else echo gone; fi
"#,
    )
    .run()
    .await;
    assert_eq!(ran.conclusion, Some(Failure), "{}", ran.log);
    assert!(ran.reason.clone().unwrap().contains("The action 'slow' has timed out after 0.02 minutes."));
    ran.says("gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_runs_only_what_always_runs() {
    let fixture = job(r"
steps:
  - name: long
    run: |
      trap 'echo interrupted; exit 1' INT
      echo $((40 + 2)) started
      sleep 300 & wait
  - name: normal
    run: echo never
  - name: on failure
    if: failure()
    run: echo never
  - name: clean up
    if: always()
    run: echo cleaning ${{ job.status }}
  - name: told
    if: cancelled()
    run: echo cancelled
");
    let control = fixture.control.clone();
    let cancel = async {
        while !control.log().contains(" 42 started") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        control.cancel("asked by ann");
    };
    let (ran, ()) = tokio::join!(fixture.run(), cancel);
    assert_eq!(ran.conclusion, Some(Cancelled), "{}", ran.log);
    assert_eq!(ran.reason.as_deref(), Some("asked by ann"));
    let found: Vec<_> = ran.steps().into_iter().skip(1).map(|(_, conclusion)| conclusion).collect();
    assert_eq!(found, [Cancelled, Skipped, Skipped, Success, Success, Success], "{}", ran.log);
    ran.says("interrupted")
        .says("cleaning cancelled")
        .says("cancelled")
        .says("##[error]The operation was canceled.");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_own_time_limit_cancels_it() {
    let mut fixture = job("steps:\n  - run: sleep 300\n  - if: always()\n    run: echo last\n");
    fixture.assignment.timeout_minutes = 0.02;
    let ran = fixture.run().await;
    assert_eq!(ran.conclusion, Some(Cancelled));
    assert!(
        ran.reason.clone().unwrap().contains("maximum execution time of 0.02 minutes"),
        "{:?}",
        ran.reason
    );
    ran.says("last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_ends_the_job_without_a_word() {
    let fixture =
        job("steps:\n  - run: echo $((40 + 2)) started; sleep 300\n  - if: always()\n    run: echo never\n");
    let control = fixture.control.clone();
    let lose = async {
        while !control.log().contains(" 42 started") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        control.lose();
    };
    let (ran, ()) = tokio::join!(fixture.run(), lose);
    assert_eq!(ran.conclusion, None);
    assert!(!ran.log.lines().any(|line| line == "never"));
}

#[tokio::test(flavor = "multi_thread")]
async fn control_may_be_away_at_any_time() {
    let fixture = job("steps:\n  - run: for i in 1 2 3; do echo line $i; sleep 0.2; done\n");
    fixture.control.go_away_for(4);
    let ran = fixture.run().await;
    ran.succeeded().says("line 1").says("line 3");
    assert_eq!(ran.log.lines().filter(|line| *line == "line 2").count(), 1, "nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_beyond_its_limit_says_so_and_the_job_goes_on() {
    let mut fixture = job(
        "steps:\n  - id: s\n    run: seq 1 100000; echo ok=1 >> $GITHUB_OUTPUT\noutputs:\n  ok: ${{ steps.s.outputs.ok }}\n",
    );
    fixture.settings.log_limit = 50_000;
    let ran = fixture.run().await;
    ran.succeeded();
    assert_eq!(ran.outputs["ok"], "1");
    assert!(ran.log.ends_with("the rest of its output is dropped."), "{}", ran.log);
}
