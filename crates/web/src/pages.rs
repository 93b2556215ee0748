//! The pages: rendered here, working without scripts but for what is live.

mod account;
pub(crate) mod assets;
mod audit;
mod delivery;
mod exceptions;
mod home;
mod image;
mod images;
mod jobs;
mod projects;
mod reference;
mod registry;
mod reports;
mod runs;
mod services;
mod session;
mod settings;
mod source;
mod workflows;

use axum::Router;

use crate::page;
use crate::state::Web;

/// The pages' router, with the fallback for addresses that do not exist.
pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .merge(assets::routes())
        .merge(session::routes())
        .merge(home::routes())
        .merge(projects::routes())
        .merge(source::routes())
        .merge(workflows::routes())
        .merge(settings::routes())
        .merge(runs::routes())
        .merge(reports::routes())
        .merge(jobs::routes())
        .merge(delivery::routes())
        .merge(exceptions::routes())
        .merge(images::routes())
        .merge(image::routes())
        .merge(registry::routes())
        .merge(services::routes())
        .merge(audit::routes())
        .merge(account::routes())
        .merge(reference::routes())
        .fallback(page::nothing_here)
}
