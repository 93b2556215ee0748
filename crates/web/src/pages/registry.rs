//! The registry as a whole: the disk, all repositories, what is kept and what goes, mirrors, rot, keys and advisories.

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
use crate::{picture, tree, view};

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/registry", get(registry))
        .route("/registry/rules", post(set_rule))
        .route("/registry/rules/delete", post(remove_rule))
        .route("/registry/mirrors", post(set_mirror))
        .route("/registry/mirrors/delete", post(remove_mirror))
        .route("/registry/collect", post(collect))
        .route("/registry/scrub", post(scrub))
}

#[derive(Template)]
#[template(path = "registry.html")]
struct RegistryPage {
    chrome: Chrome,
    state: wire::RegistryState,
    repositories: Vec<wire::RepositoryView>,
    rules: Vec<wire::RegistryRuleView>,
    mirrors: Vec<wire::MirrorView>,
    keys: Vec<wire::StatementKey>,
    /// Whether the visitor may change anything here.
    may: bool,
    collected: Option<wire::CollectedView>,
    groups: Vec<wire::TakenGroup>,
    scrubbed: Option<wire::ScrubView>,
}

impl RegistryPage {
    /// Whether advisories are too old to count.
    fn is_old(&self, of: &wire::AdvisoriesView) -> bool {
        self.chrome.now.since(of.as_of).as_secs() > self.state.advisories_days * 86_400
    }
}

async fn page(web: &Web, visitor: &Visitor) -> Result<RegistryPage, wire::Problem> {
    let (who, platform) = (&visitor.who, &web.platform);
    Ok(RegistryPage {
        chrome: visitor.chrome("Registry", "registry"),
        state: platform.registry_state(who).await?,
        repositories: platform.all_repositories(who).await?,
        rules: platform.registry_rules(who).await?,
        mirrors: platform.mirrors(who).await?,
        keys: platform.statement_keys().await?,
        may: visitor.me.role == "admin",
        collected: None,
        groups: Vec::new(),
        scrubbed: None,
    })
}

async fn registry(State(web): State<Web>, visitor: Visitor) -> Shown {
    show(&page(&web, &visitor).await?)
}

async fn collect(State(web): State<Web>, posted: Posted) -> Shown {
    let dry_run = posted.text("mode") != "collect";
    let how = wire::CollectRegistry { dry_run, grace_seconds: None };
    let collected = web.platform.collect_registry(&posted.visitor.who, how).await?;
    let groups = wire::TakenGroup::of(&collected.taken);
    let page = page(&web, &posted.visitor).await?;
    show(&RegistryPage { collected: Some(collected), groups, ..page })
}

async fn scrub(State(web): State<Web>, posted: Posted) -> Shown {
    let scrubbed = web.platform.scrub_registry(&posted.visitor.who).await?;
    let page = page(&web, &posted.visitor).await?;
    show(&RegistryPage { scrubbed: Some(scrubbed), ..page })
}

async fn set_rule(State(web): State<Web>, posted: Posted) -> Shown {
    let kind = match posted.text("kind") {
        "immutable" => wire::RegistryRuleKind::Immutable,
        "keep" => wire::RegistryRuleKind::Keep,
        "untagged" => wire::RegistryRuleKind::Untagged,
        other => return Err(wire::Problem::invalid(format!("`{other}` is no kind of rule")).into()),
    };
    let number = |field: &str| match posted.optional(field) {
        None => Ok(None),
        Some(text) => match text.parse::<u32>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(wire::Problem::invalid(format!("`{text}` is no number, as `{field}` wants one"))),
        },
    };
    let or_all = |field: &str| posted.optional(field).unwrap_or_else(|| "*".to_owned());
    let rule = wire::SetRegistryRule {
        repositories: or_all("repositories"),
        tags: or_all("tags"),
        kind,
        last: number("last")?,
        days: number("days")?,
    };
    web.platform.set_registry_rule(&posted.visitor.who, posted.text("name"), rule).await?;
    Ok(Redirect::to("/registry#rules").into_response())
}

async fn remove_rule(State(web): State<Web>, posted: Posted) -> Shown {
    web.platform.remove_registry_rule(&posted.visitor.who, posted.text("name")).await?;
    Ok(Redirect::to("/registry#rules").into_response())
}

async fn set_mirror(State(web): State<Web>, posted: Posted) -> Shown {
    let how = wire::SetMirror {
        url: posted.text("url").to_owned(),
        user: posted.optional("user"),
        password: posted.optional("password").map(Secret::new),
        fresh_seconds: None,
    };
    web.platform.set_mirror(&posted.visitor.who, posted.text("name"), how).await?;
    Ok(Redirect::to("/registry#mirrors").into_response())
}

async fn remove_mirror(State(web): State<Web>, posted: Posted) -> Shown {
    web.platform.remove_mirror(&posted.visitor.who, posted.text("name")).await?;
    Ok(Redirect::to("/registry#mirrors").into_response())
}
