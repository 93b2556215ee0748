//! Signing in and out, and the first start.

use askama::Template;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use windlass_api::{ErrorCode, Problem};
use windlass_kernel::Secret;

use crate::page::{Chrome, PageError, Posted, Shown, Visitor, is_our_page, open_form, show};
use crate::pages::assets;
use crate::state::Web;
use crate::{auth, problem, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/setup", get(setup_page).post(setup))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    chrome: Chrome,
    next: String,
    name: String,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    chrome: Chrome,
    link: String,
    name: String,
    wrong: Option<String>,
    usable: bool,
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct SetupLink {
    #[serde(default)]
    link: String,
}

async fn sign_in_page(visitor: Result<Visitor, Response>, Query(query): Query<Next>) -> Shown {
    let next = if is_our_page(&query.next) { query.next } else { "/".into() };
    if visitor.is_ok() {
        return Ok(Redirect::to(&next).into_response());
    }
    show(&SignInPage { chrome: Chrome::bare("Sign in"), next, name: String::new(), wrong: None })
}

async fn sign_in(State(web): State<Web>, headers: HeaderMap, request: Request) -> Shown {
    let mut fields = open_form(request, &web).await?;
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let (name, password, next) = (take("name"), Secret::new(take("password")), take("next"));
    let next = if is_our_page(&next) { next } else { "/".into() };
    match web.platform.sign_in(name.trim(), &password).await {
        Ok(session) => with_cookie(Redirect::to(&next).into_response(), Some(&session), &headers),
        Err(refused) => {
            let chrome = Chrome::bare("Sign in");
            let status = problem::status(&refused);
            let page = SignInPage { chrome, next, name, wrong: Some(refused.detail) };
            Ok((status, show(&page)?).into_response())
        }
    }
}

async fn sign_out(State(web): State<Web>, headers: HeaderMap, posted: Posted) -> Shown {
    if let Some(session) = posted.visitor.session() {
        web.platform.sign_out(session).await?;
    }
    with_cookie(Redirect::to("/sign-in").into_response(), None, &headers)
}

async fn setup_page(State(web): State<Web>, Query(query): Query<SetupLink>) -> Shown {
    let chrome = Chrome::bare("Set up Windlass");
    let link = Secret::new(query.link);
    let checked = web.platform.check_setup(&link).await;
    let status = checked.as_ref().err().map_or(StatusCode::OK, problem::status);
    let usable = checked.is_ok();
    let wrong = checked.err().map(|p| p.detail);
    let page = SetupPage { chrome, link: link.expose().clone(), name: String::new(), wrong, usable };
    Ok((status, show(&page)?).into_response())
}

async fn setup(State(web): State<Web>, headers: HeaderMap, request: Request) -> Shown {
    let mut fields = open_form(request, &web).await?;
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let (link, name) = (Secret::new(take("link")), take("name"));
    let (password, again) = (Secret::new(take("password")), Secret::new(take("again")));
    let made = if password == again {
        web.platform.setup(&link, name.trim(), &password).await
    } else {
        Err(Problem::invalid("the two passwords differ"))
    };
    match made {
        Ok(session) => with_cookie(Redirect::to("/").into_response(), Some(&session), &headers),
        Err(refused) => {
            let chrome = Chrome::bare("Set up Windlass");
            let status = problem::status(&refused);
            let link = link.expose().clone();
            let page = SetupPage { chrome, link, name, wrong: Some(refused.detail), usable: true };
            Ok((status, show(&page)?).into_response())
        }
    }
}

fn with_cookie(mut response: Response, session: Option<&Secret<String>>, headers: &HeaderMap) -> Shown {
    let unfit = || PageError(Problem::new(ErrorCode::Internal, "the session cannot be kept in a cookie"));
    let cookie = auth::set_cookie(session, headers).ok_or_else(unfit)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
