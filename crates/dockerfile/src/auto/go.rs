//! Go: a static program, on nothing.

use super::{Files, Ground, Kind, Project, Read, Unrecognised, image_name, plain, version};

pub(super) fn read(files: &Files) -> Read {
    let text = files.text("go.mod")?;
    let module = text.lines().find_map(|line| line.trim().strip_prefix("module ")).unwrap_or_default();
    let module = module.split("//").next().unwrap_or_default().trim().trim_matches('"').to_owned();
    let wanted =
        text.lines().find_map(|line| line.trim().strip_prefix("go ")).and_then(|text| version(text, 2));
    Some(program(files).map(|(package, why)| project(files, &module, wanted, &package, why)))
}

/// The package with the program: the root, or the one folder below `cmd`.
fn program(files: &Files) -> Result<(String, String), Unrecognised> {
    if files.has("main.go") {
        return Ok((".".to_owned(), "main.go".to_owned()));
    }
    let mut found: Vec<&str> = files
        .paths
        .iter()
        .filter_map(|path| path.strip_suffix("/main.go"))
        .filter(|folder| folder.starts_with("cmd/") && folder.matches('/').count() == 1)
        .collect();
    found.sort_unstable();
    match found.as_slice() {
        [folder] if plain(folder) => Ok((format!("./{folder}"), format!("{folder}/main.go"))),
        [] | [_] => Err(Unrecognised::unclear(
            Kind::Go,
            "there is no main.go at the root or in cmd/NAME",
            "put the program there",
        )),
        many => {
            let why = format!("there are {} programs: {}", many.len(), many.join(", "));
            Err(Unrecognised::unclear(Kind::Go, why, "write a Dockerfile that says which"))
        }
    }
}

fn project(files: &Files, module: &str, wanted: Option<String>, package: &str, why: String) -> Project {
    let named = if package == "." { module } else { package };
    let name = image_name(if named.is_empty() { &files.folder } else { named });
    let mut project = Project::new(Kind::Go, &name);
    project.found("a Go module", "go.mod");
    project.found(format!("the program '{name}'"), why);
    project.tools = vec!["go"];
    project.ground = Ground::Scratch;
    let build = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o"];
    let mut argv = build.to_vec();
    argv.extend(["{out}/program", package]);
    project.step(&argv, &[("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=mod")]);
    if files.has("vendor/modules.txt") {
        project.found("dependencies beside the code", "vendor/modules.txt");
        project.steps[0].env = vec![("CGO_ENABLED".to_owned(), "0".to_owned())];
    }
    project.layer("program", "program", &format!("/app/{name}"), &[]);
    project.entrypoint = vec![format!("/app/{name}")];
    let image = wanted.unwrap_or_else(|| "1".to_owned());
    project.stages = format!(
        "FROM golang:{image} AS build\nWORKDIR /src\nCOPY . .\nRUN --mount=type=cache,target=/go/pkg/mod \\\n    \
         --mount=type=cache,target=/root/.cache/go-build \\\n    CGO_ENABLED=0 go build -trimpath -buildvcs=false \
         -ldflags=\"-s -w -buildid=\" -o /program {package}\n\nFROM scratch\nCOPY --from=build /program /app/{name}\n"
    );
    project
}
