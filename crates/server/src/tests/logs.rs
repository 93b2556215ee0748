//! A job's log by lines: while it is written, afterwards, and by whom.

use axum::body::Body;
use windlass_api as api;
use windlass_api::ErrorCode;
use windlass_api::runner as wire;
use windlass_identity::Role;
use windlass_kernel::Timestamp;

use super::runs::CI;
use super::world::{NOW, World, bearer, finished, person, started};

fn step(number: u32, log_start: u64, log_end: Option<u64>) -> wire::JobHappening {
    let ended = log_end.is_some();
    wire::JobHappening::Step {
        step: api::StepView {
            number,
            name: format!("step {number}"),
            state: if ended { api::State::Completed } else { api::State::Running },
            outcome: ended.then_some(api::Conclusion::Success),
            conclusion: ended.then_some(api::Conclusion::Success),
            started_at: Some(Timestamp::from_millis(NOW)),
            finished_at: ended.then(|| Timestamp::from_millis(NOW)),
            log_start,
            log_end,
        },
    }
}

#[tokio::test]
async fn a_log_is_read_by_lines_while_it_grows() {
    let world = World::new();
    world.pushed("shop", "ada", &[CI]).await;
    let job = world.lease().await.unwrap().unwrap();
    let (who, ada) = (bearer(&job), person("ada", Role::Viewer));
    let ctx = &world.ctx;
    let nothing = ctx.log_outline(&ada, &job.run, &job.job).await.unwrap();
    assert_eq!(nothing, api::LogOutline::default());

    world.tell(&job, 1, &[started(), step(1, 0, None)]).await.unwrap();
    let first = "set up\n##[group]Tools\nnone\n##[endgroup]\n";
    ctx.append_log(&who, &job.job, 0, Body::from(first)).await.unwrap();
    let second = "the tests\nthey pa";
    ctx.append_log(&who, &job.job, first.len() as u64, Body::from(second)).await.unwrap();
    world
        .tell(&job, 3, &[step(1, 0, Some(first.len() as u64)), step(2, first.len() as u64, None)])
        .await
        .unwrap();
    let outline = ctx.log_outline(&ada, &job.run, &job.job).await.unwrap();
    let part = |number, first, last| api::LogStep { number, first, last };
    assert_eq!((outline.lines, outline.ended), (5, false), "a line is one once it has ended");
    assert_eq!(outline.steps, [part(1, 1, 4), part(2, 5, 5)]);
    assert_eq!(outline.groups, [api::LogGroup { first: 2, last: 4, marked: true }]);

    world.tell(&job, 5, &[finished()]).await.unwrap();
    let outline = ctx.log_outline(&ada, &job.run, &job.job).await.unwrap();
    assert_eq!((outline.lines, outline.ended), (6, true), "nothing follows any more");
    let window = ctx.log_window(&ada, &job.run, &job.job, 5, 10).await.unwrap();
    assert_eq!((window.first, window.lines), (5, vec!["the tests".to_owned(), "they pa".to_owned()]));
    let found = ctx.log_search(&ada, &job.run, &job.job, "THEY", 1, 10).await.unwrap();
    assert_eq!((found.hits[0].line, found.next), (6, None));

    let long = "x".repeat(201);
    let refused = ctx.log_search(&ada, &job.run, &job.job, &long, 1, 10).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    let unknown = ctx.log_window(&ada, &job.run, "job_01kag0000000000000000000a1", 1, 1).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NotFound);
    let folder = world.dir.path().join("data/logs/jobs").join(&job.run);
    assert!(folder.join(format!("{}.idx", job.job)).exists());
}
