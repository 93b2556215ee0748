//! Every action against every kind of principal, on every kind of resource.

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_kernel::Ids;
use windlass_testkit::{TestClock, TestEntropy};

use super::*;

/// Columns: admin, member, viewer, a job on its own things, a runner, contributor.
const TABLE: &str = "
ReadPlatform      y y y - - y
CreateProject     y y - - - -
DeleteProject     y - - - - -
ReadProject       y y y y - y
ReadCode          y y y y - y
PushCode          y y - - - -
ProposeChange     y y - - - y
ReadRuns          y y y y - y
ReadLogs          y y y y - y
StartRun          y y - - - -
CancelRun         y y - - - -
RerunRun          y y - - - -
Approve           y y - - - -
Deploy            y y - y - -
Rollback          y y - - - -
ReadSettings      y y - - - -
WriteSettings     y y - - - -
ManageOwnAccount  y y y - - y
ManageUsers       y - - - - -
ReadAudit         y - - - - -
PullImage         y y y y - y
PushImage         y y - y - -
DeleteImage       y - - - - -
ManageRegistry    y - - - - -
LeaseJobs         - - - - y -
ReportJob         - - - y - -
UseRunArtifacts   - - - y - -
UseCaches         - - - y - -
RequestIdToken    - - - - - -
";

struct World {
    run: RunId,
    job: JobId,
    principals: Vec<Principal>,
    own: Vec<Resource>,
    foreign: Vec<Resource>,
}

fn world() -> World {
    let ids = Ids::new(Arc::new(TestClock::at(0)), Arc::new(TestEntropy::default()));
    let shop: ProjectName = "shop".parse().unwrap();
    let other: ProjectName = "other".parse().unwrap();
    let (run, job, other_run, other_job) =
        (RunId::new(&ids), JobId::new(&ids), RunId::new(&ids), JobId::new(&ids));
    let user = |name: &str, role| Principal::user(&name.parse().unwrap(), role);
    let at = |project: &ProjectName, run, job| {
        let project = project.clone();
        vec![
            Resource::Project(project.clone()),
            Resource::Run { project: project.clone(), run },
            Resource::Job { project, run, job },
        ]
    };
    let mut own = vec![Resource::Platform];
    own.extend(at(&shop, run, job));
    let mut foreign = at(&other, run, job);
    foreign.extend(at(&other, other_run, other_job));
    foreign.extend(at(&shop, other_run, other_job).into_iter().skip(1));
    foreign.push(Resource::Job { project: shop.clone(), run, job: other_job });
    let principals = vec![
        user("ada", Role::Admin),
        user("max", Role::Member),
        user("vera", Role::Viewer),
        Principal::job(&shop, run, job),
        Principal::runner("local"),
        user("eve", Role::Contributor),
    ];
    World { run, job, principals, own, foreign }
}

fn action(name: &str) -> Action {
    *Action::ALL.iter().find(|a| format!("{a:?}") == name).unwrap_or_else(|| panic!("no action {name}"))
}

#[test]
fn the_table_holds_and_names_every_action() {
    let world = world();
    let mut seen = BTreeSet::new();
    for line in TABLE.lines().filter(|l| !l.is_empty()) {
        let mut cells = line.split_whitespace();
        let name = cells.next().unwrap();
        let action = action(name);
        assert!(seen.insert(name), "{name} stands twice");
        let cells: Vec<&str> = cells.collect();
        assert_eq!(cells.len(), world.principals.len(), "{line}");
        for (principal, cell) in world.principals.iter().zip(cells) {
            // Allowed means: on at least one of the things that are its own; and never where the kind does not fit.
            let allowed: Vec<&Resource> =
                world.own.iter().filter(|r| authorize(principal, action, r).is_ok()).collect();
            assert_eq!(!allowed.is_empty(), cell == "y", "{name} by {:?}: {allowed:?}", principal.role);
            assert!(allowed.iter().all(|r| fits(action, r)));
        }
    }
    assert_eq!(seen.len(), Action::ALL.len(), "the table leaves an action out");
}

#[test]
fn people_may_do_the_same_everywhere_the_kind_fits() {
    let world = world();
    for principal in world.principals[..3].iter().chain(&world.principals[5..]) {
        for &action in Action::ALL {
            let answers: BTreeSet<bool> = world
                .own
                .iter()
                .chain(&world.foreign)
                .filter(|r| fits(action, r))
                .map(|r| authorize(principal, action, r).is_ok())
                .collect();
            assert_eq!(answers.len(), 1, "{action:?} by {:?}", principal.role);
        }
    }
}

#[test]
fn a_job_reaches_nothing_of_others() {
    let world = world();
    let job = &world.principals[3];
    for &action in Action::ALL {
        for resource in &world.foreign {
            assert!(authorize(job, action, resource).is_err(), "{action:?} on {resource:?}");
        }
    }
}

#[test]
fn a_job_deploys_only_as_itself_and_reads_runs_only_its_own() {
    let world = world();
    let job = &world.principals[3];
    let shop: ProjectName = "shop".parse().unwrap();
    let whole = Resource::Project(shop.clone());
    let own = Resource::Job { project: shop, run: world.run, job: world.job };
    assert!(authorize(job, Action::Deploy, &whole).is_err());
    assert!(authorize(job, Action::Deploy, &own).is_ok());
    assert!(authorize(job, Action::ReadLogs, &whole).is_err());
    assert!(authorize(job, Action::ReadLogs, &own).is_ok());
}

#[test]
fn a_token_for_one_project_ends_there() {
    let mut admin = world().principals.remove(0);
    admin.scope = Scope::Project("shop".parse().unwrap());
    let project = |name: &str| Resource::Project(name.parse().unwrap());
    assert!(authorize(&admin, Action::PushCode, &project("shop")).is_ok());
    assert!(authorize(&admin, Action::PushCode, &project("other")).is_err());
    assert!(authorize(&admin, Action::ManageUsers, &Resource::Platform).is_err());
}

#[test]
fn a_role_without_its_scope_gives_nothing() {
    // A job's role with a person's reach cannot come about; should it, nothing is allowed.
    let mut forged = world().principals.remove(3);
    forged.scope = Scope::Platform;
    for &action in Action::ALL {
        for resource in &world().own {
            assert!(authorize(&forged, action, resource).is_err(), "{action:?} on {resource:?}");
        }
    }
}

#[test]
fn a_refusal_names_who_what_and_which_role_it_takes() {
    let world = world();
    let denied =
        authorize(&world.principals[2], Action::PushCode, &Resource::Project("shop".parse().unwrap()));
    assert_eq!(
        denied.unwrap_err().to_string(),
        "user:vera may not push to this project: that needs the role member"
    );
}

/// What each of a job's tokens may do on its own things, beyond that project and run may be seen.
#[test]
fn each_of_a_jobs_tokens_opens_its_own_things_only() {
    use Action as A;
    let world = world();
    let shop: ProjectName = "shop".parse().unwrap();
    let write = |set: fn(&mut Permissions)| {
        let mut permissions = Permissions::default();
        set(&mut permissions);
        JobUse::Steps(permissions)
    };
    let seen = [A::ReadProject, A::ReadRuns, A::ReadLogs];
    let cases: [(JobUse, &[A]); 8] = [
        (JobUse::Results, &[A::UseRunArtifacts, A::UseCaches]),
        (JobUse::IdToken, &[A::RequestIdToken]),
        (write(|_| ()), &[]),
        (JobUse::Steps(Permissions::RESTRICTED), &[A::ReadCode, A::PullImage]),
        (write(|p| p.contents = Grant::Write), &[A::ReadCode, A::PushCode]),
        (write(|p| p.packages = Grant::Write), &[A::PullImage, A::PushImage]),
        (write(|p| p.actions = Grant::Write), &[A::StartRun, A::CancelRun, A::RerunRun]),
        (write(|p| p.actions = Grant::Read), &[]),
    ];
    for (usage, extra) in cases {
        let who = Principal::job_for(&shop, world.run, world.job, usage);
        for &action in A::ALL {
            let allowed = world.own.iter().any(|r| authorize(&who, action, r).is_ok());
            let steps = matches!(usage, JobUse::Steps(_)) && seen.contains(&action);
            assert_eq!(allowed, extra.contains(&action) || steps, "{action:?} with {usage:?}");
        }
    }
}

/// What runs a change from outside does its work within its run, and nothing that others would see as the project's.
#[test]
fn the_unit_of_an_untrusted_job_brings_nothing_out() {
    let world = world();
    let shop: ProjectName = "shop".parse().unwrap();
    let as_unit = |usage| Principal::job_for(&shop, world.run, world.job, usage);
    let (trusted, untrusted) = (as_unit(JobUse::Unit), as_unit(JobUse::UntrustedUnit));
    for &action in Action::ALL {
        for resource in world.own.iter().chain(&world.foreign) {
            let taken = matches!(action, Action::PushImage | Action::Deploy);
            let wanted = authorize(&trusted, action, resource).is_ok() && !taken;
            assert_eq!(authorize(&untrusted, action, resource).is_ok(), wanted, "{action:?} {resource:?}");
        }
    }
    let denied = authorize(&untrusted, Action::PushImage, &Resource::Project(shop)).unwrap_err();
    assert!(denied.why.contains("proposed from outside"), "{denied}");
}

#[test]
fn steps_reach_other_runs_of_their_project_only_by_the_scope_actions_and_never_other_projects() {
    let world = world();
    let shop: ProjectName = "shop".parse().unwrap();
    for (permissions, reads, steers) in [
        (Permissions::RESTRICTED, false, false),
        (Permissions::READ_ALL, true, false),
        (Permissions::WRITE_ALL, true, true),
    ] {
        let who = Principal::job_for(&shop, world.run, world.job, JobUse::Steps(permissions));
        for resource in &world.foreign {
            let sibling = resource.project() == Some(&shop);
            let may = |action| authorize(&who, action, resource).is_ok();
            assert_eq!(may(Action::ReadLogs), reads && sibling, "{permissions:?} {resource:?}");
            assert_eq!(may(Action::CancelRun), steers && sibling, "{permissions:?} {resource:?}");
            assert!(!may(Action::Deploy) && !may(Action::ReportJob) && !may(Action::UseRunArtifacts));
        }
    }
}

#[test]
fn a_refusal_of_steps_says_which_permission_it_takes() {
    let world = world();
    let shop: ProjectName = "shop".parse().unwrap();
    let who = Principal::job_for(&shop, world.run, world.job, JobUse::Steps(Permissions::RESTRICTED));
    let denied = authorize(&who, Action::PushCode, &Resource::Project(shop)).unwrap_err().to_string();
    assert!(denied.contains("`permissions: contents: write`"), "{denied}");
}
