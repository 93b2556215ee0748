//! Style sheet, script and icon: part of the binary, named with their content's hash so that browsers may keep them.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use crate::state::Web;

#[derive(RustEmbed)]
#[folder = "assets"]
struct Assets;

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/assets/{name}", get(asset))
        .route("/favicon.ico", get(|| asset(Path("icon.svg".into()))))
}

/// The hash of all assets, as pages name them: `/assets/windlass.css?v=HASH`.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let mut all = Vec::new();
        for name in Assets::iter() {
            all.extend(Assets::get(&name).map(|f| f.data.into_owned()).unwrap_or_default());
        }
        windlass_kernel::Digest::sha256(&all).short().to_owned()
    });
    &VERSION
}

async fn asset(Path(name): Path<String>) -> Response {
    let Some(file) = Assets::get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let media_type = match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let headers =
        [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, file.data).into_response()
}
