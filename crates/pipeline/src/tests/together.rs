//! Several runs over the same groups, with a shell that does what it is told: the parts fit, and all comes to an end.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::concurrency::{Group, GroupAction, Member};

struct World {
    plays: Vec<Play>,
    groups: BTreeMap<String, Group>,
    todo: VecDeque<(usize, RunEvent)>,
}

impl World {
    fn new() -> Self {
        Self { plays: Vec::new(), groups: BTreeMap::new(), todo: VecDeque::new() }
    }

    fn start(&mut self, seed: usize, text: &str) {
        let mut play = Play::workflow(text);
        // Every play makes the same ids from the same entropy; members must differ.
        let ids =
            Ids::new(Arc::new(TestClock::at(2_000_000 + seed as i64)), Arc::new(TestEntropy::default()));
        let (run, actions) = Run::new(new_run(text, &ids), play.now(), &mut || JobId::new(&ids));
        (play.run, play.ids) = (run, ids);
        self.plays.push(play);
        self.perform(self.plays.len() - 1, actions);
    }

    fn perform(&mut self, who: usize, actions: Vec<Action>) {
        for action in actions {
            let (name, answers) = match action {
                Action::JoinGroup { member, group, manner } => {
                    let entry = self.group(&group);
                    (group, entry.join(member, manner))
                }
                Action::LeaveGroup { member, group } => {
                    let entry = self.group(&group);
                    (group, entry.leave(member))
                }
                Action::AskGate { job, .. } => {
                    self.todo.push_back((who, RunEvent::GatePassed { job }));
                    continue;
                }
                _ => continue,
            };
            for answer in answers {
                let (member, event): (Member, RunEvent) = match answer {
                    GroupAction::Admit(member) => {
                        (member, RunEvent::GroupAdmitted { job: member.job, group: name.clone() })
                    }
                    GroupAction::Cancel { member, .. } => {
                        (member, RunEvent::GroupCancelled { job: member.job, reason: "newer".into() })
                    }
                };
                let whose = self.plays.iter().position(|play| play.run.id == member.run);
                let whose = whose.unwrap_or_else(|| panic!("{name} speaks of a run that is not there"));
                self.todo.push_back((whose, event));
            }
        }
    }

    fn group(&mut self, name: &str) -> &mut Group {
        let project = "shop".parse().unwrap();
        self.groups.entry(name.to_lowercase()).or_insert_with(|| Group::new(project, name))
    }

    fn tell(&mut self, who: usize, event: RunEvent) {
        // An answer may come too late: then it is refused, and nothing is to be done.
        if let Ok(actions) = self.plays[who].attempt(event) {
            self.perform(who, actions);
        }
    }

    /// One step by some runner, or nothing if no job is in a runner's reach.
    fn work(&mut self, pick: usize) -> bool {
        let reachable = |job: &Job| matches!(job.state, JobState::Queued { .. }) || job.lease().is_some();
        let ready: Vec<(usize, usize)> = self
            .plays
            .iter()
            .enumerate()
            .flat_map(|(who, play)| {
                let jobs = play.run.jobs.iter().enumerate();
                jobs.filter(|(_, job)| reachable(job)).map(move |(i, _)| (who, i)).collect::<Vec<_>>()
            })
            .collect();
        let Some((who, i)) = ready.get(pick % ready.len().max(1)).copied() else { return false };
        let job = &self.plays[who].run.jobs[i];
        let (id, hand_out, seq, at) = (job.id, job.tries, job.acknowledged + 1, self.plays[who].now());
        let event = match (&job.state, &job.stopping) {
            (JobState::Queued { .. }, _) => RunEvent::Leased { job: id, runner: "r".into(), until: at },
            (_, stopping) => {
                let conclusion = if stopping.is_some() { Conclusion::Cancelled } else { Conclusion::Success };
                let report = Report::Finished {
                    conclusion,
                    reason: None,
                    outputs: BTreeMap::new(),
                    environment_url: None,
                };
                RunEvent::Reported { job: id, hand_out, seq, at, report }
            }
        };
        self.tell(who, event);
        true
    }

    /// Jobs in a runner's hands, by the group that they hold.
    fn check(&self) {
        for name in ["ship", "test"] {
            let holds = |job: &&Job| job.group.as_ref().is_some_and(|g| g.joined && g.name == name);
            let jobs = self.plays.iter().flat_map(|play| &play.run.jobs).filter(holds);
            let busy =
                jobs.filter(|job| job.lease().is_some() || matches!(job.state, JobState::Queued { .. }));
            assert!(busy.count() <= 1, "two jobs run in the group {name}");
        }
        let going = |play: &&Play| {
            play.run.group.as_ref().is_some_and(|group| group.joined) && play.run.state == RunState::Active
        };
        assert!(self.plays.iter().filter(going).count() <= 1, "two runs go on in one group");
    }
}

fn texts() -> [String; 3] {
    let jobs = job("a", "")
        + &job("b", "needs: a\nenvironment: prod\nconcurrency: ship")
        + &job("c", "if: always()\nneeds: b");
    let grouped =
        "on: push\nconcurrency:\n  group: all\n  cancel-in-progress: true\njobs:\n".to_owned() + &jobs;
    let waiting = grouped.replace("true", "false");
    let legs = "concurrency:\n  group: test\n  cancel-in-progress: true\nstrategy:\n  max-parallel: 2\n  matrix:\n    v: [1, 2, 3]";
    [grouped, waiting, format!("on: push\njobs:\n{}", job("t", legs) + &job("b", "concurrency: ship"))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn all_runs_end_and_all_groups_empty(moves in prop::collection::vec((0usize..8, any::<usize>()), 0..60)) {
        let mut world = World::new();
        for (what, pick) in moves {
            if what < 3 && world.plays.len() < 6 {
                world.start(world.plays.len(), &texts()[what]);
            } else if what < 6 {
                world.work(pick);
            } else if let Some((who, event)) = world.todo.pop_front() {
                world.tell(who, event);
            }
            world.check();
        }
        for pick in 0..2_000 {
            match world.todo.pop_front() {
                Some((who, event)) => world.tell(who, event),
                None if !world.work(pick) => break,
                None => {}
            }
            world.check();
        }
        for play in &world.plays {
            prop_assert!(play.run.is_completed(), "{:?} {:?}", play.run.state, play.states());
        }
        prop_assert!(world.groups.values().all(Group::is_empty), "{:?}", world.groups);
    }
}
