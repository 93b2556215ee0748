//! What becomes of a Dockerfile, as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use windlass_dockerfile::plan::{
    Action, Base, Checksum, GitSource, ImageConfig, Mode, Mount, MountKind, Origin, RunStep, Source, Step,
    TransferStep,
};
use windlass_dockerfile::{Ignore, Options, Parent, Plan, Platform, StageRun, lint, parse};

/// How a file of the corpus is built: its last line says it.
pub(crate) fn options(text: &str) -> (Options, Option<Ignore>) {
    let mut options = Options {
        build_args: BTreeMap::new(),
        target: None,
        platform: Platform::linux("amd64"),
        build_platform: Platform::linux("amd64"),
        contexts: BTreeSet::new(),
    };
    let mut patterns = String::new();
    let last = text.lines().last().and_then(|line| line.strip_prefix("# build: ")).unwrap_or_default();
    for word in last.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').expect("NAME=VALUE");
        match name {
            "target" => options.target = Some(value.to_owned()),
            "arg" => {
                let (name, value) = value.split_once('=').expect("arg=NAME=VALUE");
                options.build_args.insert(name.to_owned(), value.to_owned());
            }
            "platform" => options.platform = value.parse().expect("a platform"),
            "context" => _ = options.contexts.insert(value.to_owned()),
            "ignore" => patterns.push_str(&format!("{value}\n")),
            other => panic!("no setting {other}"),
        }
    }
    let ignore = (!patterns.is_empty()).then(|| Ignore::parse(&patterns).expect("patterns"));
    (options, ignore)
}

/// What is found in a file, and what its build does.
pub(crate) fn build(text: &str) -> String {
    let (options, ignore) = options(text);
    let parsed = parse(text);
    let mut out: String =
        lint(&parsed, &options, ignore.as_ref()).iter().map(|finding| finding.snippet("f", text)).collect();
    let Some(file) = &parsed.dockerfile else { return out };
    let Ok(plan) = Plan::new(file, options) else { return out };
    let mut runs: BTreeMap<usize, StageRun> = BTreeMap::new();
    for index in plan.order() {
        let stage = &plan.stages()[index];
        let name = stage.name.as_deref().unwrap_or("-");
        _ = writeln!(out, "\nstage {index} {name} from {} for {}", base(&stage.base), stage.platform);
        if let Some(text) = &file.stages[index].description {
            _ = writeln!(out, "  says {text:?}");
        }
        if !stage.needs.is_empty() {
            _ = writeln!(out, "  needs {:?}", stage.needs);
        }
        for each in &stage.origins {
            _ = writeln!(out, "  takes from {}", origin(each));
        }
        let parent = match &stage.base {
            Base::Stage(above) => Parent::Stage(&runs[above]),
            Base::Scratch => Parent::Image(ImageConfig::default()),
            _ => Parent::Image(assumed()),
        };
        let mut run = plan.begin(index, parent).expect("a stage");
        for step in run.by_ref() {
            match step {
                Ok(found) => step_lines(&found, &mut out),
                Err(finding) => _ = writeln!(out, "  {}", finding.one_line("f")),
            }
        }
        runs.insert(index, run);
    }
    out.push_str(&config(runs[&plan.target()].config()));
    out
}

/// What the corpus assumes of every base image.
fn assumed() -> ImageConfig {
    ImageConfig {
        env: vec![("PATH".into(), "/base/bin".into()), ("BASE".into(), "set".into())],
        cmd: Some(vec!["/base/run".into()]),
        ..ImageConfig::default()
    }
}

fn base(base: &Base) -> String {
    match base {
        Base::Scratch => "scratch".to_owned(),
        Base::Stage(index) => format!("stage {index}"),
        Base::Image(name) => format!("image {name}"),
        Base::Context(name) => format!("context {name}"),
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Context => "the context".to_owned(),
        Origin::Stage(index) => format!("stage {index}"),
        Origin::Image(name) => format!("image {name}"),
        Origin::Named(name) => format!("context {name}"),
        Origin::Scratch => "nothing".to_owned(),
    }
}

fn step_lines(step: &Step, out: &mut String) {
    let line = step.span.map_or("onbuild".to_owned(), |span| span.start.line.to_string());
    let by = step.created_by.replace('\n', "\\n");
    match &step.action {
        Action::Nothing => _ = writeln!(out, "  {line}: keeps {}", step.source),
        Action::Config => _ = writeln!(out, "  {line}: {by}"),
        Action::Folder(folder) => _ = writeln!(out, "  {line}: {by}\n      folder {folder}"),
        Action::Run(run) => {
            _ = writeln!(out, "  {line}: {by}");
            run_lines(run, out);
        }
        Action::Transfer(transfer) => {
            _ = writeln!(out, "  {line}: {by}");
            transfer_lines(transfer, out);
        }
    }
}

fn run_lines(run: &RunStep, out: &mut String) {
    _ = writeln!(out, "      {:?} in {} as {:?}", run.argv, run.working_dir, run.user);
    let env: Vec<String> = run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    _ = writeln!(out, "      env {env:?}");
    if !run.uncached.is_empty() {
        _ = writeln!(out, "      uncached {:?}", run.uncached);
    }
    if run.network != windlass_dockerfile::ast::NetworkMode::Default {
        _ = writeln!(out, "      network {:?}", run.network);
    }
    if run.security != windlass_dockerfile::ast::SecurityMode::Sandbox {
        _ = writeln!(out, "      security {:?}", run.security);
    }
    for each in &run.mounts {
        _ = writeln!(out, "      mount {}", mount(each));
    }
    if let Some(script) = &run.script {
        _ = writeln!(out, "      script {} {:?}", script.name, script.data);
    }
}

fn mount(mount: &Mount) -> String {
    let at = mount.target.as_deref().unwrap_or("nowhere");
    match &mount.kind {
        MountKind::Bind { from, source, writable } => {
            let how = if *writable { "writable" } else { "read-only" };
            format!("bind {source} of {} at {at}, {how}", origin(from))
        }
        MountKind::Cache { id, sharing, read_only, from, source, mode, uid, gid } => {
            let from = from.as_ref().map_or("nothing".to_owned(), origin);
            let how = if *read_only { "read-only" } else { "writable" };
            format!("cache {id:?} at {at}, {sharing:?}, {how}, from {source} of {from}, {mode:o} {uid}:{gid}")
        }
        MountKind::Tmpfs { size } => format!("tmpfs at {at}, size {size}"),
        MountKind::Secret { id, required, env, mode, uid, gid } => {
            format!("secret {id:?} at {at}, env {env:?}, required {required}, {mode:o} {uid}:{gid}")
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            format!("ssh {id:?} at {at}, required {required}, {mode:o} {uid}:{gid}")
        }
    }
}

fn transfer_lines(step: &TransferStep, out: &mut String) {
    for source in &step.sources {
        let shown = match source {
            Source::Path(path) => format!("{path} of {}", origin(&step.origin)),
            Source::Inline(file) => format!("inline {} {:?}", file.name, file.data),
            Source::Url(url) => format!("url {url}"),
            Source::Git(GitSource { remote, reference, folder }) => {
                format!("git {remote} at {reference:?} folder {folder:?}")
            }
        };
        _ = writeln!(out, "      {shown}");
    }
    let mut how = format!("to {}", step.destination);
    if let Some(owner) = &step.owner {
        _ = write!(how, ", owner {owner}");
    }
    match &step.mode {
        Some(Mode::Octal(bits)) => _ = write!(how, ", mode {bits:o}"),
        Some(Mode::Symbolic(text)) => _ = write!(how, ", mode {text}"),
        None => {}
    }
    for (name, on) in [("link", step.link), ("parents", step.parents), ("keeps .git", step.keep_git_dir)] {
        if on {
            _ = write!(how, ", {name}");
        }
    }
    if !step.exclude.is_empty() {
        _ = write!(how, ", but {:?}", step.exclude);
    }
    match &step.checksum {
        Some(Checksum::Digest(digest)) => _ = write!(how, ", has to be {digest}"),
        Some(Checksum::Commit(commit)) => _ = write!(how, ", has to be commit {commit}"),
        None => {}
    }
    if let Some(unpack) = step.unpack {
        _ = write!(how, ", unpack {unpack}");
    }
    _ = writeln!(out, "      {how}");
}

/// A configuration, by its parts that are there.
pub(crate) fn config(config: &ImageConfig) -> String {
    let mut out = String::from("\nimage\n");
    let mut line = |name: &str, value: String| _ = writeln!(out, "  {name} {value}");
    for (name, value) in &config.env {
        line("env", format!("{name}={value:?}"));
    }
    for (name, value) in &config.labels {
        line("label", format!("{name}={value:?}"));
    }
    for (name, list) in [("entrypoint", &config.entrypoint), ("cmd", &config.cmd), ("shell", &config.shell)] {
        if let Some(list) = list {
            line(name, format!("{list:?}"));
        }
    }
    if !config.ports.is_empty() {
        line("ports", format!("{:?}", config.ports));
    }
    if !config.volumes.is_empty() {
        line("volumes", format!("{:?}", config.volumes));
    }
    for (name, value) in [("user", &config.user), ("folder", &config.working_dir)] {
        if !value.is_empty() {
            line(name, value.clone());
        }
    }
    for (name, value) in [("stop signal", &config.stop_signal), ("author", &config.author)] {
        if let Some(value) = value {
            line(name, value.clone());
        }
    }
    if let Some(check) = &config.healthcheck {
        line("health", format!("{check:?}"));
    }
    for each in &config.onbuild {
        line("onbuild", format!("{each:?}"));
    }
    out
}
