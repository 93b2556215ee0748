//! GitHub's paths below `/api/v3`: what each call does and answers.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use windlass_identity::{Role, Token, User};
use windlass_kernel::{Batch, Query, Secret, StoreExt as _, TokenId, UserId};
use windlass_pipeline::{Conclusion, Run};

use super::world::{World, finished, started};
use crate::runs::look;

const CI: (&str, &str) = (
    ".github/workflows/ci.yml",
    "name: CI\non:\n  workflow_dispatch:\n    inputs: {level: {type: choice, options: [low, high], required: true}}\n  repository_dispatch: {types: [go]}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: 'true'\n",
);

struct Scene {
    world: World,
    app: Router,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        world.pushed("shop", "ada", &[CI]).await;
        let ctx = &world.ctx;
        let password = Secret::new("a long password".to_owned());
        let account = User::new(
            UserId::new(&ctx.ids),
            "mia".parse().unwrap(),
            Role::Member,
            &password,
            ctx.now(),
            &*ctx.entropy,
        )
        .unwrap();
        let (token, text) =
            Token::issue(TokenId::new(&ctx.ids), &account.name, "t", ctx.now(), &*ctx.entropy);
        ctx.commit(Batch::new().create(&account).create(&token)).await.unwrap();
        let app = crate::control::router(&world.ctx);
        Self { app, token: text.secret().expose().to_owned(), world }
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::post(format!("/api/v3/repos/windlass/shop/{path}"))
            .header("authorization", format!("token {}", self.token))
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Body::from(body));
        let answer = self.app.clone().oneshot(request.unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn runs(&self) -> Vec<Run> {
        let found = self.world.store.list::<Run>(&Query::default()).await.unwrap();
        found.into_iter().map(|run| run.value).collect()
    }

    async fn run(&self) -> Run {
        self.runs().await.into_iter().next().unwrap()
    }
}

#[tokio::test]
async fn runs_are_started_cancelled_and_done_again_by_githubs_calls() {
    let scene = Scene::new().await;
    let dispatch = "actions/workflows/ci.yml/dispatches";
    let answer = scene.post(dispatch, &json!({"ref": "main", "inputs": {"level": "high"}})).await;
    assert_eq!(answer, (StatusCode::NO_CONTENT, Value::Null));
    let run = scene.run().await;
    assert_eq!((run.event.as_str(), &run.inputs["level"]), ("workflow_dispatch", &json!("high")));
    let of_run = |call: &str| format!("actions/runs/{}/{call}", run.id);

    // It runs, is cancelled, and its runner says that it ended.
    look(&scene.world.ctx, true).await;
    let job = scene.world.lease().await.unwrap().unwrap();
    scene.world.tell(&job, 1, &[started()]).await.unwrap();
    let (status, _) = scene.post(&of_run("rerun"), &Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "it has not ended");
    assert_eq!(scene.post(&of_run("cancel"), &Value::Null).await, (StatusCode::ACCEPTED, json!({})));
    assert!(scene.run().await.cancellation.is_some());
    let ended = windlass_api::runner::JobHappening::Finished {
        conclusion: windlass_api::Conclusion::Cancelled,
        reason: None,
        outputs: std::collections::BTreeMap::default(),
        environment_url: None,
    };
    scene.world.tell(&job, 2, &[ended]).await.unwrap();
    assert_eq!(scene.run().await.conclusion(), Some(Conclusion::Cancelled));
    let (status, problem) = scene.post(&of_run("cancel"), &Value::Null).await;
    assert!(status == StatusCode::CONFLICT && problem["detail"].is_string(), "{status} {problem}");

    // Again, all of it; then what did not succeed, which is nothing the second time.
    assert_eq!(scene.post(&of_run("rerun"), &Value::Null).await, (StatusCode::CREATED, json!({})));
    assert_eq!(scene.run().await.attempt, 2);
    look(&scene.world.ctx, true).await;
    let job = scene.world.lease().await.unwrap().unwrap();
    scene.world.tell(&job, 1, &[started(), finished()]).await.unwrap();
    assert_eq!(scene.run().await.conclusion(), Some(Conclusion::Success));
    let (status, problem) = scene.post(&of_run("rerun-failed-jobs"), &Value::Null).await;
    assert!(status.is_client_error() && problem["detail"].is_string(), "{status} {problem}");

    let answer = scene.post("dispatches", &json!({"event_type": "go", "client_payload": {"a": 1}})).await;
    assert_eq!(answer, (StatusCode::NO_CONTENT, Value::Null));
    let mut started: Vec<String> = scene.runs().await.iter().map(|run| run.event.clone()).collect();
    started.sort();
    assert_eq!(started, ["repository_dispatch", "workflow_dispatch"]);
}

#[tokio::test]
async fn what_cannot_be_done_is_answered_with_a_message() {
    let scene = Scene::new().await;
    let good = json!({"ref": "main", "inputs": {"level": "low"}});
    for (path, body, wanted) in [
        ("actions/workflows/none.yml/dispatches", good.clone(), StatusCode::NOT_FOUND),
        (
            "actions/workflows/ci.yml/dispatches",
            json!({"ref": "none", "inputs": {"level": "low"}}),
            StatusCode::NOT_FOUND,
        ),
        ("actions/runs/run_00000000000000000000000000/cancel", Value::Null, StatusCode::NOT_FOUND),
        ("actions/runs/run_00000000000000000000000000/rerun", Value::Null, StatusCode::NOT_FOUND),
        ("actions/runners", Value::Null, StatusCode::NOT_FOUND),
    ] {
        let (status, problem) = scene.post(path, &body).await;
        assert!(status == wanted && problem["detail"].is_string(), "{path}: {status} {problem}");
    }
    for body in
        [json!({"ref": "main"}), json!({"ref": "main", "inputs": {"level": "huge"}}), json!({"inputs": {}})]
    {
        let (status, problem) = scene.post("actions/workflows/ci.yml/dispatches", &body).await;
        assert!(status.is_client_error() && problem["detail"].is_string(), "{body}: {status} {problem}");
    }
    assert!(scene.runs().await.is_empty(), "nothing was started");
}
