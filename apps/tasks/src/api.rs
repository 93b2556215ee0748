//! The routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::answer::{Problem, answer, text};
use crate::metrics::{self, Metrics};
use crate::observe::observe;
use crate::{Change, Filter, NewTask, Store, StoreError, Task, timestamp};

/// The largest body that is read, in bytes.
pub const LARGEST_BODY: usize = 64 << 10;

/// So much of a body that is too large is still taken off the wire, so that its sender sees the answer.
const LARGEST_DRAINED: usize = 8 << 20;

/// How long a body may take to come.
const SLOWEST_BODY: Duration = Duration::from_secs(10);

/// Every route: method and template. The description is held against it by a test.
pub const ROUTES: [(&str, &str); 9] = [
    ("get", "/"),
    ("get", "/health"),
    ("get", "/metrics"),
    ("get", "/openapi.yaml"),
    ("get", "/tasks"),
    ("post", "/tasks"),
    ("get", "/tasks/{id}"),
    ("put", "/tasks/{id}"),
    ("delete", "/tasks/{id}"),
];

type Answer = Result<Response, Problem>;
type Id = Result<Path<String>, PathRejection>;
type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

#[derive(Clone)]
struct Desk {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
}

/// The API over a store.
pub fn router(store: Arc<Store>) -> Router {
    let metrics = Arc::new(Metrics::default());
    Router::new()
        .route("/", get(index))
        .route("/health", get(health))
        .route("/metrics", get(expose))
        .route("/openapi.yaml", get(description))
        .route("/tasks", get(list).post(create))
        .route("/tasks/{id}", put(update).get(show).delete(remove))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .layer(axum::middleware::from_fn_with_state(metrics.clone(), observe))
        .with_state(Desk { store, metrics })
}

async fn index() -> Response {
    let links = json!({ "name": "tasks", "version": env!("CARGO_PKG_VERSION"), "docs": "/openapi.yaml", "tasks": "/tasks" });
    answer(StatusCode::OK, &links)
}

async fn description() -> Response {
    text(StatusCode::OK, "application/yaml; charset=utf-8", crate::OPENAPI)
}

async fn health(State(desk): State<Desk>) -> Response {
    let (status, word) = match desk.database(Store::ping).await {
        Ok(()) => (StatusCode::OK, "healthy"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    answer(status, &json!({ "status": word, "timestamp": timestamp() }))
}

async fn expose(State(desk): State<Desk>) -> Response {
    text(StatusCode::OK, metrics::CONTENT_TYPE, desk.metrics.render())
}

async fn list(State(desk): State<Desk>, parameters: Parameters) -> Answer {
    let Query(parameters) = parameters.map_err(|_| Problem::bad("the query cannot be read"))?;
    let filter = Filter::parse(&parameters).map_err(Problem::bad)?;
    let (tasks, total) = desk.database(move |store| store.list(&filter)).await?;
    let mut response = answer(StatusCode::OK, &tasks.iter().map(Task::to_json).collect());
    response.headers_mut().insert("x-total-count", HeaderValue::from(total));
    Ok(response)
}

async fn create(State(desk): State<Desk>, body: Body) -> Answer {
    let task = NewTask::parse(&read(body).await?).map_err(Problem::bad)?;
    let id = desk.database(move |store| store.create(&task)).await?;
    let mut response = answer(StatusCode::CREATED, &json!({ "id": id, "message": "task created" }));
    if let Ok(location) = HeaderValue::from_str(&format!("/tasks/{id}")) {
        response.headers_mut().insert("location", location);
    }
    Ok(response)
}

async fn show(State(desk): State<Desk>, id: Id) -> Answer {
    let id = number(id)?;
    let task = desk.database(move |store| store.get(id)).await?.ok_or_else(Problem::no_task)?;
    Ok(answer(StatusCode::OK, &task.to_json()))
}

async fn update(State(desk): State<Desk>, id: Id, body: Body) -> Answer {
    let id = number(id)?;
    let change = Change::parse(&read(body).await?).map_err(Problem::bad)?;
    let task = desk.database(move |store| store.update(id, &change)).await?.ok_or_else(Problem::no_task)?;
    Ok(answer(StatusCode::OK, &json!({ "id": id, "message": "task updated", "task": task.to_json() })))
}

async fn remove(State(desk): State<Desk>, id: Id) -> Answer {
    let id = number(id)?;
    if !desk.database(move |store| store.delete(id)).await? {
        return Err(Problem::no_task());
    }
    Ok(answer(StatusCode::OK, &json!({ "id": id, "message": "task deleted" })))
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here; /openapi.yaml says what there is")
}

async fn not_this_way() -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not possible here").into_response()
}

/// The id in the path. What cannot be an id is the id of no task.
fn number(id: Id) -> Result<i64, Problem> {
    let id = id.ok().and_then(|Path(text)| text.parse::<i64>().ok());
    id.filter(|id| *id > 0).ok_or_else(Problem::no_task)
}

/// A request's body, up to the limit.
async fn read(mut body: Body) -> Result<Vec<u8>, Problem> {
    let reading = async {
        let (mut kept, mut size) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad("the body broke off"))?;
            let data = frame.into_data().unwrap_or_else(|_| Bytes::new());
            size += data.len();
            if size <= LARGEST_BODY {
                kept.extend_from_slice(&data);
            } else if size > LARGEST_DRAINED {
                break;
            }
        }
        if size > LARGEST_BODY {
            let message = format!("the body is too large; at most {LARGEST_BODY} bytes are read");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Ok(kept)
    };
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to come");
    tokio::time::timeout(SLOWEST_BODY, reading).await.map_err(slow)?
}

impl Desk {
    /// Works on the database in a thread that may block.
    async fn database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => Ok(result?),
            Err(e) => Err(Problem::internal(&e)),
        }
    }
}
