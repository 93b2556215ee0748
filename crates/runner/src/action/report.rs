//! `windlass/report`: test results, coverage and findings, kept with the run as artifacts whose names say what they hold,
//! so that control reads them.

use async_trait::async_trait;

use super::reports::{keep, named};
use super::{Action, ActionError, ActionRun, failed};

pub(super) struct Report;

/// The inputs that name files, and what their artifact is called.
const KINDS: &[(&str, &str)] = &[("junit", "junit"), ("coverage", "coverage"), ("sarif", "sarif")];

#[async_trait]
impl Action for Report {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[("junit", ""), ("coverage", ""), ("sarif", ""), ("name", ""), ("if-no-files-found", "warn")]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let none = run.input("if-no-files-found").to_owned();
        if !["warn", "error", "ignore"].contains(&none.as_str()) {
            return Err(failed(format!("`if-no-files-found` is warn, error or ignore, not `{none}`")));
        }
        if KINDS.iter().all(|(input, _)| run.lines(input).is_empty()) {
            return Err(failed("name files with at least one of `junit`, `coverage` and `sarif`"));
        }
        // The job's own name tells the legs of a matrix apart.
        let given = run.input("name");
        let apart = if given.is_empty() { plain(&run.job.assignment.name) } else { given.to_owned() };
        for (input, kind) in KINDS {
            let patterns = run.lines(input);
            if patterns.is_empty() {
                continue;
            }
            let name = named(kind, &apart);
            let kept = keep(run, &name, patterns.clone()).await?;
            let missing = format!("`{input}`: no file was found with {}", patterns.join(", "));
            match (kept, none.as_str()) {
                (0, "error") => return Err(failed(missing)),
                (0, "warn") => run.voice.warn(&missing),
                (0, _) => run.voice.say(&missing),
                _ => run.voice.say(&format!("Kept with the run as the artifact `{name}` ({kept} files).")),
            }
        }
        Ok(())
    }
}

/// A job's name without what only separates: `test (linux, 3)` is `test-linux-3`.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_legs_of_a_matrix_have_names_apart() {
        assert_eq!(super::plain("test (linux, 3.10)"), "test-linux-3.10");
        assert_eq!(super::plain("build"), "build");
    }
}
