//! Reports that runs uploaded.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(run_reports))
        .routes(routes!(tests))
        .routes(routes!(coverage))
        .routes(routes!(findings))
}

/// Which branch.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Branch {
    /// The branch, such as `main`, or a full ref.
    branch: String,
    /// Only tests whose names hold this.
    #[serde(default)]
    q: String,
}

/// The tests, the coverage and the findings that a run uploaded.
#[utoipa::path(get, path = "/api/v1/runs/{run}/reports", tag = "reports", responses((status = 200, body = wire::RunReports)))]
async fn run_reports(
    State(web): State<Web>,
    caller: Caller,
    Path(run): Path<String>,
) -> Reply<Json<wire::RunReports>> {
    Ok(Json(web.platform.run_reports(&caller.who, &run).await?))
}

/// A branch's tests from run to run: those that fail or are flaky first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/reports/tests", tag = "reports", params(Branch), responses((status = 200, body = wire::TestHistoryView)))]
async fn tests(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(of): Query<Branch>,
) -> Reply<Json<wire::TestHistoryView>> {
    Ok(Json(web.platform.test_history(&caller.who, &project, &of.branch, &of.q).await?))
}

/// A branch's coverage from run to run.
#[utoipa::path(get, path = "/api/v1/projects/{project}/reports/coverage", tag = "reports", params(Branch), responses((status = 200, body = Vec<wire::CoverageTrend>)))]
async fn coverage(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(of): Query<Branch>,
) -> Reply<Json<Vec<wire::CoverageTrend>>> {
    Ok(Json(web.platform.coverage_trend(&caller.who, &project, &of.branch).await?))
}

/// A branch's findings: those that stand, and those that are gone.
#[utoipa::path(get, path = "/api/v1/projects/{project}/reports/findings", tag = "reports", params(Branch), responses((status = 200, body = wire::BranchFindings)))]
async fn findings(
    State(web): State<Web>,
    caller: Caller,
    Path(project): Path<String>,
    Query(of): Query<Branch>,
) -> Reply<Json<wire::BranchFindings>> {
    Ok(Json(web.platform.branch_findings(&caller.who, &project, &of.branch).await?))
}
