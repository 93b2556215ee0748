use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::concurrency::Member;

/// Up to six jobs, each with some earlier ones as needs and some settings.
fn workflow() -> impl Strategy<Value = String> {
    let settings = prop::sample::subsequence(
        vec![
            "continue-on-error: true",
            "environment: prod",
            "concurrency: ${{ github.ref_name }}",
            "strategy:\n  max-parallel: 2\n  matrix:\n    v: [1, 2, 3]",
        ],
        0..=4,
    );
    let condition = prop::sample::select(vec![
        "",
        "if: always()",
        "if: failure()",
        "if: ${{ !cancelled() }}",
        "if: vars.REGION == 'eu'",
    ]);
    let one = (settings, condition, any::<u8>());
    (prop::collection::vec(one, 1..6), any::<bool>()).prop_map(|(jobs, grouped)| {
        let mut text =
            if grouped { "on: push\nconcurrency: all\njobs:\n" } else { "on: push\njobs:\n" }.to_owned();
        for (i, (settings, condition, mask)) in jobs.into_iter().enumerate() {
            let needs: Vec<String> =
                (0..i).filter(|k| mask & (1 << k) != 0).map(|k| format!("j{k}")).collect();
            let needs =
                if needs.is_empty() { String::new() } else { format!("needs: [{}]\n", needs.join(", ")) };
            text += &if mask & 0x80 == 0 {
                job(&format!("j{i}"), &format!("{needs}{condition}\n{}", settings.join("\n")))
            } else {
                let kept =
                    settings.iter().filter(|s| s.starts_with("strategy") || s.starts_with("concurrency"));
                let kept = kept.copied().collect::<Vec<_>>().join("\n");
                let file = if mask & 0x40 == 0 { "inner" } else { "outer" };
                call(&format!("j{i}"), file, &format!("{needs}{condition}\n{kept}"))
            };
        }
        text
    })
}

/// An event about some job, from two numbers; most of them are lawful somewhere.
fn event(play: &Play, what: u8, which: usize) -> RunEvent {
    let job = &play.run.jobs[which % play.run.jobs.len()];
    let (id, hand_out, seq, at) = (job.id, job.tries, job.acknowledged + 1, play.now());
    let finished = |conclusion| Report::Finished {
        conclusion,
        reason: None,
        outputs: BTreeMap::new(),
        environment_url: None,
    };
    let report = |report| RunEvent::Reported { job: id, hand_out, seq, at, report };
    match what % 16 {
        0 | 1 => RunEvent::Leased { job: id, runner: "r".into(), until: at },
        2 => report(Report::Started { sandbox: "x".into() }),
        3 => report(finished(Conclusion::Success)),
        4 => report(finished(Conclusion::Failure)),
        5 => report(finished(Conclusion::Cancelled)),
        6 => RunEvent::GatePassed { job: id },
        7 => RunEvent::GateRejected { job: id, reason: "no".into() },
        8 => play.admitted(Some(id)),
        9 => RunEvent::GroupCancelled { job: Some(id), reason: "newer".into() },
        10 => RunEvent::LeaseLost { job: id, hand_out, reason: "gone".into() },
        11 => RunEvent::TimedOut { job: id },
        12 if which.is_multiple_of(4) => RunEvent::CancelRequested {
            by: Actor::System,
            reason: "enough".into(),
            force: which.is_multiple_of(8),
        },
        13 if which.is_multiple_of(4) => RunEvent::GroupCancelled { job: None, reason: "newer".into() },
        14 => RunEvent::Rerun {
            by: Actor::System,
            which: [Again::All, Again::Failed, Again::Job(id)][which % 3],
        },
        15 => RunEvent::Reported {
            job: id,
            hand_out,
            seq: seq.saturating_sub(1),
            at,
            report: finished(Conclusion::Failure),
        },
        _ => play.admitted(None),
    }
}

/// What must hold of the actions as a whole, whatever happened.
#[derive(Default)]
struct Watch {
    slots: HashSet<(Member, String)>,
    ended: HashSet<JobId>,
}

impl Watch {
    fn see(&mut self, before: Option<&Run>, play: &Play, actions: &[Action]) {
        if before.is_some_and(|run| run.attempt < play.run.attempt) {
            let calls = play.run.jobs.iter().filter(|job| job.call.is_some() && !job.is_completed());
            calls.for_each(|job| _ = self.ended.remove(&job.id));
        }
        for action in actions {
            match action {
                Action::JoinGroup { member, group, .. } => {
                    assert!(self.slots.insert((*member, group.clone())), "joined twice");
                }
                Action::LeaveGroup { member, group } => {
                    let known = self.slots.remove(&(*member, group.clone()));
                    assert!(known, "left what it had not joined");
                }
                Action::Emit { kind: "job.completed", subject, .. } => {
                    assert!(self.ended.insert(subject.parse().unwrap()), "ended twice");
                }
                Action::Queue { job, .. } | Action::AskGate { job, .. } | Action::CancelJob { job, .. } => {
                    assert!(play.run.job(*job).is_some());
                }
                Action::Emit { .. } => {}
            }
        }
        for job in before.iter().flat_map(|run| &run.jobs).filter(|job| job.is_completed()) {
            let now = play.run.job(job.id);
            // A call that a re-run goes on with is the same job; no runner ever has it.
            let goes_on = job.call.is_some() && before.is_some_and(|run| run.attempt < play.run.attempt);
            assert!(now.is_none_or(|now| now == job || goes_on), "a job left its end");
        }
        for key in ["j0", "j1", "j2", "j3", "j4", "j5"] {
            let busy = |job: &&Job| {
                !matches!(
                    job.state,
                    JobState::Waiting { for_what: WaitingFor::Needs | WaitingFor::Siblings }
                        | JobState::Completed { .. }
                )
            };
            let most = play.run.legs(None, key).find_map(|job| job.max_parallel).unwrap_or(usize::MAX);
            assert!(play.run.legs(None, key).filter(busy).count() <= most, "more than max-parallel");
        }
        if play.run.is_completed() {
            assert!(play.run.jobs.iter().all(Job::is_completed));
            assert!(self.slots.is_empty(), "a slot is held for ever");
        }
    }
}

/// Answers whatever the run asks for until it ends.
fn play_out(play: &mut Play, watch: &mut Watch) {
    for _ in 0..2_000 {
        if play.run.is_completed() {
            return;
        }
        let before = play.run.clone();
        let event = if let RunState::Waiting { .. } = play.run.state {
            play.admitted(None)
        } else {
            let open = play.run.jobs.iter().position(|job| {
                !job.is_completed() && !["needs", "siblings", "calling"].contains(&state(job))
            });
            let i = open.expect("a run that goes on has a job that can");
            let what = match state(&play.run.jobs[i]) {
                "gate" => 6,
                "group" => 8,
                "queued" => 0,
                "leased" => 2,
                _ => 3,
            };
            event(play, what, i)
        };
        let actions = play.send(event);
        watch.see(Some(&before), play, &actions);
    }
    panic!("the run does not end: {:?}", play.states());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_the_run_can_end(
        text in workflow(),
        events in prop::collection::vec((any::<u8>(), 0usize..64), 0..60),
    ) {
        let mut play = Play::workflow(&text);
        prop_assert!(play.run.diagnostics.iter().all(|d| d.severity != "error"), "{:?}", play.run.diagnostics);
        let mut watch = Watch::default();
        let made = play.actions.clone();
        watch.see(None, &play, &made);
        for (what, which) in events {
            let before = play.run.clone();
            let event = event(&play, what, which);
            match play.attempt(event) {
                Ok(actions) => watch.see(Some(&before), &play, &actions),
                Err(_) => prop_assert_eq!(&play.run, &before),
            }
        }
        play_out(&mut play, &mut watch);
        let kept = serde_json::to_string(&play.run).unwrap();
        prop_assert_eq!(serde_json::from_str::<Run>(&kept).unwrap(), play.run);
    }
}
