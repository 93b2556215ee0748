//! Services in networks of their own.

use std::net::TcpListener;

use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_have_a_service_on_one_port_at_once() {
    let Some(world) = World::new("two_jobs_have_a_service_on_one_port_at_once").await else { return };
    let body = |name: &str, place: &str| {
        format!(
            r#"
{place}
services:
  db:
    image: BOX
    ports: [5432]
    command: sh -c "mkdir /www && echo from {name} > /www/index.html && httpd -f -p 5432 -h /www"
steps:
  - shell: sh
    run: |
      sleep 1
      busybox wget -q -O - "http://ADDRESS/"
"#
        )
    };
    let inside = |name: &str| body(name, "container: BOX").replace("ADDRESS", "db:5432");
    let beside = body("three", "").replace("ADDRESS", "127.0.0.1:${{ job.services.db.ports['5432'] }}");
    let (one, two) = (inside("one"), inside("two"));
    let (one, two, three) = tokio::join!(world.run(&one), world.run(&two), world.run(&beside));
    one.succeeded().says("from one");
    two.succeeded().says("from two");
    three.succeeded().says("from three");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_machine_is_one_jobs_at_a_time() {
    let Some(world) = World::new("a_port_of_the_machine_is_one_jobs_at_a_time").await else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let body = format!(
        "services:\n  web:\n    image: BOX\n    ports: [\"{port}:80\"]\n    command: sleep 100\nsteps:\n  - run: echo never\n"
    );
    World::fails(&world.run(&body).await, &format!("port {port} of 127.0.0.1 cannot be had"));
    drop(taken);
    let body = body.replace("sleep 100", "httpd -f -p 80 -h /").replace(
        "echo never",
        &format!("busybox wget -q -O - http://127.0.0.1:{port}/kept; echo \"port ${{{{ job.services.web.ports['80'] }}}}\""),
    );
    world.run(&body).await.succeeded().says(&format!("port {port}")).says("above");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_reach_each_other_by_their_names() {
    let Some(world) = World::new("services_reach_each_other_by_their_names").await else { return };
    let ran = world
        .run(
            r#"
services:
  back:
    image: BOX
    command: httpd -f -p 8081 -h /
    options: --health-cmd "wget -q -O - http://127.0.0.1:8081/kept" --health-interval 1s
  front:
    image: BOX
    ports: [8080]
    command: sh -c "until wget -q -O /tmp/got http://back:8081/kept; do sleep 0.1; done; echo got $(cat /tmp/got); httpd -f -p 8080 -h /tmp"
    options: --health-cmd "wget -q -O - http://front:8080/got" --health-interval 5s
container: BOX
steps:
  - run: |
      echo "through front: $(wget -q -O - http://front:8080/got)"
      wget -q -T 2 -O - http://front:8081/ || echo "nobody listens there"
"#,
        )
        .await;
    ran.succeeded().says("got above").says("through front: above").says("nobody listens there");
}

/// What is listened on for one service in another's network is never in the way of that one's own programs.
#[tokio::test(flavor = "multi_thread")]
async fn two_services_of_a_job_listen_on_one_port() {
    let Some(world) = World::new("two_services_of_a_job_listen_on_one_port").await else { return };
    let service = |name: &str, wait: &str| {
        format!(
            "  {name}:\n    image: BOX\n    command: sh -c \"mkdir /www; echo {name} > /www/who; sleep {wait}; httpd -f -p 8080 -h /www\"\n    options: --health-cmd \"wget -q -O - http://127.0.0.1:8080/who\"\n"
        )
    };
    let body = format!(
        "container: BOX\nservices:\n{}{}steps:\n  - run: |\n      wget -q -O - http://one:8080/who\n      wget -q -O - http://two:8080/who\n",
        service("one", "0"),
        service("two", "1"),
    );
    world.run(&body).await.succeeded().says("one").says("two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_get_well_fails_the_job() {
    let Some(world) = World::new("a_service_that_does_not_get_well_fails_the_job").await else { return };
    let body = |more: &str| {
        format!(
            "services:\n  ill:\n    image: BOX\n{more}steps:\n  - run: echo never\n  - if: always()\n    run: echo never\n"
        )
    };
    let ran = world.run(&body("    command: sh -c \"echo about to fail; exit 7\"\n")).await;
    World::fails(&ran, "the service `ill` is exited (exit code 7)");
    ran.says("about to fail");
    let ran = world
        .run(&body(
            "    command: sh -c \"echo up; sleep 100\"\n    options: --health-cmd \"echo not yet; exit 1\" --health-interval 100ms --health-retries 2\n",
        ))
        .await;
    World::fails(&ran, "the service `ill` is unhealthy");
    assert!(ran.reason.clone().unwrap().contains("not yet"), "{:?}", ran.reason);
    ran.says("up");
    // An image's own check counts as well.
    let check = json!({"Test": ["CMD-SHELL", "exit 1"], "Interval": 50_000_000, "Retries": 1});
    let ill = world.served.put("own/box:ill", &world.image.clone().with("Healthcheck", check)).await;
    let ran = world.run(&body("    command: sleep 100\n").replace("BOX", &ill)).await;
    World::fails(&ran, "the service `ill` is unhealthy");
    let ran = world.run(&body("    command: /none\n")).await;
    World::fails(&ran, "no program `/none`");
}
