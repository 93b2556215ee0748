//! People and their tokens.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use windlass_api as wire;

use crate::auth::Caller;
use crate::extract::{Json, Path};
use crate::problem::Reply;
use crate::state::Web;

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(users, create_user))
        .routes(routes!(tokens, create_token))
        .routes(routes!(revoke_token))
}

/// All accounts.
#[utoipa::path(get, path = "/api/v1/users", tag = "accounts", responses((status = 200, body = Vec<wire::UserView>)))]
async fn users(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::UserView>>> {
    Ok(Json(web.platform.users(&caller.who).await?))
}

/// Makes an account.
#[utoipa::path(post, path = "/api/v1/users", tag = "accounts", responses((status = 201, body = wire::UserView)))]
async fn create_user(
    State(web): State<Web>,
    caller: Caller,
    Json(user): Json<wire::CreateUser>,
) -> Reply<(StatusCode, Json<wire::UserView>)> {
    Ok((StatusCode::CREATED, Json(web.platform.create_user(&caller.who, user).await?)))
}

/// The caller's tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "accounts", responses((status = 200, body = Vec<wire::TokenView>)))]
async fn tokens(State(web): State<Web>, caller: Caller) -> Reply<Json<Vec<wire::TokenView>>> {
    Ok(Json(web.platform.tokens(&caller.who).await?))
}

/// Makes a token of the caller's. Its secret is told this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "accounts", responses((status = 201, body = wire::CreatedToken)))]
async fn create_token(
    State(web): State<Web>,
    caller: Caller,
    Json(token): Json<wire::CreateToken>,
) -> Reply<(StatusCode, Json<wire::CreatedToken>)> {
    Ok((StatusCode::CREATED, Json(web.platform.create_token(&caller.who, token).await?)))
}

/// Withdraws a token.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "accounts", responses((status = 204, description = "It is gone")))]
async fn revoke_token(State(web): State<Web>, caller: Caller, Path(id): Path<String>) -> Reply<StatusCode> {
    web.platform.revoke_token(&caller.who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
