//! Stages, scopes and what cannot be planned. What can be is shown by `tests/corpus`.

use super::*;
use crate::parse;

fn options() -> Options {
    Options {
        build_args: BTreeMap::new(),
        target: None,
        platform: Platform::linux("amd64"),
        build_platform: Platform::linux("amd64"),
        contexts: BTreeSet::new(),
    }
}

fn plan(text: &str, options: Options) -> Result<Plan, Vec<String>> {
    let parsed = parse(text);
    let file = parsed.dockerfile.unwrap_or_else(|| panic!("{text:?}: {:?}", parsed.diagnostics));
    Plan::new(&file, options).map_err(|all| all.iter().map(|finding| finding.one_line("f")).collect())
}

#[track_caller]
fn refused(text: &str, wanted: &str) {
    let found = match plan(text, options()) {
        Err(found) => found.join("\n"),
        Ok(plan) => {
            let mut found = String::new();
            let mut runs: BTreeMap<usize, StageRun> = BTreeMap::new();
            for stage in plan.order() {
                let parent = match plan.stages()[stage].base {
                    Base::Stage(base) => Parent::Stage(&runs[&base]),
                    _ => Parent::Image(ImageConfig::default()),
                };
                let mut run = plan.begin(stage, parent).unwrap();
                found.extend(run.by_ref().filter_map(Result::err).map(|finding| finding.one_line("f")));
                runs.insert(stage, run);
            }
            found
        }
    };
    assert_eq!(found, wanted, "{text:?}");
}

/// Files that can be read, and what is said of their builds.
const REFUSED: &[(&str, &str)] = &[
    (
        "ARG verison=1\nFROM a:$version",
        "f:2:6: error: 'a:' is no image's name: what follows : is no tag ('version' is not set: did you mean 'verison'?)",
    ),
    ("FROM Alpine", "f:1:6: error: 'Alpine' is no image's name: it has capital letters"),
    ("FROM a@sha256:xyz", "f:1:6: error: 'a@sha256:xyz' is no image's name: what follows @ is no digest"),
    (
        "ARG v\nFROM ${v}",
        "f:2:6: error: the base '${v}' is empty ('v' is not set: declare it with ARG before the first FROM)",
    ),
    (
        "FROM --platform=a/b/c/d x",
        "f:1:6: error: 'a/b/c/d' is not a platform: it is written os/architecture or os/architecture/variant, such as linux/arm64",
    ),
    ("FROM ${a:?missing}", "f:1:6: error: a: missing"),
    (
        "FROM a AS x\nCOPY --from=x a b",
        "f:1:1: error: the stage 'x' needs itself (a stage takes files only from those above it)",
    ),
    (
        "FROM a AS x\nCOPY --from=y a b\nFROM a AS y\nCOPY --from=x a b",
        "f:1:1: error: the stage 'x' needs itself (a stage takes files only from those above it)",
    ),
    ("FROM a\nCOPY --from=5 a b", "f:2:6: error: there is no stage 5: the last one is 0"),
    (
        "FROM a\nCOPY --from=$x a b",
        "f:2:6: error: --from cannot have variables (name a stage of its own with the variable in its FROM, and take that)",
    ),
    (
        "FROM a AS builder\nFROM a\nCOPY --from=Buildr a b",
        "f:3:6: error: 'Buildr' is no image's name: it has capital letters (did you mean 'builder'?)",
    ),
    (
        "FROM scratch\nEXPOSE x",
        "f:2:8: error: 'x' is no port: it is a number up to 65535, or two with - between them",
    ),
    ("FROM scratch\nSTOPSIGNAL SIGTREM", "f:2:12: error: 'SIGTREM' is no signal (did you mean 'TERM'?)"),
    ("FROM scratch\nVOLUME $x", "f:2:8: error: a VOLUME is empty"),
    ("FROM scratch\nENV a=${b", "f:2:7: error: a '}' is missing at the end of a substitution"),
    ("FROM scratch\nCOPY https://x/y z", "f:2:6: error: COPY cannot fetch from an address: ADD can"),
    ("FROM scratch\nCOPY git@x:y z", "f:2:6: error: COPY cannot fetch from Git: ADD can"),
    (
        "FROM scratch\nADD --checksum=sha256:1 https://x/y z",
        "f:2:5: error: 'sha256:1' is no digest: it is written sha256: and 64 hexadecimal digits",
    ),
    (
        "FROM scratch\nADD --checksum=sha256:1 y z",
        "f:2:5: error: --checksum is for an address or a Git source",
    ),
    ("FROM scratch\nADD --checksum=sha256:1 y w z", "f:2:5: error: --checksum is for exactly one source"),
    (
        "FROM scratch\nCOPY --chmod=888 a b",
        "f:2:6: error: '888' is no mode: octal digits up to 7777, or such as u=rwX,go=rX",
    ),
    (
        "FROM scratch\nCOPY --chmod=u+q a b",
        "f:2:6: error: 'u+q' is no mode: octal digits up to 7777, or such as u=rwX,go=rX",
    ),
    (
        "FROM scratch\nRUN --mount=type=cach,target=/x y",
        "f:2:13: error: there is no mount of type 'cach' (did you mean 'cache'?)",
    ),
    ("FROM scratch\nRUN --mount=type=cache y", "f:2:5: error: a cache mount needs a target: target=/path"),
    (
        "FROM scratch\nRUN --mount=type=tmpfs,target=/ y",
        "f:2:5: error: a mount cannot have the root as its target",
    ),
    ("FROM scratch\nRUN --mount=type=secret y", "f:2:5: error: a secret mount needs an id: id=name"),
    ("FROM scratch\nRUN --mount=type=bind,target=/x,mode=1 y", "f:2:5: error: a bind mount has no mode"),
    (
        "FROM scratch\nRUN --mount=type=bind,target=/x,sharing=locked y",
        "f:2:5: error: a bind mount has no sharing",
    ),
    (
        "FROM scratch\nRUN --mount=type=cache,target=/x,sharing=all y",
        "f:2:34: error: 'all' is no sharing: it is shared, private or locked",
    ),
    (
        "FROM scratch\nRUN --mount=type=cache,target=/x,uid=root y",
        "f:2:34: error: 'root' is no uid: it is a number",
    ),
    (
        "FROM scratch\nRUN --mount=type=secret,id=a,source=b y",
        "f:2:5: error: a secret mount has an id or a source, not both",
    ),
];

#[test]
fn what_cannot_be_built_is_told_with_its_place() {
    for &(text, wanted) in REFUSED {
        refused(text, wanted);
    }
}

#[test]
fn only_what_the_target_needs_is_built() {
    let text = "FROM a AS base\nFROM base AS build\nRUN x\nFROM b AS unused\nCOPY --from=later q q\nFROM scratch AS final\n\
                COPY --from=build /x /\nFROM c AS later\nRUN --mount=from=final,target=/f --mount=from=1,target=/g y";
    let order = |target: Option<&str>| {
        let options = Options { target: target.map(str::to_owned), ..options() };
        plan(text, options).map(|plan| (plan.target(), plan.order()))
    };
    assert_eq!(order(Some("final")), Ok((3, vec![0, 1, 3])));
    assert_eq!(order(Some("FINAL")), Ok((3, vec![0, 1, 3])));
    assert_eq!(order(Some("1")), Ok((1, vec![0, 1])));
    assert_eq!(order(Some("base")), Ok((0, vec![0])));
    assert_eq!(order(None), Ok((4, vec![0, 1, 3, 4])));
    assert_eq!(
        order(Some("fnal")),
        Err(vec!["f:1:1: error: there is no stage 'fnal' (did you mean 'final'?)".to_owned()])
    );
}

#[test]
fn a_stage_below_is_only_wrong_where_it_is_needed() {
    let text = "FROM a AS one\nCOPY --from=two x x\nFROM b AS two";
    assert!(plan(text, options()).is_ok());
    let options = Options { target: Some("one".into()), ..options() };
    let wanted =
        "f:2:6: error: the stage 'two' stands below this one (a stage takes files only from those above it)";
    assert_eq!(plan(text, options).err(), Some(vec![wanted.to_owned()]));
}

#[test]
fn contexts_go_before_stages_and_images() {
    let contexts = ["alpine".to_owned(), "build".to_owned()].into();
    let text = "FROM docker.io/library/alpine:latest\nFROM x AS build\nRUN y\nFROM scratch\nCOPY --from=build a b\nCOPY --from=alpine a b";
    let plan = plan(text, Options { contexts, ..options() }).unwrap();
    assert_eq!(plan.stages()[0].base, Base::Context("alpine".into()));
    assert_eq!(plan.stages()[1].base, Base::Context("build".into()));
    assert_eq!(
        plan.stages()[2].origins,
        [Origin::Named("alpine".into()), Origin::Named("build".into())].into()
    );
    assert_eq!(plan.order(), [2]);
    let run = plan.begin(1, Parent::Image(ImageConfig::default())).unwrap();
    assert_eq!(run.count(), 0, "the context is the stage");
}

#[test]
fn a_base_images_onbuild_comes_first() {
    let plan = plan("FROM x\nRUN own", options()).unwrap();
    let base = ImageConfig {
        onbuild: vec!["COPY <<A /x\nhi $V\nA".into(), "RUN [\"kept\"]".into(), "ENV V=1".into()],
        env: vec![("V".into(), "0".into())],
        ..ImageConfig::default()
    };
    let mut run = plan.begin(0, Parent::Image(base)).unwrap();
    let steps: Vec<Step> = run.by_ref().map(Result::unwrap).collect();
    let shown: Vec<&str> = steps.iter().map(|step| step.created_by.as_str()).collect();
    assert_eq!(
        shown,
        ["COPY <<A /x # buildkit", "RUN kept # buildkit", "ENV V=1", "RUN /bin/sh -c own # buildkit"]
    );
    assert_eq!(steps[0].span, None);
    assert!(steps[3].span.is_some());
    let Action::Transfer(copy) = &steps[0].action else { panic!("a copy") };
    assert_eq!(copy.sources, [Source::Inline(InlineFile { name: "A".into(), data: "hi 0\n".into() })]);
    assert!(run.config().onbuild.is_empty());
    assert_eq!(run.config().variable("V"), Some("1"));
    let broken = ImageConfig { onbuild: vec!["RUNN x".into()], ..ImageConfig::default() };
    assert!(plan.begin(0, Parent::Image(broken)).is_err());
}

#[test]
fn proxies_need_no_declaration_and_are_in_no_key() {
    let build_args =
        BTreeMap::from([("http_proxy".to_owned(), "p".to_owned()), ("OTHER".to_owned(), "o".to_owned())]);
    let text = "FROM scratch\nRUN a\nARG HTTP_PROXY\nRUN b";
    let plan = plan(text, Options { build_args, ..options() }).unwrap();
    let steps: Vec<Step> =
        plan.begin(0, Parent::Image(ImageConfig::default())).unwrap().map(Result::unwrap).collect();
    let Action::Run(first) = &steps[0].action else { panic!("a run") };
    assert_eq!(first.uncached, ["HTTP_PROXY", "http_proxy"]);
    assert!(first.env.contains(&("http_proxy".into(), "p".into())));
    assert!(!first.env.iter().any(|(name, _)| name == "OTHER"));
    assert_eq!(steps[0].created_by, "RUN /bin/sh -c a # buildkit");
}

#[test]
fn platforms_have_a_usual_form() {
    for (text, wanted) in [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/arm64/v8", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/i386", "linux/386"),
        ("linux/riscv64", "linux/riscv64"),
        ("macos/arm64", "darwin/arm64"),
    ] {
        assert_eq!(text.parse::<Platform>().unwrap().to_string(), wanted, "{text}");
    }
    for text in ["", "/", "a/", "a/b/c/d", "a b", "linux/$x"] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}
