//! Node: `node_modules` in a layer of their own, over the machine's node; or a site that a build makes.

use serde_json::Value;

use super::manager::{Manager, NOTES, What};
use super::texts::{inside, owned, pairs, plain, version};
use super::workspace::{Member, members};
use super::{Copying, Files, Kind, Project, Read, Unrecognised, site};

/// Scripts that begin so serve a site while it is written; what is delivered is what its build makes.
const FOR_WRITING: [&str; 13] = [
    "vite",
    "react-scripts",
    "webpack-dev-server",
    "webpack",
    "parcel",
    "astro",
    "gatsby",
    "ng",
    "vue-cli-service",
    "snowpack",
    "live-server",
    "eleventy",
    "docusaurus",
];

pub(super) fn read(files: &Files) -> Read {
    let text = files.text("package.json")?;
    let Ok(package) = serde_json::from_str::<Value>(text) else {
        return Some(Err(Unrecognised::unclear(Kind::Node, "package.json is no JSON", "mend it")));
    };
    Some(project(files, Member { folder: String::new(), package }))
}

fn script<'p>(package: &'p Value, name: &str) -> Option<&'p str> {
    package["scripts"][name].as_str().filter(|text| !text.trim().is_empty())
}

fn names(package: &Value, key: &str) -> bool {
    package[key].as_object().is_some_and(|map| !map.is_empty())
}

/// How a member's program is started, and what says so.
fn start(files: &Files, member: &Member) -> Option<(Vec<String>, String)> {
    let package = &member.package;
    let below = |path: &str| match member.folder.as_str() {
        "" => path.trim_start_matches("./").to_owned(),
        folder => format!("{folder}/{}", path.trim_start_matches("./")),
    };
    if let Some(line) = script(package, "start") {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let first = words.first().map(String::as_str).unwrap_or_default();
        if FOR_WRITING.contains(&first) && script(package, "build").is_some() {
            return None;
        }
        let simple = words.iter().all(|word| plain(word) || word.starts_with("--")) && first == "node";
        // A shell that becomes the program passes signals on; of several commands it has to stay.
        let several = line.contains(['&', '|', ';', '\n', '=']);
        let shell = if several { line.to_owned() } else { format!("exec {line}") };
        let argv = if simple { words } else { owned(&["/bin/sh", "-c", &shell]) };
        return Some((argv, format!("package.json: the script start is '{line}'")));
    }
    // A build may be what writes it.
    let there = |main: &&str| files.has(&below(main)) || script(package, "build").is_some();
    if let Some(main) = package["main"].as_str().filter(|main| inside(main)).filter(there) {
        return Some((owned(&["node", main]), "package.json: main".to_owned()));
    }
    let usual =
        ["server.js", "index.js", "app.js", "server.mjs", "index.mjs", "src/server.js", "src/index.js"];
    let usual = usual.into_iter().find(|path| files.has(&below(path)))?;
    Some((owned(&["node", usual]), usual.to_owned()))
}

/// The package that is started: the root, or the one member that says how.
fn started(files: &Files, root: &Member, members: &[Member]) -> Result<Option<Member>, Unrecognised> {
    if files.program.is_none() && start(files, root).is_some() {
        return Ok(Some(root.clone()));
    }
    let able: Vec<&Member> =
        members.iter().filter(|member| script(&member.package, "start").is_some()).collect();
    if able.is_empty() && files.program.is_none() {
        return Ok(None);
    }
    let all: Vec<&str> = able.iter().map(|member| member.name()).collect();
    let name = files.chosen(Kind::Node, &all)?;
    Ok(able.into_iter().find(|member| member.name() == name).cloned())
}

fn project(files: &Files, root: Member) -> Result<Project, Unrecognised> {
    let members = members(files, &root.package)?;
    let manager = Manager::of(files, &root.package);
    let Some(member) = started(files, &root, &members)? else {
        if script(&root.package, "build").is_some() {
            return Ok(built_site(files, &root.package, &manager));
        }
        let why = "nothing says how it starts";
        return Err(Unrecognised::unclear(Kind::Node, why, "add a script start to package.json"));
    };
    let name = member.package["name"].as_str().unwrap_or(&files.folder);
    let mut project = Project::new(Kind::Node, name);
    project.version = member.package["version"].as_str().filter(|version| plain(version)).map(str::to_owned);
    project.found("a Node project", "package.json");
    if !members.is_empty() {
        project.found(format!("a workspace of {}", members.len()), "the list of its members");
    }
    if let Some((entrypoint, why)) = start(files, &member) {
        project.found("how it starts", why);
        project.entrypoint = entrypoint;
    }
    let all: Vec<&Value> = std::iter::once(&root).chain(&members).map(|member| &member.package).collect();
    let needs = all.iter().any(|package| names(package, "dependencies"));
    install(&mut project, files, &manager, (&root, &member), &all);
    if needs && members.is_empty() {
        project.layer("dependencies", "src/node_modules", "/app/node_modules", &NOTES);
    } else if needs {
        // Members have folders of their own for what the root does not have for all.
        let layer = project.layer("dependencies", "src/./**/node_modules", "/app/", &NOTES);
        layer.copying = Copying::WithFolders;
    }
    project.layer("code", "src", "/app", &["**/node_modules"]);
    project.env = pairs(&[("NODE_ENV", "production")]);
    let mut path = "/app/node_modules/.bin:$PATH".to_owned();
    if !member.folder.is_empty() {
        project.folder = format!("/app/{}", member.folder);
        path = format!("{}/node_modules/.bin:{path}", project.folder);
    }
    project.env.push(("PATH".to_owned(), path));
    project.listens(3000);
    project.images.1 = image(files, &root.package);
    Ok(project)
}

/// The steps that install and build.
fn install(
    project: &mut Project,
    files: &Files,
    manager: &Manager,
    (root, member): (&Member, &Member),
    all: &[&Value],
) {
    let built = [root, member].into_iter().find(|one| script(&one.package, "build").is_some());
    let running = all.iter().any(|package| names(package, "dependencies"));
    let needs = running || (built.is_some() && all.iter().any(|package| names(package, "devDependencies")));
    if needs {
        project.found(format!("packages by {}", manager.called()), manager.lock.unwrap_or("package.json"));
    }
    project.tools = vec!["node"];
    if needs || built.is_some() {
        project.tools.push("npm");
        project.images.0 = image(files, &root.package);
        project.caches = vec!["/root/.npm"];
    }
    let early = early(project, files, manager, all);
    if let Some(built) = built {
        project.found("a build", "package.json: the script build");
        if needs {
            manager.install(project, What::All, early);
        }
        manager.run(project, "build", &built.folder);
        if needs {
            manager.install(project, What::Pruned, false);
        }
    } else if needs {
        manager.install(project, What::Running, early);
    }
}

/// Whether packages can be installed before the code is there; then the files that this needs are noted.
fn early(project: &mut Project, files: &Files, manager: &Manager, all: &[&Value]) -> bool {
    let scripts = ["preinstall", "install", "postinstall", "prepare", "prepublish"];
    let beside = |package: &&Value| {
        ["dependencies", "devDependencies"].into_iter().any(|key| {
            let versions = package[key].as_object().into_iter().flat_map(|map| map.values());
            versions
                .filter_map(Value::as_str)
                .any(|text| text.starts_with(['f', 'l', 'p', '.']) && text.contains([':', '/']))
        })
    };
    let own = all.iter().any(|package| scripts.iter().any(|name| script(package, name).is_some()));
    if own || all.iter().any(beside) || files.paths.iter().any(|path| path.starts_with("patches/")) {
        return false;
    }
    project.manifests = manager.manifests(files);
    if all.len() > 1 {
        let members = files.ending("/package.json").map(|(path, _)| path);
        project.manifests.extend(members.filter(|path| inside(path)).map(str::to_owned));
    }
    true
}

fn image(files: &Files, package: &Value) -> String {
    let wanted = package["engines"]["node"]
        .as_str()
        .or_else(|| files.text(".nvmrc"))
        .and_then(|text| version(text, 1));
    format!("node:{}-alpine", wanted.unwrap_or_else(|| "lts".to_owned()))
}

/// A site that a build makes: nothing of Node is in the image.
fn built_site(files: &Files, package: &Value, manager: &Manager) -> Project {
    let name = package["name"].as_str().unwrap_or(&files.folder);
    let mut project = Project::new(Kind::Site, name);
    project.version = package["version"].as_str().filter(|version| plain(version)).map(str::to_owned);
    project.found("a Node project", "package.json");
    project.found("a site, not a server", "a script build, and nothing that says how a program starts");
    let (folder, why) = built_folder(files, package);
    project.found(format!("its build writes {folder}"), why);
    if names(package, "dependencies") || names(package, "devDependencies") {
        project.found(format!("packages by {}", manager.called()), manager.lock.unwrap_or("package.json"));
        let early = early(&mut project, files, manager, &[package]);
        manager.install(&mut project, What::All, early);
    }
    manager.run(&mut project, "build", "");
    project.tools = vec!["node", "npm"];
    project.images.0 = image(files, package);
    project.caches = vec!["/root/.npm"];
    site::serve(&mut project, files, &format!("src/{folder}"));
    project
}

/// What the builder's own settings say, else what the usual builders call their folder.
fn built_folder(files: &Files, package: &Value) -> (String, &'static str) {
    for config in ["vite.config.ts", "vite.config.js"] {
        let said = files.text(config).and_then(|text| text.split("outDir").nth(1));
        let said = said.and_then(|rest| rest.split(['"', '\'', '`']).nth(1));
        if let Some(folder) =
            said.map(|folder| folder.trim_start_matches("./")).filter(|folder| inside(folder))
        {
            return (folder.to_owned(), "vite.config: outDir");
        }
    }
    let uses = |tool: &str| {
        package["devDependencies"][tool].is_string() || package["dependencies"][tool].is_string()
    };
    for (tool, folder) in [
        ("react-scripts", "build"),
        ("@docusaurus/core", "build"),
        ("gatsby", "public"),
        ("@11ty/eleventy", "_site"),
        ("next", "out"),
    ] {
        if uses(tool) {
            return (folder.to_owned(), "what its builder calls it");
        }
    }
    ("dist".to_owned(), "what most builders call it")
}
