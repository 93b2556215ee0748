//! Node: `node_modules` in a layer of their own, over the machine's node; or a site that npm builds.

use serde_json::Value;

use super::{Files, Kind, Project, Read, Unrecognised, plain, site, version};

pub(super) fn read(files: &Files) -> Read {
    let text = files.text("package.json")?;
    let Ok(package) = serde_json::from_str::<Value>(text) else {
        return Some(Err(Unrecognised::unclear(Kind::Node, "package.json is no JSON", "mend it")));
    };
    Some(project(files, &package))
}

fn script<'p>(package: &'p Value, name: &str) -> Option<&'p str> {
    package["scripts"][name].as_str().filter(|text| !text.trim().is_empty())
}

fn names(package: &Value, key: &str) -> bool {
    package[key].as_object().is_some_and(|map| !map.is_empty())
}

/// How the program is started, and what says so.
fn start(files: &Files, package: &Value) -> Option<(Vec<String>, String)> {
    if let Some(line) = script(package, "start") {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let simple = words.iter().all(|word| plain(word)) && words.first().is_some_and(|word| word == "node");
        let argv =
            if simple { words } else { vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("exec {line}")] };
        return Some((argv, format!("package.json: the script start is '{line}'")));
    }
    if let Some(main) =
        package["main"].as_str().filter(|main| plain(main) && files.has(main.trim_start_matches("./")))
    {
        return Some((vec!["node".to_owned(), main.to_owned()], "package.json: main".to_owned()));
    }
    let usual =
        files.first(&["server.js", "index.js", "app.js", "server.mjs", "index.mjs", "src/index.js"])?;
    Some((vec!["node".to_owned(), usual.to_owned()], usual.to_owned()))
}

fn project(files: &Files, package: &Value) -> Result<Project, Unrecognised> {
    let name = package["name"].as_str().unwrap_or(&files.folder);
    let built = script(package, "build").is_some();
    let mut project = Project::new(Kind::Node, name);
    project.found("a Node project", "package.json");
    let Some((entrypoint, why)) = start(files, package) else {
        if built {
            return Ok(built_site(files, package, name));
        }
        let why = "nothing says how it starts";
        return Err(Unrecognised::unclear(Kind::Node, why, "add a script start to package.json"));
    };
    project.found("how it starts", why);
    let lock = files.first(&["package-lock.json", "npm-shrinkwrap.json"]);
    if let Some(lock) = lock {
        project.found("versions that are fixed", lock);
    }
    project.tools = vec!["node"];
    let needs = names(package, "dependencies") || (built && names(package, "devDependencies"));
    if needs || built {
        project.tools.push("npm");
    }
    let quiet = ["--no-audit", "--no-fund", "--no-update-notifier"];
    let install = if lock.is_some() { "ci" } else { "install" };
    if built {
        project.found("a build", "package.json: the script build");
        if needs {
            project.step(&[&["npm", install][..], &quiet].concat(), &[]);
        }
        project.step(&["npm", "run", "build"], &[("NODE_ENV", "production")]);
        if needs {
            project.step(&[&["npm", "prune", "--omit=dev"][..], &quiet].concat(), &[]);
        }
    } else if needs {
        project.step(&[&["npm", install, "--omit=dev"][..], &quiet].concat(), &[]);
    }
    if names(package, "dependencies") {
        project.layer("dependencies", "src/node_modules", "/app/node_modules", &[]);
    }
    project.layer("code", "src", "/app", &["node_modules"]);
    project.env = super::pairs(&[
        ("NODE_ENV", "production"),
        ("PORT", "3000"),
        ("PATH", "/app/node_modules/.bin:$PATH"),
    ]);
    project.port = Some(3000);
    project.entrypoint = entrypoint;
    project.stages = stages(files, package, built, needs, install);
    Ok(project)
}

fn image(files: &Files, package: &Value) -> String {
    let wanted = package["engines"]["node"]
        .as_str()
        .or_else(|| files.text(".nvmrc"))
        .and_then(|text| version(text, 1));
    format!("node:{}-alpine", wanted.unwrap_or_else(|| "lts".to_owned()))
}

fn stages(files: &Files, package: &Value, built: bool, needs: bool, install: &str) -> String {
    let image = image(files, package);
    let cache = "RUN --mount=type=cache,target=/root/.npm";
    let manifests = "COPY package*.json ./\n";
    let mut text = format!("FROM {image} AS build\nWORKDIR /app\n");
    match (built, needs) {
        (true, _) => {
            text.push_str(&format!("{manifests}{cache} npm {install}\nCOPY . .\nRUN npm run build\n{cache} npm prune --omit=dev\n"));
        }
        (false, true) => text.push_str(&format!("{manifests}{cache} npm {install} --omit=dev\nCOPY . .\n")),
        (false, false) => text.push_str("COPY . .\n"),
    }
    text.push_str(&format!("\nFROM {image}\n"));
    if names(package, "dependencies") {
        text.push_str("COPY --from=build /app/node_modules /app/node_modules\n");
    }
    text.push_str("COPY --from=build --exclude=node_modules /app /app\n");
    text
}

/// A site that a build makes: nothing of Node is in the image.
fn built_site(files: &Files, package: &Value, name: &str) -> Project {
    // What the usual builders call their folder.
    let uses = |tool: &str| {
        package["devDependencies"][tool].is_string() || package["dependencies"][tool].is_string()
    };
    let folder = if uses("react-scripts") { "build" } else { "dist" };
    let mut project = Project::new(Kind::Site, name);
    project.found("a Node project", "package.json");
    project.found("a site, not a server", "a script build, and nothing that says how a program starts");
    let install = if files.has("package-lock.json") { "ci" } else { "install" };
    project.step(&["npm", install, "--no-audit", "--no-fund", "--no-update-notifier"], &[]);
    project.step(&["npm", "run", "build"], &[("NODE_ENV", "production")]);
    project.tools = vec!["npm"];
    let stage = format!(
        "FROM {} AS build\nWORKDIR /app\nCOPY package*.json ./\nRUN --mount=type=cache,target=/root/.npm npm {install}\n\
         COPY . .\nRUN npm run build\n\n",
        image(files, package)
    );
    site::serve(
        &mut project,
        files,
        &format!("src/{folder}"),
        &stage,
        &format!("--from=build /app/{folder}"),
    );
    project
}
