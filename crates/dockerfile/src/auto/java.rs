//! Java: a Maven project, or source files alone.

use super::{Files, Kind, Project, Read, Unrecognised, plain};

pub(super) fn read(files: &Files) -> Read {
    if let Some(pom) = files.text("pom.xml") {
        return Some(maven(files, pom));
    }
    if files.first(&["build.gradle", "build.gradle.kts"]).is_some() {
        let why = "Gradle projects are not built without a Dockerfile";
        return Some(Err(Unrecognised::unclear(Kind::Java, why, "write a Dockerfile, or a pom.xml")));
    }
    let mains: Vec<&String> = files
        .texts
        .iter()
        .filter(|(path, text)| source(path) && has_main(text))
        .map(|(path, _)| path)
        .collect();
    match mains.as_slice() {
        [] => None,
        [main] => Some(Ok(sources(files, main))),
        many => {
            let why = format!("{} classes have a main", many.len());
            Some(Err(Unrecognised::unclear(
                Kind::Java,
                why,
                "write a pom.xml with a mainClass, or a Dockerfile",
            )))
        }
    }
}

fn source(path: &str) -> bool {
    path.strip_suffix(".java").is_some()
}

fn has_main(text: &str) -> bool {
    text.contains("public static void main(")
}

/// The class that a file has, with its package.
fn class(path: &str, text: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".java");
    let package = text.lines().find_map(|line| line.trim().strip_prefix("package "));
    match package.map(|package| package.trim_end_matches(';').trim()) {
        Some(package) if plain(package) => format!("{package}.{name}"),
        _ => name.to_owned(),
    }
}

fn sources(files: &Files, main: &str) -> Project {
    let mut project = Project::new(Kind::Java, &files.folder);
    let name = class(main, files.text(main).unwrap_or_default());
    project.found("Java source files", main);
    project.found(format!("the class '{name}'"), "it is the one with a main");
    project.tools = vec!["javac"];
    let mut argv = vec!["javac", "-encoding", "UTF-8", "-d", "{out}/classes"];
    let all: Vec<&str> =
        files.paths.iter().map(String::as_str).filter(|path| source(path) && plain(path)).collect();
    argv.extend(all.iter().copied().filter(|path| !path.contains("test/")));
    project.step(&argv, &[]);
    project.layer("classes", "classes", "/app/classes", &[]);
    project.entrypoint = super::owned(&["java", "-cp", "/app/classes", &name]);
    let listed = argv[5..].join(" ");
    project.stages = format!(
        "FROM eclipse-temurin:21-jdk AS build\nWORKDIR /src\nCOPY . .\nRUN javac -encoding UTF-8 -d /classes {listed}\n\n\
         FROM eclipse-temurin:21-jre\nCOPY --from=build /classes /app/classes\n"
    );
    project
}

/// The text of the first element of a name, outside of others of the same depth only as far as that matters here.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let end = xml[from..].find(&format!("</{name}>"))?;
    Some(xml[from..from + end].trim())
}

fn maven(files: &Files, pom: &str) -> Result<Project, Unrecognised> {
    // What a parent is called is not what this is called.
    let own = match (pom.find("<parent>"), pom.find("</parent>")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &pom[..from], &pom[to..]),
        _ => pom.to_owned(),
    };
    let name = element(&own, "artifactId").filter(|name| plain(name)).unwrap_or(&files.folder).to_owned();
    let mut project = Project::new(Kind::Java, &name);
    project.found("a Maven project", "pom.xml");
    let spring = pom.contains("spring-boot-maven-plugin");
    let main = element(pom, "mainClass")
        .or_else(|| element(pom, "start-class"))
        .filter(|main| plain(main))
        .map(str::to_owned);
    let main = main.or_else(|| {
        let mut found =
            files.texts.iter().filter(|(path, text)| path.starts_with("src/main/") && has_main(text));
        let only = found.next().map(|(path, text)| class(path, text));
        only.filter(|_| found.next().is_none())
    });
    let Some(main) = main else {
        let help = "say it in pom.xml as mainClass";
        return Err(Unrecognised::unclear(Kind::Java, "no one class has a main", help));
    };
    project.found(format!("the class '{main}'"), "pom.xml, or the one with a main");
    if spring {
        project.found("Spring Boot", "pom.xml: spring-boot-maven-plugin");
        project.port = Some(8080);
    }
    project.tools = vec!["mvn"];
    let build = [
        "mvn",
        "-q",
        "-B",
        "-DskipTests",
        "compile",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
    ];
    let mut argv = build.to_vec();
    argv.push("-DoutputDirectory={out}/lib");
    project.step(&["mkdir", "-p", "{out}/lib"], &[]);
    project.step(&argv, &[]);
    project.layer("dependencies", "lib", "/app/lib", &[]);
    project.layer("classes", "src/target/classes", "/app/classes", &[]);
    project.entrypoint = super::owned(&["java", "-cp", "/app/classes:/app/lib/*", &main]);
    project.stages = format!(
        "FROM maven:3-eclipse-temurin-21 AS build\nWORKDIR /src\nCOPY . .\nRUN --mount=type=cache,target=/root/.m2 \\\n    \
         mkdir -p /lib && {} -DoutputDirectory=/lib\n\nFROM eclipse-temurin:21-jre\nCOPY --from=build /lib /app/lib\n\
         COPY --from=build /src/target/classes /app/classes\n",
        build.join(" ")
    );
    Ok(project)
}
