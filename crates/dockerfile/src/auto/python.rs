//! Python: packages in a layer of their own, over the machine's interpreter.

use super::{Files, Kind, Project, Read, Unrecognised, plain, toml, version};

pub(super) fn read(files: &Files) -> Read {
    let known = ["requirements.txt", "pyproject.toml", "manage.py", "app.py", "main.py", "wsgi.py"];
    let marker = files.first(&known)?;
    // A pyproject.toml alone may be for tools of another kind of project.
    if marker == "pyproject.toml" && !files.paths.iter().any(|path| path.strip_suffix(".py").is_some()) {
        return None;
    }
    Some(project(files, marker))
}

/// What is installed: a file of requirements, or the list of `pyproject.toml`.
struct Needs {
    file: bool,
    list: Vec<String>,
}

impl Needs {
    fn of(files: &Files) -> Self {
        if let Some(text) = files.text("requirements.txt") {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            return Self { file: true, list: lines.map(str::to_owned).collect() };
        }
        let text = files.text("pyproject.toml").unwrap_or_default();
        Self { file: false, list: toml::strings(text, "project", "dependencies").unwrap_or_default() }
    }

    /// Whether a package is among them.
    fn has(&self, package: &str) -> bool {
        self.list.iter().any(|line| {
            let end =
                line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
            line[..end].eq_ignore_ascii_case(package)
        })
    }
}

/// How the program is started, and what says so.
fn start(files: &Files, needs: &Needs) -> Option<(Vec<String>, String, Option<u16>)> {
    let argv = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    if let Some(line) =
        files.text("Procfile").and_then(|text| text.lines().find_map(|line| line.strip_prefix("web:")))
    {
        let shell = vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("exec {}", line.trim())];
        return Some((shell, "Procfile: web".to_owned(), Some(8000)));
    }
    if let Some(text) = files.text("manage.py") {
        let module = text.split('"').chain(text.split('\'')).find_map(|word| word.strip_suffix(".settings"));
        let why = "manage.py: Django".to_owned();
        return Some(match module.filter(|module| needs.has("gunicorn") && plain(module)) {
            Some(module) => {
                (argv(&format!("python3 -m gunicorn -b 0.0.0.0:8000 {module}.wsgi")), why, Some(8000))
            }
            None => (argv("python3 manage.py runserver --noreload 0.0.0.0:8000"), why, Some(8000)),
        });
    }
    let file = files.first(&["app.py", "main.py", "wsgi.py", "server.py"]);
    let module = file.map(|file| file.trim_end_matches(".py"));
    if let Some(module) = module {
        if needs.has("uvicorn") || needs.has("fastapi") {
            let line = format!("python3 -m uvicorn {module}:app --host 0.0.0.0 --port 8000");
            return Some((argv(&line), format!("{module}.py, and fastapi or uvicorn is needed"), Some(8000)));
        }
        if needs.has("gunicorn") {
            let line = format!("python3 -m gunicorn -b 0.0.0.0:8000 {module}:app");
            return Some((argv(&line), format!("{module}.py, and gunicorn is needed"), Some(8000)));
        }
        if needs.has("flask") {
            let line = format!("python3 -m flask --app {module} run --host 0.0.0.0 --port 8000");
            return Some((argv(&line), format!("{module}.py, and flask is needed"), Some(8000)));
        }
    }
    if let Some(file) = file {
        return Some((vec!["python3".to_owned(), file.to_owned()], file.to_owned(), None));
    }
    let module = files
        .paths
        .iter()
        .find_map(|path| path.strip_suffix("/__main__.py").filter(|module| plain(module)))?;
    let name = module.trim_start_matches("src/").replace('/', ".");
    Some((vec!["python3".to_owned(), "-m".to_owned(), name], format!("{module}/__main__.py"), None))
}

fn project(files: &Files, marker: &str) -> Result<Project, Unrecognised> {
    let needs = Needs::of(files);
    let text = files.text("pyproject.toml").unwrap_or_default();
    let name = toml::string(text, "project", "name").unwrap_or_else(|| files.folder.clone());
    let mut project = Project::new(Kind::Python, &name);
    project.found("a Python project", marker);
    let Some((entrypoint, why, port)) = start(files, &needs) else {
        let help = "add an app.py or main.py, a package's __main__.py, or a Procfile with web:";
        return Err(Unrecognised::unclear(Kind::Python, "nothing says how it starts", help));
    };
    project.found("how it starts", why);
    project.tools = vec!["python3"];
    let pip = [
        "python3",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-compile",
        "--root-user-action=ignore",
    ];
    if !needs.list.is_empty() {
        let from = if needs.file { "requirements.txt" } else { "pyproject.toml: dependencies" };
        project.found(format!("{} packages", needs.list.len()), from);
        let mut argv = pip.to_vec();
        argv.extend(["--target", "{out}/packages"]);
        if needs.file {
            argv.extend(["-r", "requirements.txt"]);
        } else {
            // What begins with a dash would be an option.
            argv.push("--");
            argv.extend(needs.list.iter().map(String::as_str));
        }
        project.step(&argv, &[("PYTHONDONTWRITEBYTECODE", "1"), ("SOURCE_DATE_EPOCH", "315532800")]);
        // Byte code has the time of its making in it.
        project.layer("packages", "packages", "/packages", &["**/__pycache__"]);
    }
    project.layer("code", "src", "/app", &[]);
    let path = if files.paths.iter().any(|path| path.starts_with("src/") && path.ends_with("/__init__.py")) {
        "/app/src:/packages"
    } else {
        "/packages"
    };
    project.env =
        super::pairs(&[("PYTHONPATH", path), ("PATH", "/packages/bin:$PATH"), ("PYTHONUNBUFFERED", "1")]);
    project.port = port;
    project.entrypoint = entrypoint;
    project.stages = stages(files, text, &needs);
    Ok(project)
}

fn stages(files: &Files, pyproject: &str, needs: &Needs) -> String {
    let wanted = files.text(".python-version").map(str::to_owned);
    let wanted = wanted.or_else(|| toml::string(pyproject, "project", "requires-python"));
    let image = match wanted.as_deref().and_then(|text| version(text, 2)) {
        Some(version) if version.contains('.') => format!("python:{version}-slim"),
        _ => "python:3-slim".to_owned(),
    };
    if needs.list.is_empty() {
        return format!("FROM {image}\nCOPY . /app\n");
    }
    let cache = "RUN --mount=type=cache,target=/root/.cache/pip";
    let install = if needs.file {
        format!(
            "COPY requirements.txt ./\n{cache} pip install --no-compile --target /packages -r requirements.txt\n"
        )
    } else {
        let mut argv = super::owned(&["pip", "install", "--no-compile", "--target", "/packages", "--"]);
        argv.extend(needs.list.iter().cloned());
        format!("{cache} {}\n", super::json(&argv))
    };
    format!(
        "FROM {image} AS packages\nWORKDIR /src\n{install}\nFROM {image}\nCOPY --from=packages /packages /packages\nCOPY . /app\n"
    )
}
