//! An image on one page: what it is, where it runs, what changed, what is in it and what is known of that; its layers'
//! files; and two images beside each other.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use serde::Deserialize;
use windlass_api as wire;
use windlass_identity::Principal;

use super::images::{image_page, is_project, section};
use crate::page::{Chrome, Shown, Visitor, show};
use crate::pages::assets;
use crate::picture::{self, Line, PACKAGES, Packages, Wanted};
use crate::state::Web;
use crate::{Answer, Platform, tree, view};

/// How many vulnerabilities a page lists.
const VULNERABILITIES: usize = 500;
/// How many lines of its making are shown unfolded.
const LINES: usize = 40;
/// How long a page waits for an image to be looked into; then it is shown without, and fetches itself again.
const PATIENCE: Duration = Duration::from_secs(4);

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/projects/{project}/image", get(image))
        .route("/projects/{project}/layer", get(layer))
        .route("/projects/{project}/image/compare", get(compare))
        .route("/evidence", get(evidence))
}

#[derive(Template)]
#[template(path = "image.html")]
struct ImagePage {
    chrome: Chrome,
    project: String,
    own: bool,
    name: String,
    image: wire::ImageDetail,
    /// Whether there can be anything known of it: it is no mere artifact.
    looked: bool,
    known: Option<Known>,
    unknown: Option<String>,
    packages: Packages,
    lines: Vec<Line>,
    more: Vec<Line>,
    /// Whether the visitor may delete it.
    may: bool,
    pager: view::Raw,
}

impl ImagePage {
    /// The layer of that place from the bottom, if there is one.
    fn layer_at(&self, place: u64) -> Option<&wire::LayerView> {
        self.image.layers.get(usize::try_from(place).ok()?)
    }
}

#[derive(Template)]
#[template(path = "layer.html")]
struct LayerPage {
    chrome: Chrome,
    project: String,
    own: bool,
    name: String,
    repository: String,
    layer: wire::LayerTree,
    folders: Vec<(String, String)>,
    rows: view::Raw,
    pager: view::Raw,
}

#[derive(Template)]
#[template(path = "compare_images.html")]
struct ComparePage {
    chrome: Chrome,
    project: String,
    own: bool,
    one: wire::ImageDetail,
    other: wire::ImageDetail,
    settings: Vec<(String, String, String)>,
    diff: Result<wire::ImageDiff, String>,
    files: Result<wire::FilesDiff, String>,
    pager: view::Raw,
}

/// What is found out by looking into an image.
struct Known {
    evidence: wire::ImageEvidence,
    packages: wire::PackageList,
    /// What differs from the image that production has.
    diff: Option<wire::ImageDiff>,
}

#[derive(Deserialize)]
struct Which {
    name: String,
}

#[derive(Deserialize)]
struct WhichLayer {
    name: String,
    #[serde(default)]
    layer: String,
    #[serde(default)]
    folder: String,
    #[serde(default)]
    from: u64,
}

#[derive(Deserialize)]
struct WhichTwo {
    name: String,
    #[serde(default)]
    with: String,
    #[serde(default)]
    from: u64,
}

#[derive(Deserialize)]
struct Named {
    image: String,
}

/// Looks into an image: this goes on when nobody waits for it any more, so that it is known the next time.
async fn known(
    platform: Arc<dyn Platform>,
    who: Principal,
    name: String,
    against: Option<String>,
) -> Answer<Known> {
    let evidence = platform.image_evidence(&who, &name).await?;
    // What cannot be looked into has no packages; why, the evidence says.
    let packages = platform.image_packages(&who, &name).await.unwrap_or_default();
    let diff = match against {
        Some(against) => platform.image_diff(&who, &against, &name).await.ok(),
        None => None,
    };
    Ok(Known { evidence, packages, diff })
}

async fn image(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<Which>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let image = web.platform.image_detail(&visitor.who, &which.name).await?;
    let name = format!("{}@{}", image.repository, image.manifest.digest);
    let looked = image.manifest.artifact_type.is_none();
    let against = image.change.as_ref().map(|change| format!("{}@{}", image.repository, change.digest));
    let (mut found, mut unknown) = (None, None);
    if looked {
        let looking = tokio::spawn(known(web.platform.clone(), visitor.who.clone(), name.clone(), against));
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Ok(Ok(known))) => found = Some(known),
            Ok(Ok(Err(problem))) => unknown = Some(problem.detail),
            Ok(Err(_)) => {
                unknown = Some("a defect of Windlass: control's log has the particulars".to_owned());
            }
            Err(_) => {}
        }
    }
    let short = view::digest(&image.manifest.digest);
    let mut chrome = visitor.chrome(format!("{} {short} · image", image.repository), section(&project));
    if looked && found.is_none() && unknown.is_none() {
        chrome = chrome.live(&project, 3);
    }
    let packages = found.as_mut().map(|known| {
        let list = std::mem::take(&mut known.packages);
        Packages::of(list, &known.evidence.vulnerabilities.found, wanted)
    });
    let packages = packages.unwrap_or_default();
    let address = |from: u64| {
        let of = &packages.wanted;
        let words = [&of.q, &of.kind, &of.vulnerable].map(|word| view::encode(word));
        let [q, kind, vulnerable] = words;
        let page = image_page(&project, &name);
        format!("{page}&q={q}&kind={kind}&vulnerable={vulnerable}&from={from}#packages")
    };
    let window = (packages.wanted.from, packages.rows.len(), PACKAGES);
    let pager = tree::pager("packages", window, packages.found, address);
    if let Some(known) = &mut found {
        known.evidence.vulnerabilities.found.truncate(VULNERABILITIES);
    }
    let mut lines = picture::lines(&image);
    let more = if lines.len() > LINES + 10 { lines.split_off(LINES) } else { Vec::new() };
    let own = is_project(&project);
    show(&ImagePage {
        chrome,
        project,
        own,
        name,
        image,
        looked,
        known: found,
        unknown,
        packages,
        lines,
        more,
        may: visitor.me.role == "admin",
        pager,
    })
}

async fn layer(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(WhichLayer { name, layer, folder, from }): Query<WhichLayer>,
) -> Shown {
    let layer = web.platform.layer_tree(&visitor.who, &name, &layer, &folder, from).await?;
    let page = format!(
        "/projects/{}/layer?name={}&layer={}",
        view::encode(&project),
        view::encode(&name),
        view::encode(&layer.digest)
    );
    let at = |folder: &str| format!("{page}&folder={}", view::encode(folder));
    let rows = tree::tree(&layer.rows, at);
    let shown = layer.rows.iter().filter(|row| row.depth == 0).count();
    let pager = tree::pager("entries", (layer.from, shown, wire::FILES_AT_A_TIME), layer.total, |from| {
        format!("{}&from={from}", at(&layer.folder))
    });
    let mut folders = Vec::new();
    let mut path = String::new();
    for part in layer.folder.split('/').filter(|part| !part.is_empty()) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
        folders.push((part.to_owned(), at(&path)));
    }
    let repository = name.split(['@', ':']).next().unwrap_or_default().to_owned();
    let chrome = visitor.chrome(format!("Layer {} of {repository}", layer.place + 1), section(&project));
    let own = is_project(&project);
    show(&LayerPage { chrome, project, own, name, repository, layer, folders, rows, pager })
}

async fn compare(
    State(web): State<Web>,
    visitor: Visitor,
    Path(project): Path<String>,
    Query(which): Query<WhichTwo>,
) -> Shown {
    let (who, platform) = (&visitor.who, &web.platform);
    let other = platform.image_detail(who, &which.name).await?;
    // A tag or a digest alone is one of the same repository.
    let with = match which.with.trim() {
        with if with.starts_with("sha256:") || with.starts_with("sha512:") => {
            format!("{}@{with}", other.repository)
        }
        with if !with.contains(['/', ':', '@']) && with != other.repository => {
            format!("{}:{with}", other.repository)
        }
        with => with.to_owned(),
    };
    let one = platform.image_detail(who, &with).await?;
    let named = |image: &wire::ImageDetail| format!("{}@{}", image.repository, image.manifest.digest);
    let diff = platform.image_diff(who, &named(&one), &named(&other)).await.map_err(|p| p.detail);
    let files = platform.files_diff(who, &named(&one), &named(&other), which.from).await;
    let files = files.map_err(|p| p.detail);
    let pager = files.as_ref().map(|files| {
        let total = files.added + files.changed + files.removed;
        tree::pager("files", (files.from, files.files.len(), wire::FILES_AT_A_TIME), total, |from| {
            let (project, name, with) =
                (view::encode(&project), view::encode(&named(&other)), view::encode(&named(&one)));
            format!("/projects/{project}/image/compare?name={name}&with={with}&from={from}#files")
        })
    });
    let pager = pager.unwrap_or_default();
    let settings = wire::differing_settings(&one.config, &other.config);
    let chrome = visitor.chrome(format!("What differs · {}", other.repository), section(&project));
    let own = is_project(&project);
    show(&ComparePage { chrome, project, own, one, other, settings, diff, files, pager })
}

/// The address that this had before: an image, wherever in its project it lies.
async fn evidence(State(web): State<Web>, visitor: Visitor, Query(of): Query<Named>) -> Shown {
    let evidence = web.platform.image_evidence(&visitor.who, &of.image).await?;
    let page = image_page(
        picture::project_of(&evidence.repository),
        &format!("{}@{}", evidence.repository, evidence.digest),
    );
    Ok(Redirect::to(&format!("{page}#evidence")).into_response())
}
