//! Java: a Maven or Gradle project, or source files alone.

use super::texts::{owned, plain};
use super::{Copying, Files, Kind, Project, Read, Unrecognised, gradle};

pub(super) fn read(files: &Files) -> Read {
    if let Some(pom) = files.text("pom.xml") {
        return Some(maven(files, pom));
    }
    if let Some(script) =
        files.first(&["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"])
    {
        return Some(gradle::project(files, script));
    }
    let mains: Vec<(&str, &str)> =
        files.ending(".java").filter(|(path, text)| !in_tests(path) && has_main(text)).collect();
    if mains.is_empty() {
        return None;
    }
    let names: Vec<String> = mains.iter().map(|(path, text)| class(path, text)).collect();
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    Some(files.chosen(Kind::Java, &listed).map(|name| {
        let at = listed.iter().position(|known| *known == name).unwrap_or_default();
        sources(files, name, mains[at].0)
    }))
}

fn in_tests(path: &str) -> bool {
    path.split('/').any(|part| part == "test" || part == "tests")
}

fn has_main(text: &str) -> bool {
    text.contains("static void main(")
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

/// The class that is started: the one that a file of the build names, else the only one with a `main`.
pub(super) fn main_class(
    files: &Files,
    said: Option<String>,
    help: &str,
) -> Result<(String, String), Unrecognised> {
    if let (None, Some(said)) = (&files.program, said.filter(|said| plain(said))) {
        return Ok((said, "the build says it".to_owned()));
    }
    let found: Vec<String> = files
        .ending(".java")
        .filter(|(path, text)| path.contains("src/main/") && has_main(text))
        .map(|(path, text)| class(path, text))
        .filter(|name| plain(name))
        .collect();
    if found.is_empty() {
        return Err(Unrecognised::unclear(Kind::Java, "no class of it has a main", help));
    }
    let listed: Vec<&str> = found.iter().map(String::as_str).collect();
    let name = files.chosen(Kind::Java, &listed)?;
    Ok((name.to_owned(), "it has a main".to_owned()))
}

/// How it is started. Spring reads the port as a property.
pub(super) fn start(project: &mut Project, files: &Files, classes: &str, main: &str, spring: bool) {
    let reads = files.ending(".java").any(|(_, text)| text.contains("env(\"PORT\")"));
    if spring {
        project.listens(8080);
        project.starts_by_shell(&format!("exec java -Dserver.port=\"$PORT\" -cp '{classes}' {main}"));
    } else {
        project.entrypoint = owned(&["java", "-cp", classes, main]);
        if reads {
            project.found("it listens on PORT", "the variable is read by its code");
            project.listens(8080);
        }
    }
}

fn sources(files: &Files, name: &str, path: &str) -> Project {
    let mut project = Project::new(Kind::Java, &files.folder);
    project.found("Java source files", path);
    project.found(format!("the class '{name}'"), "it has a main");
    project.tools = vec!["javac"];
    let mut argv = vec!["javac", "-encoding", "UTF-8", "-d", "{out}/classes"];
    let all = files
        .paths
        .iter()
        .filter(|path| path.strip_suffix(".java").is_some() && plain(path) && !in_tests(path));
    argv.extend(all.map(String::as_str));
    project.step(&argv, &[]);
    let jars: Vec<&String> = files
        .paths
        .iter()
        .filter(|path| path.starts_with("lib/") && path.strip_suffix(".jar").is_some())
        .collect();
    let mut classes = "/app/classes".to_owned();
    if !jars.is_empty() {
        project.found(format!("{} jars", jars.len()), "lib/*.jar");
        project.steps[0].argv.splice(1..1, owned(&["-cp", "lib/*"]));
        project.layer("dependencies", "src/lib", "/app/lib", &[]);
        classes.push_str(":/app/lib/*");
    }
    project.layer("classes", "classes", "/app/classes", &[]);
    start(&mut project, files, &classes, name, false);
    project.images = ("eclipse-temurin:21-jdk".to_owned(), "eclipse-temurin:21-jre".to_owned());
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
    if element(&own, "modules").is_some() {
        let help = "run it in the module's own folder, or write a Dockerfile";
        return Err(Unrecognised::unclear(Kind::Java, "it is a Maven project of several modules", help));
    }
    let name = element(&own, "artifactId").filter(|name| plain(name)).unwrap_or(&files.folder).to_owned();
    let mut project = Project::new(Kind::Java, &name);
    project.version = element(&own, "version").filter(|version| plain(version)).map(str::to_owned);
    project.found("a Maven project", "pom.xml");
    let spring = pom.contains("spring-boot-maven-plugin");
    let said = element(pom, "mainClass").or_else(|| element(pom, "start-class")).map(str::to_owned);
    let (main, why) = main_class(files, said, "say it in pom.xml as mainClass")?;
    project.found(format!("the class '{main}'"), why);
    if spring {
        project.found("Spring Boot", "pom.xml: spring-boot-maven-plugin");
    }
    project.tools = vec!["mvn"];
    let mut argv = vec!["mvn", "-q", "-B", "-DskipTests", "compile"];
    let depends = element(&own, "dependencies").is_some_and(|text| text.contains("<dependency>"))
        || own.len() != pom.len();
    project.step(&["mkdir", "-p", "{out}/lib"], &[]);
    if depends {
        argv.extend([
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory={out}/lib",
        ]);
    }
    project.step(&argv, &[]);
    layers(&mut project, files, depends, "src/target/classes", "src/target/classes");
    start(&mut project, files, CLASSPATH, &main, spring);
    project.images = ("maven:3-eclipse-temurin-21".to_owned(), "eclipse-temurin:21-jre".to_owned());
    project.caches = vec!["/root/.m2"];
    Ok(project)
}

/// What a program that was built with layers of their own finds its classes in.
pub(super) const CLASSPATH: &str = "/app/resources:/app/classes:/app/lib/*";

/// The layers: what others wrote, files, code.
pub(super) fn layers(project: &mut Project, files: &Files, depends: bool, classes: &str, resources: &str) {
    if depends {
        project.layer("dependencies", "lib", "/app/lib", &[]);
    }
    if files.paths.iter().any(|path| path.starts_with("src/main/resources/")) {
        project.layer("resources", resources, "/app/resources", &["**/*.class"]);
    }
    let code = project.layer("classes", &format!("{classes}/./**/*.class"), "/app/classes/", &[]);
    code.copying = Copying::WithFolders;
}
