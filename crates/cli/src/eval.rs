//! `windlass eval`: what an expression of a workflow is worth, over contexts from a file; one, or as many as are asked.

use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value as Json, json};
use windlass_workflow::expr::{EvalError, Expr, Object, Scope, StatusFunction, Value};
use windlass_workflow::template::Template;

use crate::connection::Global;
use crate::failure::{Exit, Failure};
use crate::show;

/// Evaluate an expression of a workflow; exit 1 if it has no value
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A text is printed as it is, any other value as toJSON would. With --json every value is JSON;
NaN and Infinity, which JSON cannot say, are null then.
success(), failure() and cancelled() look at job.status, else at the results in needs.
With --batch each line of standard input is {\"expr\": …, \"context\": {…}}, and is answered by
one line: {\"value\": …} or {\"error\": …}.

Examples:
  windlass eval \"contains('Hello', 'ell')\"
  windlass eval --context contexts.json '${{ github.ref_name }} by ${{ github.actor }}'
  echo '{\"expr\": \"matrix.os\", \"context\": {\"matrix\": {\"os\": \"linux\"}}}' | windlass eval --batch")]
pub(crate) struct Eval {
    /// The expression, with or without ${{ }}
    #[arg(required_unless_present = "batch", conflicts_with = "batch", allow_hyphen_values = true)]
    expr: Option<String>,
    /// A JSON file with the contexts: {"github": {…}, "matrix": {…}, …}; `-` is standard input. With --batch, for the
    /// lines that have none
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
    /// The folder of which hashFiles() speaks
    #[arg(short = 'C', value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Answer the questions on standard input, line by line
    #[arg(long)]
    batch: bool,
}

/// The longest line of a batch and the largest file of contexts, in bytes.
const LARGEST: usize = 64 << 20;

/// Evaluates an expression, or a batch of them.
pub(crate) fn run(global: &Global, eval: Eval) -> Result<Exit> {
    let directory = eval
        .directory
        .canonicalize()
        .with_context(|| format!("cannot look into {}", eval.directory.display()))?;
    let given = match &eval.context {
        Some(path) if eval.batch && path.as_os_str() == "-" => {
            return Err(Failure::usage("--batch reads standard input: name a file with --context").into());
        }
        Some(path) => contexts_of(path)?,
        None => Json::Null,
    };
    let Some(expr) = &eval.expr else {
        let mut input = BufReader::new(io::stdin().lock());
        return match batch(&mut input, &mut io::stdout().lock(), &given, &directory) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            Err(e) => Err(e).context("the batch ended early"),
            Ok(()) => Ok(Exit::Done),
        };
    };
    let contexts = Contexts::of(&given, &directory).map_err(|why| Failure::new(Exit::Failed, why))?;
    let value = contexts.evaluate(expr).map_err(|why| Failure::new(Exit::Failed, why))?;
    match value {
        _ if global.json => show::json(&value.to_json())?,
        Value::String(text) if io::stdout().is_terminal() => show::print(&show::clean(&text))?,
        Value::String(text) => show::print(&text)?,
        other => show::print(&other.to_json_text())?,
    }
    Ok(Exit::Done)
}

fn contexts_of(path: &Path) -> Result<Json> {
    let mut bytes = Vec::new();
    let limit = LARGEST as u64 + 1;
    let shown = path.display();
    let read = if path.as_os_str() == "-" {
        io::Read::read_to_end(&mut io::Read::take(io::stdin().lock(), limit), &mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, limit), &mut bytes))
    };
    read.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() > LARGEST {
        return Err(Failure::new(Exit::Failed, format!("{shown} is larger than 64 MiB")).into());
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{shown} is no JSON"))
}

/// Answers every line by one; nothing that stands in a line ends it.
fn batch(
    input: &mut BufReader<impl io::Read>,
    output: &mut impl Write,
    otherwise: &Json,
    directory: &Path,
) -> io::Result<()> {
    let mut output = io::BufWriter::new(output);
    let mut line = Vec::new();
    while let Some(whole) = next_line(input, &mut line)? {
        let answer = if whole {
            answer(&line, otherwise, directory)
        } else {
            Err("the line is longer than 64 MiB".to_owned())
        };
        let answer = match answer {
            Ok(value) => json!({ "value": value.to_json() }),
            Err(why) => json!({ "error": why }),
        };
        writeln!(output, "{answer}")?;
        // Who asks one by one gets the answer before the next question.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    output.flush()
}

/// Reads a line without its end; `Some(false)` if it was too long and is not whole, `None` at the end of the input.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut begun, mut whole) = (false, true);
    loop {
        let buffer = match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            return Ok(begun.then_some(whole));
        }
        begun = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        whole &= line.len() + part.len() <= LARGEST;
        if whole {
            line.extend_from_slice(part);
        }
        let used = end.map_or(buffer.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

fn answer(line: &[u8], otherwise: &Json, directory: &Path) -> Result<Value, String> {
    let question: Json = serde_json::from_slice(line).map_err(|e| format!("the line is no JSON: {e}"))?;
    let Json::Object(question) = question else {
        return Err("the line is no JSON object: {\"expr\": …, \"context\": {…}} is wanted".to_owned());
    };
    let Some(Json::String(expr)) = question.get("expr") else {
        return Err("`expr` must be there, and be a text".to_owned());
    };
    let context = question.get("context").filter(|context| !context.is_null()).unwrap_or(otherwise);
    Contexts::of(context, directory)?.evaluate(expr)
}

/// What expressions are evaluated over.
struct Contexts<'a> {
    /// By their names in lower case.
    values: Vec<(String, Value)>,
    directory: &'a Path,
}

impl<'a> Contexts<'a> {
    fn of(given: &Json, directory: &'a Path) -> Result<Self, String> {
        let values = match given {
            Json::Null => Vec::new(),
            Json::Object(contexts) => contexts.iter().map(|(name, value)| named(name, value)).collect(),
            _ => return Err("the context must be an object: {\"github\": {…}, …}".to_owned()),
        };
        Ok(Self { values, directory })
    }

    fn evaluate(&self, text: &str) -> Result<Value, String> {
        if let Some(inner) = enclosed(text.trim()) {
            return self.alone(inner);
        }
        if !opens(text) {
            return self.alone(text);
        }
        let template = Template::parse(text).map_err(|e| e.message)?;
        template.render(self).map_err(|e| e.message)
    }

    fn alone(&self, text: &str) -> Result<Value, String> {
        let expr = Expr::parse_over(text, |name| self.find(name).is_some()).map_err(|e| e.message)?;
        expr.evaluate(self).map_err(|e| e.message)
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How the job stands.
    fn standing(&self) -> Value {
        let status = self.find("job").map(|job| job.get("status")).unwrap_or_default();
        if let Value::String(_) = status {
            return status;
        }
        let results = self.results();
        let some = |wanted: &str| results.iter().any(|(_, result)| result.eq_ignore_ascii_case(wanted));
        let all_well = results.iter().all(|(_, result)| result.eq_ignore_ascii_case("success"));
        Value::from(match () {
            () if some("cancelled") => "cancelled",
            () if some("failure") => "failure",
            () if all_well => "success",
            () => "skipped",
        })
    }

    /// The results of the jobs in `needs`.
    fn results(&self) -> Vec<(String, String)> {
        let needs = self.find("needs").and_then(Value::as_object);
        let jobs = needs.into_iter().flat_map(Object::iter);
        jobs.map(|(job, value)| (job.to_owned(), value.get("result").to_text().to_string())).collect()
    }
}

impl Scope for Contexts<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        self.find(name).cloned()
    }

    fn status(&self, function: StatusFunction, arguments: &[Value]) -> Result<Value, EvalError> {
        let wanted = match function {
            StatusFunction::Always => return Ok(true.into()),
            StatusFunction::Success => "success",
            StatusFunction::Failure => "failure",
            StatusFunction::Cancelled => "cancelled",
        };
        if arguments.is_empty() {
            return Ok(self.standing().to_text().eq_ignore_ascii_case(wanted).into());
        }
        let results = self.results();
        let mut found = Vec::new();
        for argument in arguments {
            let job = argument.to_text();
            let result = results.iter().find(|(id, _)| id.eq_ignore_ascii_case(&job));
            let (_, result) =
                result.ok_or_else(|| EvalError::new(format!("there is no job '{job}' in needs")))?;
            found.push(result.eq_ignore_ascii_case(wanted));
        }
        let holds = if wanted == "success" { found.iter().all(|f| *f) } else { found.contains(&true) };
        Ok(holds.into())
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        windlass_runner::hash_files(self.directory, patterns)
            .map_err(|why| EvalError::new(format!("hashFiles({}) failed: {why}", patterns.join(", "))))
    }
}

/// A context; names of variables are exact, so `env` is.
fn named(name: &str, value: &Json) -> (String, Value) {
    let lower = name.to_ascii_lowercase();
    let value = match value {
        Json::Object(variables) if lower == "env" => {
            let mut env = Object::exact();
            env.extend(variables.iter().map(|(name, value)| (name, Value::from(value))));
            Value::from(env)
        }
        other => Value::from(other),
    };
    (lower, value)
}

/// What stands in `${{ }}`, if that is all there is.
fn enclosed(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${{")?;
    let mut quoted = false;
    let end = inner.char_indices().find(|(i, c)| {
        quoted ^= *c == '\'';
        !quoted && inner[*i..].starts_with("}}")
    });
    end.filter(|(end, _)| end + 2 == inner.len()).map(|(end, _)| &inner[..end])
}

/// Whether `${{` stands in a text, outside of quotes.
fn opens(text: &str) -> bool {
    let mut quoted = false;
    text.char_indices().any(|(i, c)| {
        quoted ^= c == '\'';
        !quoted && text[i..].starts_with("${{")
    })
}

#[cfg(test)]
mod tests;
