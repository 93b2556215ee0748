//! The command line against a running platform: what it tells, its exit codes, and that `down` leaves nothing.

use serde_json::Value;
use windlass_api::{Conclusion, State};

use crate::platform::{App, Platform, Repository, job, told, wanted};

#[test]
fn status_doctor_and_lists_tell_what_is_so() {
    let Some(platform) = Platform::start("command line: status") else { return };
    let status: Value = serde_json::from_str(&platform.ok(&["status", "--json"])).unwrap();
    assert_eq!(status["url"], platform.url.as_str());
    let text = platform.ok(&["status"]);
    for word in ["control", "gateway", "runner", &platform.url, &platform.gateway] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let doctor = platform.ok(&["doctor"]);
    for word in ["sandbox", "git", "level in force"] {
        assert!(doctor.contains(word), "{word} is not in {doctor}");
    }
    let audit: Value = serde_json::from_str(&platform.ok(&["audit", "verify", "--json"])).unwrap();
    assert_eq!(audit["intact"], true);
    platform.ok(&["project", "create", "shop"]);
    assert!(platform.ok(&["project", "list"]).contains("shop"));
    let token = std::fs::read_to_string(platform.data.join("run/setup.token")).unwrap();
    let page = crate::platform::page(&platform, &format!("/setup?link={}", token.trim()));
    assert_eq!(page.status, 200, "the set-up link of the first start does not open");
}

#[test]
fn exit_codes_tell_why() {
    let Some(mut platform) = Platform::start("command line: exit codes") else { return };
    for (arguments, code) in [
        (&["run", "view", "run_01m7wey6dqkgbpbeftm1k5mn2r"][..], 3),
        (&["project", "show", "nothing"], 3),
        (&["rollback", "nothing", "staging"], 3),
        (&["frobnicate"], 2),
        (&["secret", "set"], 2),
        (&["status"], 0),
    ] {
        let output = platform.run(arguments);
        assert_eq!(output.status.code(), Some(code), "windlass {arguments:?}: {}", told(&output));
        assert!(code == 0 || !output.stderr.is_empty(), "windlass {arguments:?} does not say why");
    }
    let mut refused = platform.command(&["project", "create", "x"]);
    refused.env("WINDLASS_URL", &platform.url).env("WINDLASS_TOKEN", "wrong");
    let refused = refused.output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    platform.down().unwrap();
    let gone = platform.run(&["status"]);
    assert_eq!(gone.status.code(), Some(5), "{}", told(&gone));
    let again = platform.run(&["down"]);
    assert!(again.status.success(), "`down` twice: {}", told(&again));
}

#[test]
fn down_stops_instances_and_jobs_and_up_goes_on_from_there() {
    const NAME: &str = "command line: down";
    let Some(app) = App::staging_only(NAME) else { return };
    let Some(mut platform) = Platform::start(NAME) else { return };
    let (_, sha) = app.ship(&platform, "shop");
    platform.concludes("shop", &sha, Conclusion::Success);
    let repository = Repository::new(&platform, "long");
    let text = "on: push\njobs:\n  long:\n    runs-on: ubuntu-latest\n    steps:\n      \
                - run: |\n          echo begun\n          test -e /tmp/nothing || sleep ${{ github.run_attempt }}00\n";
    repository.write(".github/workflows/long.yml", text);
    let sha = repository.ship(&platform, "A long job");
    let id = platform.run_of("long", &sha).summary.id;
    platform.says(&id, "long", "begun");
    platform.down().unwrap();

    platform.up();
    // The service comes back by itself; the job is queued again and says why.
    crate::platform::wait_for("the service to serve again", 30, || {
        let reply = crate::platform::request(&platform, &App::host("staging"), "/").ok()?;
        (reply.status == 200).then_some(())
    });
    let again = crate::platform::wait_for("the job to run again", 60, || {
        let run = platform.run_now(&id)?;
        let job = job(&run, "long").clone();
        (job.tries == 2 && job.state == State::Running).then_some(job)
    });
    assert!(again.reason.is_some_and(|r| !r.is_empty()), "it does not say why it runs again");
    platform.ok(&["run", "cancel", &id]);
    assert_eq!(platform.ended(&id, 60).summary.conclusion, Some(Conclusion::Cancelled));
    platform.assert_ledger_whole();
}

#[test]
fn a_second_platform_on_the_same_folder_or_port_is_refused_and_told_why() {
    let Some(platform) = Platform::start("command line: second platform") else { return };
    let second = platform.run(&["up", "--listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"]);
    let text = told(&second);
    assert!(!second.status.success(), "a second platform owns the same folder");
    assert!(text.contains(&platform.supervisor().to_string()), "the owner is not named: {text}");
    assert!(text.contains("in use"), "{text}");

    for (flag, address) in [("--listen", platform.address()), ("--gateway-listen", &platform.gateway[7..])] {
        let elsewhere = platform.folder().join("elsewhere").display().to_string();
        let (listen, gateway) =
            if flag == "--listen" { (address, "127.0.0.1:0") } else { ("127.0.0.1:0", address) };
        let mut command = std::process::Command::new(crate::platform::WINDLASS);
        command.args(["up", "--data", &elsewhere, "--listen", listen, "--gateway-listen", gateway]);
        let output = command.output().unwrap();
        let text = told(&output);
        assert!(!output.status.success(), "{flag} {address} was taken twice");
        let port = address.rsplit(':').next().unwrap();
        assert!(text.contains(port) && text.contains("in use") && text.contains(flag), "{text}");
    }
}

#[test]
fn other_machines_are_not_let_in_unasked() {
    const NAME: &str = "command line: exposure";
    if !wanted(NAME) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(crate::platform::WINDLASS)
        .args(["up", "--listen", "0.0.0.0:0", "--data"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("--expose"), "{}", told(&output));
}
