//! The visitor's own account: tokens; for administrators also the others' accounts.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use windlass_api as wire;
use windlass_kernel::Secret;

use crate::page::{Chrome, Posted, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/account", get(account))
        .route("/account/tokens", post(create_token))
        .route("/account/tokens/revoke", post(revoke_token))
        .route("/account/users", post(create_user))
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    chrome: Chrome,
    me: wire::Me,
    tokens: Vec<wire::TokenView>,
    users: Option<Vec<wire::UserView>>,
    created: Option<wire::CreatedToken>,
}

async fn account(State(web): State<Web>, visitor: Visitor) -> Shown {
    account_page(&web, visitor, None).await
}

async fn account_page(web: &Web, visitor: Visitor, created: Option<wire::CreatedToken>) -> Shown {
    let tokens = web.platform.tokens(&visitor.who).await?;
    let admin = visitor.me.role == "admin";
    let users = if admin { Some(web.platform.users(&visitor.who).await?) } else { None };
    let chrome = visitor.chrome("Your account", "account");
    show(&AccountPage { chrome, me: visitor.me, tokens, users, created })
}

/// The page that answers holds the token: it is the only time that it is shown, so there is nothing to redirect to.
async fn create_token(State(web): State<Web>, posted: Posted) -> Shown {
    let token = wire::CreateToken { label: posted.text("label").to_owned() };
    let created = web.platform.create_token(&posted.visitor.who, token).await?;
    account_page(&web, posted.visitor, Some(created)).await
}

async fn revoke_token(State(web): State<Web>, posted: Posted) -> Shown {
    web.platform.revoke_token(&posted.visitor.who, posted.text("id")).await?;
    Ok(Redirect::to("/account").into_response())
}

async fn create_user(State(web): State<Web>, posted: Posted) -> Shown {
    let user = wire::CreateUser {
        name: posted.text("name").to_owned(),
        role: posted.text("role").to_owned(),
        password: Secret::new(posted.raw("password").to_owned()),
    };
    web.platform.create_user(&posted.visitor.who, user).await?;
    Ok(Redirect::to("/account#people").into_response())
}
