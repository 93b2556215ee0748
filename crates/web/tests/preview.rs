//! Renders every page over a made-up platform and follows every link. With `WINDLASS_PREVIEW_ADDR=127.0.0.1:7799` it
//! serves the same pages instead, to be looked at.

#[path = "fake/platform.rs"]
mod fake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use fake::Fake;
use fake::data::{EVIL, RED, RUN};
use tower::ServiceExt as _;
use windlass_kernel::{Clock, SystemClock};
use windlass_testkit::TestClock;

const NOW: i64 = 1_795_000_000_000;

/// Pages that nothing links to.
const SEEDS: [&str; 7] = [
    "/",
    "/sign-in",
    "/setup?link=once",
    "/projects?q=x",
    "/audit?verify=1",
    "/evidence?image=tasks",
    "/projects/prompts/files",
];

fn app(fake: &Arc<Fake>, clock: Arc<dyn Clock>) -> Router {
    windlass_web::router(fake.clone(), fake.clone(), clock)
}

#[tokio::test]
async fn every_page_renders_every_link_resolves_and_every_text_stays_inert() {
    if let Ok(address) = std::env::var("WINDLASS_PREVIEW_ADDR") {
        return serve(&address).await;
    }
    let fake = Arc::new(Fake::new(NOW, true));
    let app = app(&fake, Arc::new(TestClock::at(NOW)));
    let mut queue: VecDeque<(String, String)> =
        SEEDS.iter().map(|s| ((*s).to_owned(), "the start".to_owned())).collect();
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    let mut fragments: BTreeSet<(String, String, String)> = BTreeSet::new();
    let mut actions: BTreeMap<String, String> = BTreeMap::new();
    while let Some((address, from)) = queue.pop_front() {
        if pages.contains_key(&address) {
            continue;
        }
        assert!(pages.len() < 1_500, "the pages have no end: {address}");
        let (status, media_type, body) = get(&app, &fake, &address).await;
        assert!(
            status.is_success() || status == StatusCode::SEE_OTHER,
            "{address} (linked from {from}) answers {status}: {body}"
        );
        pages.insert(
            address.clone(),
            if media_type.starts_with("text/html") { body.clone() } else { String::new() },
        );
        if !media_type.starts_with("text/html") {
            continue;
        }
        check_inert(&address, &body);
        for link in links(&body) {
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = resolve(&address, path);
            if !fragment.is_empty() {
                fragments.insert((target.clone(), fragment.to_owned(), address.clone()));
            }
            queue.push_back((target, address.clone()));
        }
        for action in attributes(&body, "action") {
            // A form may lead to a place on a page.
            let action = action.split('#').next().unwrap_or_default().to_owned();
            actions.insert(action, address.clone());
        }
    }
    for (page, fragment, from) in fragments {
        let has = pages.get(&page).is_some_and(|html| html.contains(&format!("id=\"{fragment}\"")));
        assert!(has, "{page}#{fragment}, linked from {from}, leads nowhere");
    }
    for (action, page) in &actions {
        let (status, _, _) = post(&app, &fake, action, "x=1").await;
        let expected = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED, StatusCode::UNAUTHORIZED];
        assert!(
            expected.contains(&status),
            "a form on {page} goes to {action}, which answers {status} without a token"
        );
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert!(
                pages.keys().any(|p| p.split('?').next() == Some(action)),
                "{action} is no page to search in"
            );
        }
    }
    assert!(pages.len() > 60, "only {} pages were reached", pages.len());
    assert!(pages.contains_key(&format!("/runs/{RUN}")) && pages.contains_key(&format!("/runs/{RED}")));
}

/// Nothing from outside became markup, and no address from outside a link that runs.
fn check_inert(address: &str, html: &str) {
    let lower = html.to_lowercase();
    assert!(
        !lower.contains(&EVIL.to_lowercase()) && !lower.contains("<script>"),
        "{address} lets markup through"
    );
    assert!(!lower.contains("=\"javascript:"), "{address} links to a script");
    for part in [" style=\"", " onclick=", " onload=", " onerror="] {
        assert!(!lower.contains(part), "{address} has {part}: the policy forbids it");
    }
    assert!(
        html.contains("<html lang=\"en\">") && html.contains("class=\"skip\"") && html.contains("<h1"),
        "{address} lacks its frame"
    );
    let mut seen = BTreeSet::new();
    for id in attributes(html, "id") {
        assert!(seen.insert(id.clone()), "{address} has the id {id} twice");
    }
}

async fn get(app: &Router, fake: &Fake, address: &str) -> (StatusCode, String, String) {
    send(app, fake, Method::GET, address, String::new()).await
}

async fn post(app: &Router, fake: &Fake, address: &str, body: &str) -> (StatusCode, String, String) {
    send(app, fake, Method::POST, address, body.to_owned()).await
}

async fn send(
    app: &Router,
    fake: &Fake,
    method: Method,
    address: &str,
    body: String,
) -> (StatusCode, String, String) {
    let request = Request::builder()
        .method(method)
        .uri(address)
        .header(header::COOKIE, format!("windlass_session={}", fake.session))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "text/html")
        .body(Body::from(body))
        .unwrap_or_else(|e| panic!("{address}: {e}"));
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let media_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|v| v.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let body = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    (status, media_type, String::from_utf8_lossy(&body).into_owned())
}

/// Links to our own pages and files.
fn links(html: &str) -> Vec<String> {
    let mut links = attributes(html, "href");
    links.extend(attributes(html, "src"));
    links.retain(|l| !l.starts_with("http://") && !l.starts_with("https://") && !l.starts_with("data:"));
    links
}

fn resolve(page: &str, link: &str) -> String {
    match link.chars().next() {
        None => page.to_owned(),
        Some('?') => format!("{}{link}", page.split('?').next().unwrap()),
        Some('/') => link.to_owned(),
        _ => panic!("{page} has the relative link {link}"),
    }
}

fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(&start) {
        rest = &rest[at + start.len()..];
        let Some(end) = rest.find('"') else { break };
        out.push(unescape(&rest[..end]));
        rest = &rest[end..];
    }
    out
}

fn unescape(text: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Serves the pages to whoever looks, as somebody who is signed in.
async fn serve(address: &str) {
    let fake = Arc::new(Fake::new(SystemClock.now().as_millis(), false));
    let app = app(&fake, Arc::new(SystemClock)).layer(middleware::from_fn(
        |mut request: Request, next: Next| async {
            // Whoever has signed in (ana, with the password of the fake) is that session; others are let in all the same.
            let signed_in = request.headers().contains_key(header::COOKIE);
            if !signed_in && !request.uri().path().starts_with("/sign-in") {
                request
                    .headers_mut()
                    .insert(header::AUTHORIZATION, format!("Bearer {}", fake::TOKEN).parse().unwrap());
            }
            next.run(request).await
        },
    ));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    eprintln!("the pages are at http://{address}/");
    axum::serve(listener, app).await.unwrap();
}
