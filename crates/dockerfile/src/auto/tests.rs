//! Projects by their files. What is recognised builds: crates/cli has a test with real ones.

use super::*;
use crate::plan::{Options, Plan, Platform};
use crate::{lint, parse};

fn files(paths: &[&str], texts: &[(&str, &str)], tools: &[&str]) -> Files {
    let all = paths.iter().copied().chain(texts.iter().map(|(path, _)| *path));
    Files {
        paths: all.map(str::to_owned).collect(),
        texts: texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        folder: "My App".to_owned(),
        program: None,
        base: None,
    }
}

/// Both Dockerfiles of a project can be read and planned, and no rule finds anything in them.
#[track_caller]
fn sound(project: &Project) {
    for text in [project.dockerfile(), project.assembly()] {
        assert!(text.contains("\nUSER 65532:65532\n"), "{text}");
        let parsed = parse(&text);
        let options = Options {
            build_args: BTreeMap::new(),
            target: None,
            platform: Platform::linux("amd64"),
            build_platform: Platform::linux("amd64"),
            contexts: BTreeSet::new(),
        };
        let found: Vec<String> =
            lint(&parsed, &options, None).iter().map(|one| one.snippet("f", &text)).collect();
        assert!(found.is_empty(), "{}\n{text}", found.join("\n"));
        Plan::new(&parsed.dockerfile.expect("a file"), options).expect("a plan");
    }
}

#[track_caller]
fn found(files: &Files, kind: Kind, name: &str, entrypoint: &[&str], layers: &[&str]) -> Project {
    let project = recognise(files).unwrap_or_else(|error| panic!("{error}"));
    sound(&project);
    assert_eq!((project.kind, project.name.as_str()), (kind, name));
    assert_eq!(project.entrypoint, entrypoint);
    assert_eq!(project.layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), layers);
    project
}

#[test]
fn rust_programs() {
    let package = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\n";
    let project = found(
        &files(&["src/main.rs", "Cargo.lock"], &[("Cargo.toml", package)], &[]),
        Kind::Rust,
        "hello",
        &["/app/hello"],
        &["ground", "program"],
    );
    assert_eq!((project.ground.clone(), project.version.as_deref()), (Ground::Scratch, Some("1.0.0")));
    assert!(project.dockerfile().contains("ca-certificates.crt"));
    assert!(project.steps[0].argv.contains(&"--locked".to_owned()));
    let bin = format!("{package}[[bin]]\nname = \"tool\"\npath = \"x.rs\"\n");
    found(
        &files(&["x.rs"], &[("Cargo.toml", &bin)], &[]),
        Kind::Rust,
        "tool",
        &["/app/tool"],
        &["ground", "program"],
    );
    let member = files(
        &["cli/src/main.rs", "lib/src/lib.rs"],
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"cli\", \"lib\"]\n"),
            ("cli/Cargo.toml", package),
            ("lib/Cargo.toml", package),
        ],
        &[],
    );
    let project = found(&member, Kind::Rust, "hello", &["/app/hello"], &["ground", "program"]);
    assert!(project.steps[0].argv.windows(2).any(|pair| pair == ["--package", "hello"]));
}

#[test]
fn rust_workspaces_of_several_programs() {
    let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion.workspace = true\n");
    let (web, job) = (package("web"), package("job"));
    let mut both = files(
        &["web/src/main.rs", "job/src/main.rs", "job/src/bin/once.rs"],
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"*\"]\n[workspace.package]\nversion = \"2.1.0\"\n"),
            ("web/Cargo.toml", &web),
            ("job/Cargo.toml", &job),
        ],
        &["rust-musl"],
    );
    let said = recognise(&both).unwrap_err().to_string();
    assert!(said.contains("3 programs: job, once, web (say which with --program NAME)"), "{said}");
    both.program = Some("once".to_owned());
    let project = found(&both, Kind::Rust, "once", &["/app/once"], &["ground", "program"]);
    assert_eq!((project.package.as_str(), project.version.as_deref()), ("job", Some("2.1.0")));
    assert!(project.assembly().contains("image.version=\"2.1.0\""));
    let cargo = project.steps.iter().find(|step| step.argv[0] == "cargo").unwrap();
    assert!(cargo.argv.contains(&"{arch}-unknown-linux-musl".to_owned()));
    both.program = Some("other".to_owned());
    let said = recognise(&both).unwrap_err().to_string();
    assert!(said.contains("no program 'other' (there is: job, once, web)"), "{said}");
}

#[test]
fn go_programs() {
    let module = "module example.org/team/tool\n\ngo 1.22\n";
    let main = "package main\n\nfunc main() {}\n";
    let all = ["ground", "program"];
    let project = found(
        &files(&[], &[("go.mod", module), ("main.go", main)], &[]),
        Kind::Go,
        "tool",
        &["/app/tool"],
        &all,
    );
    assert!(project.dockerfile().contains("FROM golang:1.22 AS build"));
    assert_eq!(project.port, None);
    let server = "package main\n\nfunc main() { os.Getenv(\"PORT\"); time.LoadLocation(\"x\") }\n";
    let below = [("go.mod", module), ("cmd/server/run.go", server), ("internal/gen/main.go", main)];
    let project = found(&files(&[], &below, &[]), Kind::Go, "server", &["/app/server"], &all);
    assert_eq!(project.port, Some(8080));
    assert!(project.steps[0].argv.contains(&"-tags=timetzdata".to_owned()));
    let mut two = files(&[], &[("go.mod", module), ("cmd/a/main.go", main), ("cmd/b/main.go", main)], &[]);
    assert!(recognise(&two).unwrap_err().to_string().contains("2 programs: a, b (say which"));
    two.program = Some("b".to_owned());
    found(&two, Kind::Go, "b", &["/app/b"], &all);
}

#[test]
fn node_programs_and_sites() {
    let package = r#"{"name": "@team/web", "scripts": {"start": "node server.js"}, "dependencies": {"x": "1"}, "engines": {"node": ">=20.1"}}"#;
    let project = found(
        &files(&["server.js", "package-lock.json"], &[("package.json", package)], &[]),
        Kind::Node,
        "web",
        &["node", "server.js"],
        &["dependencies", "code"],
    );
    assert!(project.dockerfile().contains("FROM node:20-alpine AS build"));
    assert_eq!(project.steps[0].argv[..3], ["npm", "ci", "--omit=dev"]);
    let shell = r#"{"scripts": {"start": "next start -p $PORT", "build": "next build"}, "dependencies": {"next": "1"}}"#;
    let project = found(
        &files(&[], &[("package.json", shell)], &[]),
        Kind::Node,
        "my-app",
        &["/bin/sh", "-c", "exec next start -p $PORT"],
        &["dependencies", "code"],
    );
    assert_eq!(project.steps.len(), 3);
    let none = r#"{"main": "./lib.js"}"#;
    let project = found(
        &files(&["lib.js"], &[("package.json", none)], &[]),
        Kind::Node,
        "my-app",
        &["node", "./lib.js"],
        &["code"],
    );
    assert!(project.steps.is_empty());
    let site = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}"#;
    found(
        &files(&["index.html"], &[("package.json", site)], &["busybox"]),
        Kind::Site,
        "my-app",
        &BUSYBOX,
        &["settings", "files"],
    );
}

#[test]
fn node_by_other_package_managers() {
    let package = r#"{"scripts": {"start": "node s.js"}, "dependencies": {"x": "1"}}"#;
    for (lock, text, said, expected) in [
        (
            "yarn.lock",
            "# yarn lockfile v1\n",
            "",
            "yarn install --non-interactive --frozen-lockfile --production=true",
        ),
        (
            "yarn.lock",
            "__metadata:\n",
            "",
            "--package=@yarnpkg/cli-dist@4 -- yarn workspaces focus --all --production",
        ),
        (
            "yarn.lock",
            "__metadata:\n",
            "yarn@3.6.1+sha224.x",
            "--package=@yarnpkg/cli-dist@3.6.1 -- yarn workspaces",
        ),
        ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", "", "--package=pnpm@8 -- pnpm install"),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: '9.0'\n",
            "pnpm@9.15.0",
            "--package=pnpm@9.15.0 -- pnpm install",
        ),
    ] {
        let package = package.replacen('{', &format!("{{\"packageManager\": \"{said}\","), 1);
        let given = files(&["s.js"], &[("package.json", &package), (lock, text)], &[]);
        let project = found(&given, Kind::Node, "my-app", &["node", "s.js"], &["dependencies", "code"]);
        let line = project.steps[0].argv.join(" ");
        assert!(line.contains(expected), "{line}");
        assert!(project.dockerfile().contains(lock), "the lock file is copied before the code");
    }
    let here = files(&["s.js"], &[("package.json", package), ("pnpm-lock.yaml", "")], &["pnpm"]);
    let project = recognise(&here).unwrap();
    assert_eq!((project.steps[0].argv[0].as_str(), project.steps[0].place), ("pnpm", Where::Here));
    assert_eq!((project.steps[1].argv[0].as_str(), project.steps[1].place), ("npm", Where::There));
}

#[test]
fn node_workspaces_start_the_member_that_says_how() {
    let root = r#"{"workspaces": ["apps/*", "libs/*"]}"#;
    let web = r#"{"name": "@x/web", "version": "1.2.3", "scripts": {"start": "node s.js", "build": "tsc"}, "dependencies": {"lib": "*"}}"#;
    let mut given = files(
        &["apps/web/s.js"],
        &[
            ("package.json", root),
            ("apps/web/package.json", web),
            ("libs/lib/package.json", r#"{"name": "lib"}"#),
        ],
        &[],
    );
    let project = found(&given, Kind::Node, "web", &["node", "s.js"], &["dependencies", "code"]);
    assert_eq!((project.folder.as_str(), project.version.as_deref()), ("/app/apps/web", Some("1.2.3")));
    assert_eq!(project.steps[1].argv, ["npm", "--prefix", "apps/web", "run", "build"]);
    assert!(project.assembly().contains("--parents") && project.assembly().contains("**/node_modules"));
    given.texts.insert("apps/api/package.json".to_owned(), web.replace("web", "api"));
    let said = recognise(&given).unwrap_err().to_string();
    assert!(said.contains("@x/api, @x/web (say which"), "{said}");
    given.program = Some("@x/api".to_owned());
    assert_eq!(recognise(&given).unwrap().folder, "/app/apps/api");
}

#[test]
fn what_starts_while_it_is_written_is_a_site() {
    let vite = r#"{"scripts": {"start": "vite", "build": "vite build"}, "devDependencies": {"vite": "5"}}"#;
    let given =
        files(&[], &[("package.json", vite), ("vite.config.ts", "build: { outDir: './www' }")], &["busybox"]);
    let project = found(&given, Kind::Site, "my-app", &BUSYBOX, &["settings", "files"]);
    assert_eq!(project.layers[1].from, "src/www");
}

#[test]
fn a_base_can_be_said() {
    let mut python = files(&["main.py"], &[], &[]);
    python.base = Some(Ground::Image("shared/python:3".to_owned()));
    let project = found(&python, Kind::Python, "my-app", &["python3", "main.py"], &["code"]);
    for text in [project.assembly(), project.dockerfile()] {
        assert!(text.contains("FROM shared/python:3\n"), "{text}");
    }
    python.base = Some(Ground::Scratch);
    assert!(recognise(&python).unwrap_err().to_string().contains("does not run on nothing"));
    let mut rust = files(&["src/main.rs"], &[("Cargo.toml", "[package]\nname = \"a\"")], &[]);
    rust.base = Some(Ground::Image("shared/base".to_owned()));
    found(&rust, Kind::Rust, "a", &["/app/a"], &["program"]);
}

#[test]
fn python_programs() {
    let flask = files(&["app.py"], &[("requirements.txt", "Flask==3.0\n# x\n\ngunicorn\n")], &[]);
    let project = found(
        &flask,
        Kind::Python,
        "my-app",
        &["python3", "-m", "gunicorn", "app:app"],
        &["packages", "code"],
    );
    assert_eq!(project.port, Some(8000));
    let api = "[project]\nname = \"api\"\nrequires-python = \">=3.11\"\ndependencies = [\n \"fastapi[standard]>=0.1\",\n]\n";
    let project = found(
        &files(&[], &[("main.py", "app = FastAPI()"), ("pyproject.toml", api)], &[]),
        Kind::Python,
        "api",
        &["/bin/sh", "-c", "exec python3 -m uvicorn main:app --host 0.0.0.0 --port \"$PORT\""],
        &["packages", "code"],
    );
    assert!(project.dockerfile().contains("FROM python:3.11-slim"));
    found(&files(&["main.py"], &[], &[]), Kind::Python, "my-app", &["python3", "main.py"], &["code"]);
    let django = [
        ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')"),
        ("requirements.txt", "django\ngunicorn"),
    ];
    found(
        &files(&[], &django, &[]),
        Kind::Python,
        "my-app",
        &["python3", "-m", "gunicorn", "shop.wsgi"],
        &["packages", "code"],
    );
    let procfile = [("Procfile", "worker: x\nweb: python3 run.py --port $PORT\n"), ("requirements.txt", "")];
    found(
        &files(&["run.py"], &procfile, &[]),
        Kind::Python,
        "my-app",
        &["/bin/sh", "-c", "exec python3 run.py --port $PORT"],
        &["code"],
    );
    let module = "[project]\nname = \"thing\"\n";
    found(
        &files(&["src/thing/__main__.py", "src/thing/__init__.py"], &[("pyproject.toml", module)], &[]),
        Kind::Python,
        "thing",
        &["python3", "-m", "thing"],
        &["code"],
    );
    let script =
        "[project]\nname = \"thing\"\nversion = \"0.3\"\n[project.scripts]\nthing = \"thing.cli:main\"\n";
    found(
        &files(&["thing/cli.py"], &[("pyproject.toml", script), ("thing/__init__.py", "")], &[]),
        Kind::Python,
        "thing",
        &["python3", "-c", "import sys; from thing.cli import main; sys.exit(main())"],
        &["code"],
    );
    let made = [
        ("src/web/__init__.py", "def create_app():\n"),
        ("requirements.txt", "gunicorn\nflask"),
        ("tests/app.py", "app = Flask(x)"),
    ];
    found(
        &files(&[], &made, &[]),
        Kind::Python,
        "my-app",
        &["python3", "-m", "gunicorn", "web:create_app()"],
        &["packages", "code"],
    );
}

#[test]
fn java_programs() {
    let main = "package org.example;\npublic class Main { public static void main(String[] a) {} }";
    found(
        &files(&["src/Util.java"], &[("src/Main.java", main)], &[]),
        Kind::Java,
        "my-app",
        &["java", "-cp", "/app/classes", "org.example.Main"],
        &["classes"],
    );
    let pom = "<project><parent><artifactId>p</artifactId></parent><artifactId>shop</artifactId></project>";
    let maven = [("pom.xml", pom), ("src/main/java/org/example/Main.java", main)];
    found(
        &files(&[], &maven, &[]),
        Kind::Java,
        "shop",
        &["java", "-cp", "/app/resources:/app/classes:/app/lib/*", "org.example.Main"],
        &["dependencies", "classes"],
    );
    let needs = pom.replace("</project>", "<dependencies><dependency/></dependencies></project>");
    let needs = needs.replace("<dependency/>", "<dependency></dependency>");
    let maven = [("pom.xml", needs.as_str()), ("src/main/java/org/example/Main.java", main)];
    let project = found(
        &files(&["src/main/resources/a.txt"], &maven, &[]),
        Kind::Java,
        "shop",
        &["java", "-cp", "/app/resources:/app/classes:/app/lib/*", "org.example.Main"],
        &["dependencies", "resources", "classes"],
    );
    assert!(project.assembly().contains("src/target/classes/./**/*.class"));
    let gradle = "plugins { id 'application' }\nversion = '3.0'\ndependencies { implementation 'x:y:1' }\n\
                  application { mainClass = 'org.example.Other' }\n";
    let gradle = gradle.replace("{ mainClass", "{\n mainClass");
    let scripts = [("build.gradle", gradle.as_str()), ("settings.gradle", "rootProject.name = 'shop'\n")];
    let project = found(
        &files(&[], &scripts, &[]),
        Kind::Java,
        "shop",
        &["java", "-cp", "/app/resources:/app/classes:/app/lib/*", "org.example.Other"],
        &["dependencies", "classes"],
    );
    assert_eq!(project.version.as_deref(), Some("3.0"));
}

const BUSYBOX: [&str; 3] =
    ["/bin/sh", "-c", "exec busybox httpd -f -p \"$PORT\" -h /site -c /etc/httpd.conf"];

#[test]
fn static_sites() {
    let project = found(
        &files(&["index.html"], &[], &["busybox", "python3"]),
        Kind::Site,
        "my-app",
        &BUSYBOX,
        &["settings", "files"],
    );
    assert_eq!((project.layers[1].from.as_str(), project.port), ("src", Some(8080)));
    let project = found(
        &files(&["public/index.html"], &[], &["python3"]),
        Kind::Site,
        "my-app",
        &["/bin/sh", "-c", "exec python3 -m http.server \"$PORT\" --directory /site"],
        &["files"],
    );
    assert_eq!(project.layers[0].from, "src/public");
    let own = files(&["index.html"], &[], &["busybox", "busybox-static"]);
    let mut start = BUSYBOX;
    (start[0], start[1]) = ("/bin/busybox", "sh");
    let start = [start[0], start[1], "-c", start[2]];
    let project = found(&own, Kind::Site, "my-app", &start, &["ground", "server", "settings", "files"]);
    assert_eq!(project.ground, Ground::Scratch);
    assert!(project.dockerfile().contains("--from=busybox:stable-musl"));
    let hugo = files(&["hugo.toml", "content/a.md"], &[], &["busybox", "hugo"]);
    found(&hugo, Kind::Site, "my-app", &BUSYBOX, &["settings", "files"]);
}

#[test]
fn what_is_not_clear_says_what_would_make_it_clear() {
    let two = "[package]\nname = \"a\"\n";
    for (given, wanted) in [
        (files(&["README"], &[], &[]), "nothing here is known"),
        (files(&["src/lib.rs"], &[("Cargo.toml", two)], &[]), "only a library"),
        (
            files(&["src/bin/a.rs", "src/bin/b.rs"], &[("Cargo.toml", two)], &[]),
            "it has 2 programs: a, b (say which with --program",
        ),
        (files(&[], &[("Cargo.toml", "[workspace]\n")], &[]), "no member of the workspace"),
        (files(&["main.go"], &[("go.mod", "module x")], &[]), "no folder of it has a package main"),
        (files(&[], &[("package.json", "{}")], &[]), "add a script start"),
        (files(&[], &[("package.json", "{")], &[]), "package.json is no JSON"),
        (files(&[], &[("requirements.txt", "x")], &[]), "nothing says how it starts"),
        (files(&["build.gradle"], &[], &[]), "no class of it has a main"),
        (files(&[], &[("Cargo.toml", "[package")], &[]), "Cargo.toml cannot be read"),
        (files(&["main.py"], &[("Pipfile", "")], &[]), "run `pipenv lock`"),
        (
            files(&[], &[("main.py", "app = FastAPI()"), ("requirements.txt", "fastapi")], &[]),
            "add uvicorn to what it needs",
        ),
        (
            files(&[], &[("Cargo.toml", "[package]\nname = \"a; rm -rf\"\n"), ("src/main.rs", "")], &[]),
            "is no program's name",
        ),
    ] {
        let error = recognise(&given).expect_err(wanted).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn the_report_says_what_was_found_and_why() {
    let project =
        recognise(&files(&[], &[("app.py", "app = Flask(__name__)"), ("requirements.txt", "flask")], &[]))
            .unwrap();
    let report = project.report();
    for wanted in [
        "Python project 'my-app'",
        "requirements.txt",
        "app.py, with Flask's",
        "layer   packages in /packages",
        "port    8000, or what PORT says",
        "user    65532:65532",
        "add gunicorn",
    ] {
        assert!(report.contains(wanted), "{wanted}\n{report}");
    }
}
