//! From a push to production: approval, the very same digest, automatic and instant rollback, no request lost.

use serde_json::json;
use windlass_api::{ApprovalView, Conclusion, DeploymentState, ErrorCode, LogLine, ServiceMetrics};

use crate::platform::{App, Platform, Traffic, request, wait_for};

#[test]
fn a_push_goes_to_staging_waits_for_another_persons_approval_and_serves_the_same_digest_in_production() {
    const NAME: &str = "delivery: push to production";
    let Some(app) = App::with_approval(NAME) else { return };
    let Some(platform) = Platform::start(NAME) else { return };
    deliver(&platform, &app);
}

/// The whole way once; also walked in the sandbox's fallbacks.
pub(crate) fn deliver(platform: &Platform, app: &App) {
    let (_repository, sha) = app.ship(platform, "shop");
    let id = platform.run_of("shop", &sha).summary.id;
    let asked = platform.approval(&id);
    assert_eq!(asked.environment, "production");
    let staged = platform.environment("shop", "staging").live.expect("a release is live in staging");
    let digest = staged.images["app"].clone();
    assert_eq!(asked.digests["app"], digest, "what is to be approved is what staging runs");
    let reply = request(platform, &App::host("staging"), "/").unwrap();
    assert_eq!((reply.status, reply.body.trim()), (200, "version 1"));
    let reply = request(platform, &App::host("production"), "/").unwrap();
    assert_ne!(reply.status, 200, "production serves before it was approved: {}", reply.body);

    // The pusher's own approval does not count; another's does.
    let path = format!("/api/v1/approvals/{}", asked.id);
    let own = platform.post_as::<ApprovalView>(&platform.token, &path, &json!({"approve": true}));
    let own = own.expect_err("the pusher approved what they pushed");
    assert_eq!(own.code(), Some(ErrorCode::Forbidden), "{own}");
    let refused = platform.run(&["approve", &id]);
    assert_eq!(refused.status.code(), Some(4), "{}", crate::platform::told(&refused));
    let dana = platform.account("dana", "member");
    let body = json!({"approve": true, "comment": "looks good"});
    let given: ApprovalView = platform.post_as(&dana, &path, &body).unwrap();
    assert_eq!(given.state, "approved");

    let run = platform.concludes("shop", &sha, Conclusion::Success);
    assert_eq!(run.deployments.len(), 2, "{:?}", run.deployments);
    let live = platform.environment("shop", "production").live.expect("a release is live in production");
    assert_eq!(live.images["app"], digest, "production runs another image than staging did");
    let reply = request(platform, &App::host("production"), "/").unwrap();
    assert_eq!((reply.status, reply.body.trim()), (200, "version 1"));

    let ledger = platform.assert_ledger_whole();
    let approvals: Vec<_> = ledger.iter().filter(|e| e.kind == "approval.given").collect();
    assert_eq!(approvals.len(), 1, "{approvals:#?}");
    assert_eq!(approvals[0].actor, "user:dana");
    assert_eq!(approvals[0].data["digests"]["app"], digest.as_str(), "{:#?}", approvals[0]);
    assert!(platform.ok(&["audit", "verify"]).contains(&ledger.len().to_string()));
}

#[test]
fn a_version_that_is_not_healthy_goes_back_by_itself_and_no_request_is_lost_either_way() {
    const NAME: &str = "delivery: rollback";
    let Some(mut app) = App::staging_only(NAME) else { return };
    app.deadline = 3;
    app.service = vec!["replicas: 2".to_owned()];
    let Some(platform) = Platform::start(NAME) else { return };
    let (repository, sha) = app.ship(&platform, "shop");
    platform.concludes("shop", &sha, Conclusion::Success);
    let first = platform.environment("shop", "staging").live.unwrap();
    let traffic = Traffic::start(&platform, &App::host("staging"));

    // A version whose health check fails.
    repository.write("files/version", "2").write("files/sick", "the database is away");
    let bad = repository.ship(&platform, "Version 2, which is sick");
    let run = platform.concludes("shop", &bad, Conclusion::Failure);
    let failed = platform.deployments("shop", "staging").remove(0);
    assert_eq!(failed.state, DeploymentState::RolledBack, "{}", failed.reason);
    assert!(failed.reason.contains("health"), "the reason does not say it: {}", failed.reason);
    let health = failed.last_health.clone().unwrap_or_default();
    assert!(health.contains("500") && health.contains("the database is away"), "{health}");
    let lines = failed.last_lines.join("\n");
    assert!(lines.contains("version 2 starts"), "the instance's last lines: {lines}");
    let log = platform.log(&run, "staging");
    assert!(log.contains("the database is away") && log.contains("version 2 starts"), "{log}");
    assert_eq!(platform.environment("shop", "staging").live.unwrap().id, first.id);

    // One that ends at once.
    repository.write("files/version", "3").write("files/sick", "crash");
    let bad = repository.ship(&platform, "Version 3, which crashes");
    platform.concludes("shop", &bad, Conclusion::Failure);
    let crashed = platform.deployments("shop", "staging").remove(0);
    assert_eq!(crashed.state, DeploymentState::RolledBack, "{}", crashed.reason);
    assert!(crashed.last_lines.join("\n").contains("crashed on purpose"), "{:?}", crashed.last_lines);
    for version in ["version 2", "version 3"] {
        assert_eq!(traffic.answers(version), 0, "{version} has answered a request");
    }

    // A good one.
    repository.remove("files/sick").write("files/version", "4");
    let good = repository.ship(&platform, "Version 4");
    platform.concludes("shop", &good, Conclusion::Success);
    wait_for("answers of version 4", 20, || (traffic.answers("version 4") > 5).then_some(()));

    // And back by hand: the instances are warm.
    let environment = platform.environment("shop", "staging");
    assert_eq!(environment.warm.map(|w| w.id), Some(first.id.clone()));
    platform.ok(&["rollback", "shop", "staging"]);
    assert_eq!(platform.environment("shop", "staging").live.unwrap().id, first.id);
    assert_eq!(request(&platform, &App::host("staging"), "/").unwrap().body.trim(), "version 1");
    let back = platform.deployments("shop", "staging").remove(0);
    assert_eq!((back.cause.as_str(), back.state), ("rollback", DeploymentState::Succeeded));
    assert!(!back.log.iter().any(|s| s.text.starts_with("start")) || back.log.len() < 10, "{:#?}", back.log);
    assert!(traffic.stop_unharmed() > 100, "too little traffic to mean anything");
    platform.assert_ledger_whole();
}

#[test]
fn blue_green_switches_at_once_and_requests_under_way_are_finished() {
    const NAME: &str = "delivery: blue-green";
    let Some(mut app) = App::staging_only(NAME) else { return };
    app.service = vec!["replicas: 2".to_owned(), "strategy: blue-green".to_owned()];
    let Some(platform) = Platform::start(NAME) else { return };
    let (repository, sha) = app.ship(&platform, "shop");
    platform.concludes("shop", &sha, Conclusion::Success);
    let traffic = Traffic::start(&platform, &App::host("staging"));
    repository.write("files/version", "2");
    let sha = repository.ship(&platform, "Version 2");
    let run = platform.run_of("shop", &sha).summary.id;
    // Requests of a second each, from before the switch until after it.
    let slow = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut failures = Vec::new();
            for _ in 0..200 {
                match request(&platform, &App::host("staging"), "/slow?0.7") {
                    Ok(reply) if reply.status == 200 && reply.body.contains("slow 2") => break,
                    Ok(reply) if reply.status == 200 => {}
                    Ok(reply) => failures.push(format!("{} {}", reply.status, reply.body)),
                    Err(e) => failures.push(e.to_string()),
                }
            }
            failures
        });
        platform.ended(&run, 90);
        asking.join().unwrap()
    });
    assert!(slow.is_empty(), "slow requests failed: {slow:?}");
    platform.concludes("shop", &sha, Conclusion::Success);
    wait_for("answers of version 2", 20, || (traffic.answers("version 2") > 5).then_some(()));
    observed(&platform);
    traffic.stop_unharmed();
    let headers = request(&platform, &App::host("staging"), "/headers").unwrap().body;
    for header in ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-request-id: "] {
        assert!(headers.contains(header), "{header} is missing: {headers}");
    }
}

/// What a service's pages show, without anything set up.
fn observed(platform: &Platform) {
    let path = "/api/v1/projects/shop/environments/staging/services/app";
    let lines = wait_for("the service's log lines", 20, || {
        let lines: Vec<LogLine> = platform.get(&format!("{path}/logs?q=starts"));
        (lines.len() >= 4).then_some(lines)
    });
    assert!(lines.iter().any(|l| l.text.contains("version 2 starts on port")), "{lines:#?}");
    wait_for("figures of the service", 60, || {
        let figures: ServiceMetrics = platform.get(&format!("{path}/metrics?minutes=5"));
        let seen = |series: &[Option<f64>]| series.iter().flatten().any(|v| *v > 0.0);
        let all = [&figures.request_rate, &figures.p50, &figures.cpu, &figures.memory];
        (all.iter().all(|s| seen(s)) && figures.own.iter().any(|n| n == "app_requests_total")).then_some(())
    });
    let reply = crate::platform::page(platform, "/metrics");
    assert!(reply.head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{}", reply.head);
    assert!(reply.body.contains("windlass_"), "{}", reply.body);
}
