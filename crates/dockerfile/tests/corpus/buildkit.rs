//! BuildKit itself, in Debian's Docker Engine: files without programs give the same configuration and history there.
//! (It kept `//` and `/../` of an absolute WORKDIR; here paths are always clean, so no file of this test has them.)

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use windlass_dockerfile::plan::{Action, Base, ImageConfig};
use windlass_dockerfile::{Parent, Plan, StageRun, parse};
use windlass_testkit::{DockerEngine, DockerStorage};

use crate::shown::options;
use crate::words::{Dice, file};

const NAME: &str = "buildkit_of_docker";

/// A Docker Engine of our own, asked without the client: that one builds by a builder of its own where it has one.
struct Engine(DockerEngine);

impl Engine {
    fn start() -> Result<Self, String> {
        DockerEngine::start(&std::env::temp_dir(), DockerStorage::Vfs).map(Self)
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<String, String> {
        let fail = |error: std::io::Error| error.to_string();
        let mut socket = UnixStream::connect(self.0.socket()).map_err(fail)?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).map_err(fail)?;
        socket.write_all(body).map_err(fail)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).map_err(fail)?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).ok_or_else(|| "no answer".to_owned())
    }

    /// Builds a file with BuildKit: the image's description and history, or why not.
    fn build(&self, text: &str) -> Result<Result<(Value, Value), String>, String> {
        let (options, _) = options(text);
        let query = |text: &str| text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"));
        let arguments = query(&serde_json::to_string(&options.build_args).expect("JSON"));
        let target = options.target.as_deref().map(query).unwrap_or_default();
        let path = format!("/v1.41/build?version=2&t=windlass&buildargs={arguments}&target={target}");
        let answer = self.ask("POST", &path, &archive(text))?;
        if let Some(error) = answer
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|line| line.get("error").and_then(Value::as_str).map(str::to_owned))
        {
            return Ok(Err(error));
        }
        let json =
            |text: String| serde_json::from_str::<Value>(&text).map_err(|error| format!("{error}: {text}"));
        let image = json(self.ask("GET", "/v1.41/images/windlass/json", &[])?)?;
        let history = json(self.ask("GET", "/v1.41/images/windlass/history", &[])?)?;
        Ok(Ok((image, history)))
    }
}

/// A tar archive with the file and some to copy.
fn archive(text: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, data) in [("Dockerfile", text), ("a", "A\n"), ("b", "B\n")] {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[108..115].copy_from_slice(b"0000000");
        header[116..123].copy_from_slice(b"0000000");
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..263].copy_from_slice(b"ustar\0");
        header[263..265].copy_from_slice(b"00");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(data.as_bytes());
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// What we make of a file: the configuration and the history's lines, or that it cannot be built.
fn ours(text: &str) -> Result<(ImageConfig, Vec<String>), String> {
    let parsed = parse(text);
    let one = |found: &[windlass_dockerfile::Diagnostic]| {
        found.iter().map(|each| each.one_line("f")).collect::<Vec<_>>().join("; ")
    };
    let file = parsed.dockerfile.ok_or_else(|| one(&parsed.diagnostics))?;
    let plan = Plan::new(&file, options(text).0).map_err(|found| one(&found))?;
    let mut runs: std::collections::BTreeMap<usize, (StageRun, Vec<String>)> =
        std::collections::BTreeMap::new();
    for index in plan.order() {
        let (parent, mut history) = match plan.stages()[index].base {
            Base::Stage(base) => (Parent::Stage(&runs[&base].0), runs[&base].1.clone()),
            _ => (Parent::Image(ImageConfig::default()), Vec::new()),
        };
        let mut run = plan.begin(index, parent).map_err(|found| one(&[found]))?;
        for step in run.by_ref() {
            let step = step.map_err(|found| one(&[found]))?;
            if step.action != Action::Nothing {
                history.push(step.created_by);
            }
        }
        runs.insert(index, (run, history));
    }
    let (run, history) = runs.remove(&plan.target()).expect("the target");
    Ok((run.config().clone(), history))
}

fn list(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?;
    Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> =
        value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    keys.sort();
    keys
}

/// The history that both write in the same way: lists of ports, health checks and arguments of the global scope were
/// written otherwise by the BuildKit of Debian's engine.
fn comparable(lines: &[String]) -> Vec<&String> {
    lines
        .iter()
        .filter(|line| !["HEALTHCHECK", "EXPOSE", "ARG"].iter().any(|word| line.starts_with(word)))
        .collect()
}

/// What differs between the two, if anything does.
fn difference(config: &ImageConfig, history: &[String], image: &Value, theirs: &Value) -> Option<String> {
    let found = &image["Config"];
    let mut labels: Vec<(String, String)> = found["Labels"].as_object().map_or_else(Vec::new, |map| {
        map.iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect()
    });
    labels.sort();
    let env: Vec<String> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    // The engine shows the root where nothing was said.
    let folder = if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() };
    let filled = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    let mut lines: Vec<String> =
        theirs.as_array()?.iter().filter_map(|line| line["CreatedBy"].as_str()).map(str::to_owned).collect();
    lines.reverse();
    let health = config
        .healthcheck
        .as_ref()
        .map(|check| (check.test.clone(), check.retries, check.interval.as_nanos()));
    let their_health = found["Healthcheck"].as_object().map(|check| {
        let number = |name: &str| check.get(name).and_then(Value::as_u64).unwrap_or(0);
        let test = check.get("Test").and_then(list).unwrap_or_default();
        (test, number("Retries") as u32, u128::from(number("Interval")))
    });
    let pairs = [
        (format!("{env:?}"), format!("{:?}", list(&found["Env"]).unwrap_or_default())),
        (format!("{:?}", config.labels.clone().into_iter().collect::<Vec<_>>()), format!("{labels:?}")),
        (format!("{:?}", filled(config.cmd.clone())), format!("{:?}", filled(list(&found["Cmd"])))),
        (format!("{:?}", config.entrypoint), format!("{:?}", list(&found["Entrypoint"]))),
        (format!("{:?}", config.shell), format!("{:?}", list(&found["Shell"]))),
        (
            format!("{:?}", config.ports.iter().collect::<Vec<_>>()),
            format!("{:?}", keys(&found["ExposedPorts"])),
        ),
        (
            format!("{:?}", config.volumes.iter().collect::<Vec<_>>()),
            format!("{:?}", keys(&found["Volumes"])),
        ),
        (config.user.clone(), text("User")),
        (folder, text("WorkingDir")),
        (config.stop_signal.clone().unwrap_or_default(), text("StopSignal")),
        (config.author.clone().unwrap_or_default(), image["Author"].as_str().unwrap_or_default().to_owned()),
        (format!("{health:?}"), format!("{their_health:?}")),
        (format!("{:?}", config.onbuild), format!("{:?}", list(&found["OnBuild"]).unwrap_or_default())),
        (format!("{:#?}", comparable(history)), format!("{:#?}", comparable(&lines))),
    ];
    pairs
        .into_iter()
        .find(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| format!("ours   {ours}\ntheirs {theirs}"))
}

/// Files of the corpus that this BuildKit can build: no images, no programs, nothing that came later.
fn corpus() -> Vec<(String, String)> {
    const FILES: [&str; 13] = [
        "bom",
        "continuation-config",
        "directive-too-late",
        "empty-values",
        "entrypoints",
        "env-forms",
        "healthchecks",
        "minimal",
        "odd-spacing-config",
        "onbuild-local",
        "stages",
        "words-old",
        "workdirs-config",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/data");
    FILES
        .iter()
        .map(|name| {
            let path = folder.join(format!("{name}.dockerfile"));
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            ((*name).to_owned(), text)
        })
        .collect()
}

#[test]
fn buildkit_gives_the_same_configuration() {
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(reason) => return windlass_testkit::skip(NAME, &reason),
    };
    let mut files = corpus();
    let mut dice = Dice::new(7);
    files.extend((0..50).map(|number| (format!("random {number}"), file(&mut dice))));
    let mut wrong = Vec::new();
    let mut same = 0;
    for (name, text) in &files {
        let theirs = engine.build(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        match (ours(text), theirs) {
            (Ok((config, history)), Ok((image, theirs))) => {
                match difference(&config, &history, &image, &theirs) {
                    None => same += 1,
                    Some(found) => wrong.push(format!("{name}: {found}\n{text}")),
                }
            }
            (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) => wrong.push(format!("{name}: only BuildKit refuses it: {error}\n{text}")),
            (Err(error), Ok(_)) => wrong.push(format!("{name}: only we refuse it: {error}\n{text}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        files.len(),
        wrong[..wrong.len().min(12)].join("\n\n")
    );
    assert!(same > 30, "only {same} could be compared");
}
