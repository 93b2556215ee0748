//! `windlass registry`: the registry's rules, mirrors, garbage and rot.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use windlass_api::{
    CollectRegistry, CollectedView, MirrorView, RegistryRuleKind, RegistryRuleView, RepositoryDetail,
    RepositoryView, ScrubView, SetMirror, SetRegistryRule,
};
use windlass_kernel::Secret;

use crate::ask;
use crate::connection::{Global, part};
use crate::failure::{Exit, Failure};
use crate::show::{self, Field};

/// The image registry: what it holds, what it keeps, what it mirrors
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Registry {
    /// A project's repositories, or what one of them holds
    #[command(
        after_help = "Examples:\n  windlass registry list tasks\n  windlass registry list tasks/worker --repository"
    )]
    List(List),
    /// Remove what the rules let go and nobody needs; safe while images are pushed
    #[command(after_help = "Examples:
  windlass registry gc --dry-run
  windlass registry gc
  windlass registry gc --grace 600      what was touched in the last ten minutes stays")]
    Gc(Gc),
    /// Read every blob and look whether it is what it was; what a mirror has is fetched anew
    #[command(after_help = "Example:\n  windlass registry scrub")]
    Scrub,
    /// Which tags never move, and which are kept
    #[command(subcommand)]
    Rule(Rule),
    /// Other registries whose images can be pulled through this one
    #[command(subcommand)]
    Mirror(Mirror),
}

/// Which tags never move, and which are kept
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Rule {
    /// Set a rule
    #[command(after_help = "Examples:
  windlass registry rule set releases immutable --repositories 'tasks*' --tags 'v*'
  windlass registry rule set builds keep --tags 'build-*' --last 20 --days 14
  windlass registry rule set leftovers untagged --days 7")]
    Set(SetRule),
    /// The rules
    #[command(after_help = "Example:\n  windlass registry rule list")]
    List,
    /// Remove a rule
    #[command(after_help = "Example:\n  windlass registry rule rm releases")]
    Rm {
        /// Its name
        name: String,
    },
}

/// Other registries whose images can be pulled through this one
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Mirror {
    /// Mirror a registry, or change how
    #[command(after_help = "Examples:
  windlass registry mirror add hub https://docker.io
  printf %s \"$TOKEN\" | windlass registry mirror add corp https://registry.example --username ci --password-stdin
  docker pull 127.0.0.1:7700/mirror/hub/library/alpine:3.20")]
    Add(AddMirror),
    /// The registries that are mirrored
    #[command(after_help = "Example:\n  windlass registry mirror list")]
    List,
    /// No longer mirror a registry; what was fetched stays until it is collected
    #[command(after_help = "Example:\n  windlass registry mirror rm hub")]
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct List {
    /// The project, or a repository with --repository
    name: String,
    /// Show what this repository holds
    #[arg(long)]
    repository: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Gc {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// What was pushed or asked about within so many seconds stays
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    grace: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Tags never move
    Immutable,
    /// Some tags are kept, the others are removed by the next collection
    Keep,
    /// What no tag reaches is removed after a while
    Untagged,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SetRule {
    /// Its name
    name: String,
    /// What it says
    kind: Kind,
    /// The repositories that it speaks of; `*` stands for any characters
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    repositories: String,
    /// The tags that it speaks of
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    tags: String,
    /// keep: how many of each repository
    #[arg(long, value_name = "N")]
    last: Option<u32>,
    /// keep, untagged: how many days
    #[arg(long, value_name = "N")]
    days: Option<u32>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct AddMirror {
    /// Its name here
    name: String,
    /// Its address, such as https://registry.example
    // Not `url`: that is the name of `--url`, which every command has.
    #[arg(value_name = "URL")]
    address: String,
    /// Who pulls there
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// How long a tag is taken for what it was, in seconds
    #[arg(long, value_name = "SECONDS")]
    fresh: Option<u64>,
}

/// Carries a registry command out.
pub(crate) async fn run(global: &Global, command: Registry) -> Result<Exit> {
    match command {
        Registry::List(list) if list.repository => repository(global, &list.name).await,
        Registry::List(list) => repositories(global, &list.name).await,
        Registry::Gc(gc) => collect(global, &gc).await,
        Registry::Scrub => scrub(global).await,
        Registry::Rule(Rule::Set(rule)) => set_rule(global, rule).await,
        Registry::Rule(Rule::List) => rules(global).await,
        Registry::Rule(Rule::Rm { name }) => remove(global, "rules", &name).await,
        Registry::Mirror(Mirror::Add(mirror)) => add_mirror(global, mirror).await,
        Registry::Mirror(Mirror::List) => mirrors(global).await,
        Registry::Mirror(Mirror::Rm { name }) => remove(global, "mirrors", &name).await,
    }
}

fn bytes(size: u64) -> String {
    match size {
        0..1_000_000 => format!("{:.1} kB", size as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size as f64 / 1e6),
        _ => format!("{:.1} GB", size as f64 / 1e9),
    }
}

async fn repositories(global: &Global, project: &str) -> Result<Exit> {
    let path = format!("/api/v1/projects/{}/repositories", part(project));
    let list: Vec<RepositoryView> = global.client()?.get(&path).await?;
    if global.json {
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows = list.into_iter().map(|r| {
        let (tags, manifests) = (r.tags.to_string(), r.manifests.to_string());
        [
            r.name.into(),
            tags.into(),
            manifests.into(),
            r.runs_in.join(", ").into(),
            show::ago(r.pushed_at).into(),
        ]
    });
    let headers = ["repository", "tags", "manifests", "runs in", "pushed"];
    show::table(headers, rows.collect(), "no image was pushed yet")?;
    Ok(Exit::Done)
}

async fn repository(global: &Global, name: &str) -> Result<Exit> {
    let path = format!("/api/v1/registry/repository?name={}", part(name));
    let detail: RepositoryDetail = global.client()?.get(&path).await?;
    if global.json {
        show::json(&detail)?;
        return Ok(Exit::Done);
    }
    let rows = detail.manifests.into_iter().map(|m| {
        let what = m.artifact_type.unwrap_or_default();
        [
            m.tags.join(", ").into(),
            m.digest.into(),
            bytes(m.size).into(),
            m.runs_in.join(", ").into(),
            show::ago(m.pushed_at).into(),
            Field::dim(what),
        ]
    });
    show::table(["tags", "digest", "size", "runs in", "pushed", "type"], rows.collect(), "nothing")?;
    Ok(Exit::Done)
}

async fn collect(global: &Global, gc: &Gc) -> Result<Exit> {
    let how = CollectRegistry { dry_run: gc.dry_run, grace_seconds: Some(gc.grace) };
    let report: CollectedView = global.client()?.post("/api/v1/registry/gc", &how).await?;
    if global.json {
        show::json(&report)?;
        return Ok(Exit::Done);
    }
    let rows = report.taken.iter().map(|t| {
        let size = if t.size == 0 { String::new() } else { bytes(t.size) };
        [t.what.clone().into(), size.into(), Field::dim(t.why.clone())]
    });
    show::table(["what", "size", "why"], rows.collect(), "there is no garbage")?;
    let told = report.taken.len() as u64;
    if report.total > told {
        show::print(&format!("and {} more", report.total - told))?;
    }
    let verb = if report.dry_run { "would be freed" } else { "freed" };
    show::print(&format!(
        "{} {verb}; {} blobs with {} stay",
        bytes(report.freed),
        report.kept,
        bytes(report.kept_size)
    ))?;
    for manifest in &report.unreadable {
        show::print(&format!(
            "{manifest} cannot be read: its repository is left alone; see `windlass registry scrub`"
        ))?;
    }
    Ok(Exit::Done)
}

async fn scrub(global: &Global) -> Result<Exit> {
    let found: ScrubView = global.client()?.post("/api/v1/registry/scrub", &()).await?;
    let told = found.rotten.iter().filter(|r| !r.needed_by.is_empty()).count() as u64;
    if global.json {
        show::json(&found)?;
    } else {
        let rows = found.rotten.iter().map(|r| {
            let healed = match &r.healed {
                Some(from) => format!("fetched anew by {from}"),
                None => "push it again".to_owned(),
            };
            let (how, whose) = match r.needed_by.as_slice() {
                [] => ("rotten", r.repositories.join(", ")),
                needed_by => ("missing", needed_by.join(", ")),
            };
            [r.digest.clone().into(), how.into(), whose.into(), healed.into()]
        });
        show::table(["blob", "is", "of", "now"], rows.collect(), "no blob has rotted, none is missing")?;
        if found.missing > told {
            show::print(&format!("{} more are missing", found.missing - told))?;
        }
        show::print(&format!("{} blobs with {} were read", found.checked, bytes(found.size)))?;
    }
    // What is not told one by one is not known to be put right.
    let lost = found.missing > told || found.rotten.iter().any(|r| r.healed.is_none());
    Ok(if lost { Exit::Failed } else { Exit::Done })
}

async fn set_rule(global: &Global, rule: SetRule) -> Result<Exit> {
    let kind = match rule.kind {
        Kind::Immutable => RegistryRuleKind::Immutable,
        Kind::Keep => RegistryRuleKind::Keep,
        Kind::Untagged => RegistryRuleKind::Untagged,
    };
    let SetRule { name, repositories, tags, last, days, .. } = rule;
    let body = SetRegistryRule { repositories, tags, kind, last, days };
    let path = format!("/api/v1/registry/rules/{}", part(&name));
    let view: RegistryRuleView = global.client()?.put(&path, &body).await?;
    if global.json {
        show::json(&view)?;
    } else {
        show::print(&format!("{}: {}", view.name, view.words))?;
    }
    Ok(Exit::Done)
}

async fn rules(global: &Global) -> Result<Exit> {
    let list: Vec<RegistryRuleView> = global.client()?.get("/api/v1/registry/rules").await?;
    if global.json {
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows = list.into_iter().map(|r| [r.name.into(), r.words.into(), Field::dim(r.set_by)]);
    show::table(["rule", "says", "by"], rows.collect(), "no rule: tags move, and every image is kept")?;
    Ok(Exit::Done)
}

async fn add_mirror(global: &Global, mirror: AddMirror) -> Result<Exit> {
    let AddMirror { name, address: url, username, password_stdin, fresh } = mirror;
    let password = match (&username, password_stdin) {
        (Some(user), false) => Some(ask::hidden(&format!("Password of {user} (not shown): ")).await?),
        (Some(_), true) => {
            use tokio::io::AsyncReadExt as _;
            let mut text = String::new();
            tokio::io::stdin().read_to_string(&mut text).await?;
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            if text.is_empty() {
                return Err(Failure::usage("no password came on standard input").into());
            }
            Some(text)
        }
        (None, _) => None,
    };
    let body = SetMirror { url, user: username, password: password.map(Secret::new), fresh_seconds: fresh };
    let path = format!("/api/v1/registry/mirrors/{}", part(&name));
    let view: MirrorView = global.client()?.put(&path, &body).await?;
    if global.json {
        show::json(&view)?;
    } else {
        show::print(&format!("{} can be pulled as {}/REPOSITORY:TAG", view.url, view.prefix))?;
    }
    Ok(Exit::Done)
}

async fn mirrors(global: &Global) -> Result<Exit> {
    let list: Vec<MirrorView> = global.client()?.get("/api/v1/registry/mirrors").await?;
    if global.json {
        show::json(&list)?;
        return Ok(Exit::Done);
    }
    let rows = list.into_iter().map(|m| {
        let fresh = format!("{} s", m.fresh_seconds);
        [m.name.into(), m.url.into(), m.user.unwrap_or_default().into(), fresh.into(), m.prefix.into()]
    });
    show::table(["mirror", "of", "as", "fresh for", "pull from"], rows.collect(), "no registry is mirrored")?;
    Ok(Exit::Done)
}

async fn remove(global: &Global, kind: &str, name: &str) -> Result<Exit> {
    global.client()?.delete(&format!("/api/v1/registry/{kind}/{}", part(name))).await?;
    Ok(Exit::Done)
}
