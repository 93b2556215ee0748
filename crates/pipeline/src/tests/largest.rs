//! The largest runs: what they cost grows with what is in them, and no more.

use super::*;

/// This many jobs, each of so many legs; where they are chained, each but the first needs another.
fn jobs(count: usize, legs: usize, chained: bool) -> String {
    let values = (0..legs).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let one = |n: usize| {
        let needs = if n == 0 || !chained { String::new() } else { format!("needs: j{}\n", (n - 1) / 2) };
        job(&format!("j{n}"), &format!("{needs}strategy:\n  matrix:\n    v: [{values}]"))
    };
    (0..count).map(one).collect()
}

/// Lets every job succeed, the first that waits for a runner each time; gives the number of events.
fn finished(play: &mut Play) -> usize {
    let mut models = Models::default();
    let mut events = 0;
    let mut send = |play: &mut Play, event: RunEvent| {
        let ids = &play.ids;
        let next = step_with(&play.run, event, play.clock.now(), &mut || JobId::new(ids), &mut models);
        let (run, actions) = next.unwrap();
        play.run = run;
        play.actions.extend(actions);
        events += 1;
    };
    while let Some(job) = play.run.jobs.iter().find(|job| matches!(job.state, JobState::Queued { .. })) {
        let (job, hand_out) = (job.id, job.tries + 1);
        let at = play.clock.now();
        let until = at + std::time::Duration::from_secs(30);
        send(play, RunEvent::Leased { job, runner: "r1".into(), until });
        let report = Report::Started { sandbox: "plain".into() };
        send(play, RunEvent::Reported { job, hand_out, seq: 1, at, report });
        let report = Report::Finished {
            conclusion: Conclusion::Success,
            reason: None,
            outputs: BTreeMap::new(),
            environment_url: None,
        };
        send(play, RunEvent::Reported { job, hand_out, seq: 2, at, report });
    }
    events
}

#[test]
fn a_matrix_of_256_legs_runs_to_its_end() {
    let mut play = Play::jobs(&jobs(1, 256, false));
    assert_eq!(play.run.jobs.len(), 256);
    assert_eq!(finished(&mut play), 3 * 256);
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
    assert!(play.actions.len() <= 5 * 256 + 10, "{} actions", play.actions.len());
}

#[test]
fn a_run_of_2000_jobs_runs_to_its_end_and_one_more_is_refused() {
    let mut play = Play::jobs(&jobs(8, 250, true));
    finished(&mut play);
    assert_eq!(play.run.jobs.len(), 2_000);
    assert_eq!(play.run.conclusion(), Some(Conclusion::Success));
    assert!(play.actions.len() <= 5 * 2_000 + 10, "{} actions", play.actions.len());
    // What is kept of it stays small enough to be written again at each step.
    let kept = serde_json::to_vec(&play.run).unwrap().len();
    assert!(kept < 4 << 20, "{kept} bytes");

    let play = Play::jobs(&(jobs(8, 250, false) + &job("j8", "")));
    assert_eq!(play.run.jobs.len(), 7 * 250 + 2, "seven matrices fit beside the ninth job");
    let refused = play.run.jobs.iter().find(|job| job.is_completed()).unwrap();
    assert!(refused.reason().is_some_and(|why| why.contains("2000")), "{:?}", refused.reason());
}
