//! How a Python program is started, and what says so.

use super::requirements::Needs;
use super::texts::{owned, plain, string};
use super::{Files, Kind, Unrecognised};

/// A way to start.
pub(super) struct Start {
    pub(super) argv: Vec<String>,
    pub(super) why: String,
    pub(super) port: Option<u16>,
    pub(super) stop: Option<&'static str>,
}

impl Start {
    fn shell(line: &str, why: impl Into<String>) -> Self {
        Self { argv: owned(&["/bin/sh", "-c", line]), why: why.into(), port: Some(8000), stop: None }
    }

    fn program(argv: &[&str], why: impl Into<String>) -> Self {
        Self { argv: owned(argv), why: why.into(), port: None, stop: None }
    }

    /// gunicorn listens on what `PORT` says by itself.
    fn gunicorn(app: &str, why: String) -> Self {
        Self { port: Some(8000), ..Self::program(&["python3", "-m", "gunicorn", app], why) }
    }

    /// A server for development has no handler for the usual signal.
    fn interrupted(self) -> Self {
        Self { stop: Some("SIGINT"), ..self }
    }
}

/// An application that a server is given.
struct Application {
    /// `module:name`.
    at: String,
    /// `ASGI`, or `WSGI`.
    asynchronous: bool,
    /// Whether it is made by calling it.
    made: bool,
    path: String,
}

pub(super) fn start(files: &Files, pyproject: &toml::Table, needs: &Needs) -> Result<Start, Unrecognised> {
    let web = |text: &str| text.lines().find_map(|line| line.strip_prefix("web:").map(str::to_owned));
    if let Some(line) = files.text("Procfile").and_then(web) {
        return Ok(Start::shell(&format!("exec {}", line.trim()), "Procfile: web"));
    }
    if let Some(text) = files.text("manage.py") {
        return Ok(django(text, needs));
    }
    if let Some(app) = application(files) {
        return served(&app, needs);
    }
    let file = files.first(&["app.py", "main.py", "wsgi.py", "server.py"]);
    if let Some(module) = file.map(|file| file.trim_end_matches(".py"))
        && needs.has("gunicorn")
    {
        return Ok(Start::gunicorn(&format!("{module}:app"), format!("{module}.py, and gunicorn is needed")));
    }
    if let Some(file) = file {
        let reads = files.text(file).is_some_and(|text| text.contains("\"PORT\"") || text.contains("'PORT'"));
        return Ok(Start { port: reads.then_some(8000), ..Start::program(&["python3", file], file) });
    }
    if let Some(found) = module(files) {
        return Ok(found);
    }
    if let Some(found) = script(files, pyproject)? {
        return Ok(found);
    }
    let help = "add an app.py or main.py, a package's __main__.py, one of [project.scripts], or a Procfile with web:";
    Err(Unrecognised::unclear(Kind::Python, "nothing says how it starts", help))
}

fn django(text: &str, needs: &Needs) -> Start {
    let why = "manage.py: Django";
    let module = text.split(['"', '\'']).find_map(|word| word.strip_suffix(".settings"));
    match module.filter(|module| plain(module)) {
        Some(module) if needs.has("gunicorn") => Start::gunicorn(&format!("{module}.wsgi"), why.to_owned()),
        Some(module) if needs.has("uvicorn") => Start::shell(
            &format!("exec python3 -m uvicorn {module}.asgi:application --host 0.0.0.0 --port \"$PORT\""),
            why,
        ),
        _ => {
            let why = format!("{why}, with its server for development: add gunicorn");
            Start::shell("exec python3 manage.py runserver --noreload \"0.0.0.0:$PORT\"", why).interrupted()
        }
    }
}

/// A server for an application, of those that are needed.
fn served(app: &Application, needs: &Needs) -> Result<Start, Unrecognised> {
    let Application { at, path, .. } = app;
    let called = if app.made { "()" } else { "" };
    if app.asynchronous {
        if needs.has("uvicorn") || needs.has_extra("fastapi", "standard") {
            let factory = if app.made { " --factory" } else { "" };
            let line = format!("exec python3 -m uvicorn {at}{factory} --host 0.0.0.0 --port \"$PORT\"");
            return Ok(Start::shell(&line, format!("{path}, and uvicorn is needed")));
        }
        let why = format!("{path} has an application, and nothing that serves it is needed");
        return Err(Unrecognised::unclear(Kind::Python, why, "add uvicorn to what it needs"));
    }
    if needs.has("gunicorn") {
        return Ok(Start::gunicorn(&format!("{at}{called}"), format!("{path}, and gunicorn is needed")));
    }
    if needs.has("waitress") {
        let call = if app.made { "--call " } else { "" };
        let line = format!("exec python3 -m waitress --port=\"$PORT\" {call}{at}");
        return Ok(Start::shell(&line, format!("{path}, and waitress is needed")));
    }
    let why = format!("{path}, with Flask's server for development: add gunicorn");
    let line = format!("exec python3 -m flask --app {at} run --host 0.0.0.0 --port \"$PORT\"");
    Ok(Start::shell(&line, why).interrupted())
}

/// The application that stands in the shortest path; of those, in the file with the most usual name.
fn application(files: &Files) -> Option<Application> {
    let mut found: Vec<(usize, usize, Application)> = Vec::new();
    for (path, text) in files.ending(".py") {
        let tests = |part: &str| part.starts_with("test") || part == "conftest.py" || part == "migrations";
        let module = path.trim_start_matches("src/").trim_end_matches(".py").trim_end_matches("/__init__");
        if !plain(path) || path.split('/').any(tests) || module.contains(['-', '.', '+', '@', ':']) {
            continue;
        }
        let Some((name, asynchronous, made)) = text.lines().find_map(defined) else { continue };
        let usual = ["asgi", "wsgi", "app", "main", "server"];
        let last = module.rsplit('/').next().unwrap_or(module);
        let rank = usual.iter().position(|known| *known == last).unwrap_or(usual.len());
        let at = format!("{}:{name}", module.replace('/', "."));
        found.push((
            module.matches('/').count(),
            rank,
            Application { at, asynchronous, made, path: path.to_owned() },
        ));
    }
    found.into_iter().min_by_key(|(depth, rank, _)| (*depth, *rank)).map(|(_, _, app)| app)
}

/// `app = FastAPI(…)`, `def create_app(…)`: the name, whether it is asynchronous, whether it has to be called.
fn defined(line: &str) -> Option<(&str, bool, bool)> {
    if let Some(rest) = line.strip_prefix("def ") {
        let name = rest.split('(').next()?;
        return matches!(name, "create_app" | "make_app").then_some((name, false, true));
    }
    let (name, value) = line.split_once('=')?;
    let name = name.split(':').next()?.trim_end();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let made = value.trim_start().split('(').next().filter(|_| value.contains('('))?;
    match made.rsplit('.').next()? {
        "FastAPI" | "Starlette" | "Quart" | "Litestar" | "Sanic" => Some((name, true, false)),
        "Flask" | "Bottle" => Some((name, false, false)),
        _ => None,
    }
}

/// A package that can be run as it is.
fn module(files: &Files) -> Option<Start> {
    let mut all = files.paths.iter().filter_map(|path| path.strip_suffix("/__main__.py"));
    let module = all.find(|module| plain(module))?;
    let name = module.trim_start_matches("src/").replace('/', ".");
    Some(Start::program(&["python3", "-m", &name], format!("{module}/__main__.py")))
}

/// One of the project's scripts.
fn script(files: &Files, pyproject: &toml::Table) -> Result<Option<Start>, Unrecognised> {
    let Some(table) = super::texts::at(pyproject, &["project", "scripts"]).and_then(toml::Value::as_table)
    else {
        return Ok(None);
    };
    let names: Vec<&str> = table.keys().map(String::as_str).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let name = files.chosen(Kind::Python, &names)?;
    let target = string(pyproject, &["project", "scripts", name]).unwrap_or_default();
    let word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    let Some((module, function)) =
        target.split_once(':').filter(|(module, function)| word(module) && word(function))
    else {
        let why = format!("the script {name} names no function: '{}'", target.escape_debug());
        return Err(Unrecognised::unclear(Kind::Python, why, "write it as module:function"));
    };
    let first = function.split('.').next().unwrap_or(function);
    let code = format!("import sys; from {module} import {first}; sys.exit({function}())");
    Ok(Some(Start::program(&["python3", "-c", &code], format!("pyproject.toml: the script {name}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_are_found_in_lines() {
        for (line, expected) in [
            ("app = FastAPI()", Some(("app", true, false))),
            ("api: FastAPI = fastapi.FastAPI(title='x')", Some(("api", true, false))),
            ("server = Flask(__name__)", Some(("server", false, false))),
            ("def create_app(config=None):", Some(("create_app", false, true))),
            ("    app = Flask(__name__)", None),
            ("app = Flask", None),
            ("x == Flask()", None),
            ("# app = Flask()", None),
        ] {
            assert_eq!(defined(line), expected, "{line}");
        }
    }
}
