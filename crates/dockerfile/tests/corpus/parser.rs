//! BuildKit's own parser, that the package `dockerfile` of PyPI has: it reads the same files in the same way.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use serde_json::{Value, json};
use windlass_dockerfile::ast::{Command, CommandLine, Healthcheck, Instruction, Stage};
use windlass_dockerfile::parse;

use crate::words::{Dice, file};

const NAME: &str = "buildkit_parser";
const PACKAGE: &str = "dockerfile==3.4.0";

/// Files that the package's parser, which is older, reads otherwise than today's.
const EXPLAINED: [(&str, &str); 2] = [
    ("heredoc-copy", "white space between << and the name is newer"),
    ("json-forms", "something behind the list made no difference: today it makes a line for the shell"),
];

/// Reads one text a line, as JSON, and says what the package makes of it.
const ASK: &str = "
import dockerfile, json, sys
for line in sys.stdin:
    text = json.loads(line)
    try:
        found = [dict(cmd=c.cmd.upper(), flags=list(c.flags), value=list(c.value), json=c.json, first=c.start_line,
            last=c.end_line, docs=[[h.name, h.file_descriptor, h.content] for h in c.heredocs])
            for c in dockerfile.parse_string(text)]
        print(json.dumps(dict(found=found)))
    except Exception as error:
        print(json.dumps(dict(error=str(error))))
";

fn installed() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pypi-dockerfile");
    if folder.join("dockerfile").is_dir() || folder.join("dockerfile.abi3.so").is_file() {
        return Ok(folder);
    }
    let output = Program::new("pip")
        .args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"])
        .arg(&folder)
        .arg(PACKAGE)
        .output()
        .map_err(|error| format!("pip: {error}"))?;
    if output.status.success() {
        Ok(folder)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn ask(folder: &Path, texts: &[String]) -> Result<Vec<Value>, String> {
    let mut child = Program::new("python3")
        .args(["-c", ASK])
        .env("PYTHONPATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("python3: {error}"))?;
    let mut input = child.stdin.take().expect("a pipe");
    let lines: String = texts.iter().flat_map(|text| [json!(text).to_string(), "\n".to_owned()]).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    writer.join().expect("written").map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if answers.len() == texts.len() { Ok(answers) } else { Err("python3 did not answer".to_owned()) }
}

/// What we make of a text, told as the package tells it; without what only we keep apart.
fn ours(text: &str) -> Option<Vec<Value>> {
    let file = parse(text).dockerfile?;
    let mut all: Vec<Value> = file.globals.iter().map(instruction).collect();
    for stage in &file.stages {
        all.push(head(stage));
        all.extend(stage.instructions.iter().map(instruction));
    }
    Some(all)
}

fn head(stage: &Stage) -> Value {
    let mut value = vec![stage.base.text.clone()];
    value.extend(stage.as_keyword.iter().map(|word| word.text.clone()));
    value.extend(stage.name.iter().map(|word| word.text.clone()));
    json!({"cmd": "FROM", "value": value, "json": false, "docs": [],
        "first": stage.span.start.line, "last": stage.span.end.line})
}

fn line(line: &CommandLine) -> (Vec<String>, bool) {
    match line {
        CommandLine::Exec(argv) => (argv.clone(), true),
        CommandLine::Shell(word) if word.text.is_empty() => (Vec::new(), false),
        CommandLine::Shell(word) => (vec![word.text.clone()], false),
    }
}

fn instruction(instruction: &Instruction) -> Value {
    let words =
        |words: &[windlass_dockerfile::Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    let mut docs = Vec::new();
    let (value, exec) = match &instruction.command {
        Command::Arg(arguments) => {
            let one = |argument: &windlass_dockerfile::ast::Argument| match &argument.default {
                Some(default) => format!("{}={}", argument.name.text, default.text),
                None => argument.name.text.clone(),
            };
            (arguments.iter().map(one).collect(), false)
        }
        Command::Env(pairs) | Command::Label(pairs) => {
            (pairs.iter().flat_map(|pair| [pair.name.text.clone(), pair.value.text.clone()]).collect(), false)
        }
        Command::Cmd(command) | Command::Entrypoint(command) => line(command),
        Command::Run(run) => {
            docs = run.heredocs.iter().map(|doc| json!([doc.name, doc.descriptor, doc.data])).collect();
            line(&run.line)
        }
        Command::Shell(argv) => (argv.clone(), true),
        Command::Healthcheck(Healthcheck::None) => (vec!["NONE".to_owned()], false),
        Command::Healthcheck(Healthcheck::Test { command, .. }) => {
            let (mut value, exec) = line(command);
            value.insert(0, "CMD".to_owned());
            (value, exec)
        }
        Command::Expose(all) => (words(all), false),
        Command::Maintainer(word)
        | Command::StopSignal(word)
        | Command::User(word)
        | Command::Workdir(word) => (vec![word.text.clone()], false),
        // What these have is told in other forms, or not kept in the order of the file.
        Command::Add(_) | Command::Copy(_) | Command::Volume(_) | Command::Onbuild(_) => (Vec::new(), false),
    };
    json!({"cmd": instruction.command.keyword(), "value": value, "json": exec, "docs": docs,
        "first": instruction.span.start.line, "last": instruction.span.end.line})
}

/// The package's answer, with as much as ours has.
fn theirs(answer: &Value) -> Option<Vec<Value>> {
    let found = answer.get("found")?.as_array()?;
    let mut all = Vec::new();
    for each in found {
        let mut each = each.clone();
        let map = each.as_object_mut()?;
        map.remove("flags");
        let cmd = map["cmd"].as_str()?.to_owned();
        if ["ADD", "COPY", "VOLUME", "ONBUILD"].contains(&cmd.as_str()) {
            map.insert("value".into(), json!([]));
            map.insert("json".into(), json!(false));
            map.insert("docs".into(), json!([]));
        }
        if cmd == "HEALTHCHECK" {
            let kind = map["value"][0].as_str()?.to_ascii_uppercase();
            map["value"][0] = json!(kind);
        }
        all.push(each);
    }
    Some(all)
}

fn texts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/data");
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "dockerfile") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            texts.push((name, fs::read_to_string(&path).expect("a text")));
        }
    }
    texts.sort();
    let mut dice = Dice::new(1);
    texts.extend((0..2_000).map(|number| (format!("random {number}"), file(&mut dice))));
    texts
}

#[test]
fn buildkits_own_parser_reads_the_same() {
    let folder = match installed() {
        Ok(folder) => folder,
        Err(reason) => return windlass_testkit::skip(NAME, &reason),
    };
    let texts = texts();
    let answers = match ask(&folder, &texts.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>()) {
        Ok(answers) => answers,
        Err(reason) => return windlass_testkit::skip(NAME, &reason),
    };
    let mut wrong = Vec::new();
    let mut compared = 0;
    for ((name, text), answer) in texts.iter().zip(&answers) {
        if let Some((_, why)) = EXPLAINED.iter().find(|(explained, _)| explained == name) {
            assert_ne!(ours(text), theirs(answer), "{name} is read in the same way now, though {why}");
            continue;
        }
        // The package only splits; what an instruction may have is checked here at once. So a text that only we
        // refuse is no difference, but one that only it refuses is.
        match (ours(text), theirs(answer)) {
            (Some(ours), Some(theirs)) if ours == theirs => compared += 1,
            (Some(ours), Some(theirs)) => {
                let differ = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
                wrong.push(format!(
                    "{name}: {differ:#?}\n{} and {} instructions\n{text}",
                    ours.len(),
                    theirs.len()
                ));
            }
            (Some(_), None) => wrong.push(format!("{name}: {answer}\n{text}")),
            (None, _) => {}
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n\n"));
    assert!(compared > 1_500, "only {compared} could be compared");
}
