//! The planner on single moments: what is seen in, what is to be done out. The moments are in
//! `tests/rollout/*.txt`; the language is that of [`read`].

use std::fmt::Write as _;
use std::time::Duration;

use windlass_kernel::ReleaseId;

use super::*;
use crate::instance::{HealthAnswer, InstanceState};
use crate::manifest::{Health, Limits, Metrics, Service, Strategy};

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(super) fn release(number: u64) -> ReleaseId {
    format!("rel_{number:026}").parse().unwrap()
}

pub(super) fn deployment(number: u64) -> DeploymentId {
    format!("dep_{number:026}").parse().unwrap()
}

pub(super) fn spec(name: &str, replicas: u32, strategy: Strategy) -> ServiceSpec {
    let service = Service {
        port: 8080,
        health: Health {
            check: crate::manifest::Check::Http { path: "/health".into() },
            ..Health::default()
        },
        replicas,
        strategy,
        drain: Duration::from_secs(10),
        limits: Limits::default(),
        volumes: Vec::new(),
        env: BTreeMap::new(),
        secrets: Vec::new(),
        route: None,
        metrics: Metrics::None,
        command: None,
    };
    ServiceSpec { name: name.parse().unwrap(), service }
}

pub(super) fn wanted(number: u64, services: Vec<ServiceSpec>) -> Wanted {
    let sha = format!("{number}{number}abc1234567890");
    Wanted { release: release(number), number, sha, generation: None, services }
}

pub(super) fn instance(
    number: usize,
    service: &str,
    of: u64,
    state: InstanceState,
    started: Timestamp,
) -> Instance {
    Instance {
        id: format!("ins_{number:026}").parse().unwrap(),
        project: "tasks".parse().unwrap(),
        environment: "production".parse().unwrap(),
        service: service.parse().unwrap(),
        release: release(of),
        deployment: None,
        port: 4000,
        state,
        restarts: 0,
        last_health: None,
        streak: 0,
        created_at: started,
        started_at: started,
    }
}

struct Moment {
    title: String,
    desired: Desired,
    observed: Observed,
    now: Timestamp,
    names: BTreeMap<InstanceId, String>,
}

/// `now SECONDS`; `steady`, `deploying SECONDS`, `rolling-back SECONDS REASON`; `target RELEASE [dN] SERVICE xN
/// STRATEGY …`, `previous …`; `NAME SERVICE rN STATE[@SECONDS] [routed] [drained] [dN] [restarts=N] [created=N]
/// [health=TEXT_WITH_UNDERSCORES] [line=…]`.
fn read(text: &str) -> Moment {
    let mut moment = Moment {
        title: text.lines().next().unwrap().trim_start_matches("# ").to_owned(),
        desired: Desired {
            environment: "production".parse().unwrap(),
            target: wanted(2, Vec::new()),
            previous: None,
            mode: Mode::Steady,
        },
        observed: Observed::default(),
        now: at(100),
        names: BTreeMap::new(),
    };
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "now" => moment.now = at(words[1].parse().unwrap()),
            "steady" => moment.desired.mode = Mode::Steady,
            "deploying" => moment.desired.mode = Mode::Deploying { since: at(words[1].parse().unwrap()) },
            "rolling-back" => {
                let failure = Failure::new(words[2..].join(" "));
                moment.desired.mode = Mode::RollingBack { since: at(words[1].parse().unwrap()), failure };
            }
            "target" => moment.desired.target = read_release(&words[1..]),
            "previous" => moment.desired.previous = Some(read_release(&words[1..])),
            _ => read_instance(&words, &mut moment),
        }
    }
    moment
}

fn read_release(words: &[&str]) -> Wanted {
    let number = words[0][1..].parse().unwrap();
    let (generation, rest) = match words.get(1).and_then(|w| w.strip_prefix('d')).and_then(|n| n.parse().ok())
    {
        Some(n) => (Some(deployment(n)), &words[2..]),
        None => (None, &words[1..]),
    };
    let services = rest
        .chunks(3)
        .map(|c| {
            let strategy = if c[2] == "blue-green" { Strategy::BlueGreen } else { Strategy::Rolling };
            spec(c[0], c[1][1..].parse().unwrap(), strategy)
        })
        .collect();
    Wanted { generation, ..wanted(number, services) }
}

fn read_instance(words: &[&str], moment: &mut Moment) {
    let (word, since) = words[3].split_once('@').unwrap_or((words[3], "0"));
    let since = at(since.parse().unwrap());
    let state = match word {
        "starting" => InstanceState::Starting,
        "healthy" => InstanceState::Healthy { since },
        "unhealthy" => InstanceState::Unhealthy { since },
        "draining" => InstanceState::Draining { since, healthy: true },
        "draining!" => InstanceState::Draining { since, healthy: false },
        "warm" => InstanceState::Warm { since, healthy: true },
        "warm!" => InstanceState::Warm { since, healthy: false },
        "stopping" => InstanceState::Stopping,
        "exited" => InstanceState::Exited { code: Some(1), at: since },
        other => panic!("{other} is no state"),
    };
    let number = moment.names.len() + 1;
    let mut i = instance(number, words[1], words[2][1..].parse().unwrap(), state, since);
    for option in &words[4..] {
        match option.split_once('=').unwrap_or((option, "")) {
            ("routed", _) => {
                moment.observed.routes.entry(i.service.clone()).or_default().insert(i.id);
            }
            ("drained", _) => {
                moment.observed.drained.insert(i.id);
            }
            ("restarts", n) => i.restarts = n.parse().unwrap(),
            ("created", n) => i.created_at = at(n.parse().unwrap()),
            ("health", text) => {
                i.last_health =
                    Some(HealthAnswer { at: since, healthy: false, text: text.replace('_', " ") });
            }
            ("line", text) => moment.observed.lines.entry(i.id).or_default().push(text.replace('_', " ")),
            (d, _) => i.deployment = Some(deployment(d[1..].parse().unwrap())),
        }
    }
    moment.names.insert(i.id, words[0].to_owned());
    moment.observed.instances.push(i);
}

fn tell(moment: &Moment, plan: &Plan) -> String {
    let name = |id: &InstanceId| moment.names[id].clone();
    let mut out = String::new();
    for action in &plan.actions {
        let line = match action {
            Action::Start { service, release, count } => {
                let number = release.to_string().trim_start_matches("rel_").parse::<u64>().unwrap();
                format!("start {count} of {service} r{number}")
            }
            Action::Restart { instance } => format!("restart {}", name(instance)),
            Action::Route { service, instances } => {
                format!("route {service} -> [{}]", instances.iter().map(name).collect::<Vec<_>>().join(" "))
            }
            Action::Drain { instance } => format!("drain {}", name(instance)),
            Action::KeepWarm { instance } => format!("keep warm {}", name(instance)),
            Action::Stop { instance } => format!("stop {}", name(instance)),
        };
        writeln!(out, "{line}").unwrap();
    }
    if let Some(phase) = plan.phase {
        writeln!(out, "phase {phase:?}").unwrap();
    }
    if let Some(next) = plan.next {
        writeln!(out, "again at {}", next.as_millis() / 1000).unwrap();
    }
    if let Some(failure) = &plan.roll_back {
        writeln!(out, "go back: {failure:#?}").unwrap();
    }
    if let Some(outcome) = &plan.outcome {
        writeln!(out, "{outcome:#?}").unwrap();
    }
    for note in &plan.notes {
        writeln!(out, "# {note}").unwrap();
    }
    out
}

fn check(name: &str, text: &str) {
    let mut told = String::new();
    for scenario in text.split("\n---\n") {
        let moment = read(scenario.trim());
        let plan = plan(&moment.desired, &moment.observed, moment.now);
        writeln!(told, "## {}\n{}", moment.title, tell(&moment, &plan)).unwrap();
    }
    insta::assert_snapshot!(name, told);
}

#[test]
fn rolling() {
    check("rolling", include_str!("../../tests/rollout/rolling.txt"));
}

#[test]
fn blue_green() {
    check("blue-green", include_str!("../../tests/rollout/blue-green.txt"));
}

#[test]
fn going_back() {
    check("going-back", include_str!("../../tests/rollout/going-back.txt"));
}

#[test]
fn steady() {
    check("steady", include_str!("../../tests/rollout/steady.txt"));
}
