//! Gradle: its own tasks compile; a script beside the project's says what is copied where.

use super::java::{CLASSPATH, layers, main_class, start};
use super::texts::plain;
use super::{Files, Kind, Project, Unrecognised};

/// What is added to the build. It goes with Gradle 4 and all that came later.
const SCRIPT: &str = r"allprojects {
    afterEvaluate { project ->
        def program = project.plugins.hasPlugin('application')
        def alone = project == project.rootProject && project.plugins.hasPlugin('java')
        if (program || alone) {
            project.task('windlassLayers') {
                dependsOn 'classes'
                doLast {
                    def out = project.property('windlassOut')
                    project.copy { from project.configurations.runtimeClasspath; into out + '/lib' }
                    project.copy { from project.sourceSets.main.output.classesDirs; into out + '/classes' }
                    project.copy { from project.sourceSets.main.output.resourcesDir; into out + '/resources' }
                }
            }
        }
    }
}
";

/// The scripts that may say what is started.
const SCRIPTS: [&str; 4] = ["build.gradle", "build.gradle.kts", "app/build.gradle", "app/build.gradle.kts"];

pub(super) fn project(files: &Files, marker: &str) -> Result<Project, Unrecognised> {
    let all: String = SCRIPTS.iter().filter_map(|path| files.text(path)).collect::<Vec<_>>().join("\n");
    let settings =
        files.text("settings.gradle").or_else(|| files.text("settings.gradle.kts")).unwrap_or_default();
    let name = assigned(settings, "rootProject.name").filter(|name| plain(name));
    let mut project = Project::new(Kind::Java, &name.unwrap_or_else(|| files.folder.clone()));
    project.found("a Gradle project", marker);
    project.version = assigned(&all, "version").filter(|version| plain(version));
    let said = ["mainClass", "mainClassName"].into_iter().find_map(|name| assigned(&all, name));
    let (main, why) = main_class(files, said, "say it in build.gradle: application { mainClass = '…' }")?;
    project.found(format!("the class '{main}'"), why);
    let spring = all.contains("org.springframework.boot");
    if spring {
        project.found("Spring Boot", "build.gradle: org.springframework.boot");
    }
    project.texts.push(("layers.gradle".to_owned(), SCRIPT.to_owned()));
    project.tools = vec!["gradle"];
    let argv =
        ["gradle", "--no-daemon", "-q", "-I", "{out}/layers.gradle", "-PwindlassOut={out}", "windlassLayers"];
    project.step(&["mkdir", "-p", "{out}/lib"], &[]);
    project.step(&argv, &[]);
    let depends = ["implementation", "runtimeOnly", "compile ", "api "].iter().any(|word| all.contains(word));
    layers(&mut project, files, depends, "classes", "resources");
    start(&mut project, files, CLASSPATH, &main, spring);
    project.images = ("gradle:8-jdk21".to_owned(), "eclipse-temurin:21-jre".to_owned());
    project.caches = vec!["/home/gradle/.gradle/caches", "/root/.gradle/caches"];
    Ok(project)
}

/// What a name is given: `name = 'x'`, `name 'x'`, `name.set("x")`.
fn assigned(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().trim_start_matches("application.").strip_prefix(name)?;
        let rest = rest.strip_prefix(".set(").unwrap_or(rest);
        let value = rest.trim_start_matches([' ', '=', '(']);
        // Another name that only begins so is another.
        let given = rest.starts_with([' ', '=', '(', '"', '\'']);
        let quote = value.chars().next().filter(|c| given && "\"'".contains(*c))?;
        let end = value[1..].find(quote)?;
        Some(value[1..=end].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_assigned_is_found_in_both_languages() {
        let text = "version '1.2'\nmainClassName = \"a.B\"\napplication {\n  mainClass.set(\"c.D\")\n}\nrootProject.name='x'\n";
        assert_eq!(assigned(text, "version").as_deref(), Some("1.2"));
        assert_eq!(assigned(text, "mainClass").as_deref(), Some("c.D"));
        assert_eq!(assigned(text, "mainClassName").as_deref(), Some("a.B"));
        assert_eq!(assigned(text, "rootProject.name").as_deref(), Some("x"));
        assert_eq!(assigned("versionCatalogs {", "version"), None);
    }
}
