//! The graph of a run's jobs: columns by how deep a job's needs go, drawn as SVG. The legs of a large matrix are folded
//! into one line, and so are the jobs of a called workflow; [`families`] is the same order as a list.

use windlass_api::{Conclusion, JobView, State};

use crate::view::{Look, Raw, encode, escape, job_look, plural, progress};

const NODE: usize = 204;
const ROW: usize = 32;
const GAP_X: usize = 44;
const GAP_Y: usize = 16;
const PAD: usize = 8;
/// How many characters of a name fit.
const FITS: usize = 21;
/// A family with more jobs is folded: it shows how they stand together, and those that want a look.
const WHOLE: usize = 6;
const WANTING: usize = 3;

/// All jobs of one key: one, or the legs of a matrix; with all that the workflows which they call are made of.
pub(crate) struct Family<'a> {
    /// The key in the workflow file.
    pub(crate) key: &'a str,
    /// The jobs with how deep they stand below the run's own workflow, each caller before what it called.
    pub(crate) jobs: Vec<(&'a JobView, usize)>,
    needs: Vec<&'a str>,
    column: usize,
    y: usize,
}

/// A line of a family's box.
enum Line<'a> {
    Job(&'a JobView, usize),
    Sum(Look, String),
}

impl<'a> Family<'a> {
    /// Whether it is too large to be shown whole.
    pub(crate) fn folded(&self) -> bool {
        self.jobs.len() > WHOLE
    }

    /// How its jobs stand together: what wants most attention.
    pub(crate) fn look(&self) -> Look {
        let rank = |job: &JobView| match (job.state, job.conclusion) {
            (State::Running, _) => 0,
            (_, Some(Conclusion::Failure | Conclusion::StartupFailure)) => 1,
            (State::Queued, _) => 2,
            (State::Waiting, _) => 3,
            (_, Some(Conclusion::Cancelled)) => 4,
            (_, Some(Conclusion::Success)) => 5,
            _ => 6,
        };
        let first = self.jobs.iter().map(|(job, _)| *job).min_by_key(|job| rank(job));
        first.map_or(progress(State::Waiting, None), job_look)
    }

    /// How many stand how: `60 succeeded, 3 failed`.
    pub(crate) fn counts(&self) -> String {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for (job, _) in &self.jobs {
            let text = job_look(job).text;
            match counts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, count)) => *count += 1,
                None => counts.push((text, 1)),
            }
        }
        let texts: Vec<String> =
            counts.iter().map(|(text, count)| format!("{count} {}", text.to_lowercase())).collect();
        texts.join(", ")
    }

    /// Its name when it is folded: `test, 64 jobs`.
    pub(crate) fn title(&self) -> String {
        format!("{}, {}", self.key, plural(self.jobs.len(), "job"))
    }

    fn lines(&self) -> Vec<Line<'a>> {
        if !self.folded() {
            return self.jobs.iter().map(|(job, depth)| Line::Job(job, *depth)).collect();
        }
        let wants = |job: &JobView| {
            job.state == State::Running || matches!(job.conclusion, Some(Conclusion::Failure))
        };
        let mut lines = vec![Line::Sum(self.look(), self.title())];
        lines.extend(
            self.jobs.iter().filter(|(job, _)| wants(job)).take(WANTING).map(|(job, _)| Line::Job(job, 1)),
        );
        lines
    }

    fn height(&self) -> usize {
        self.lines().len() * ROW + PAD
    }

    fn x(&self) -> usize {
        self.column * (NODE + GAP_X) + 1
    }
}

/// Draws the graph; empty for fewer than two jobs.
pub(crate) fn draw(run: &str, jobs: &[JobView]) -> Raw {
    if jobs.len() < 2 {
        return Raw::default();
    }
    let families = families(jobs);
    let columns = families.iter().map(|g| g.column + 1).max().unwrap_or(1);
    let width = columns * (NODE + GAP_X) - GAP_X + 2;
    let height = families.iter().map(|g| g.y + g.height()).max().unwrap_or(0) + 2;
    let mut svg = format!(
        "<svg class=\"graph\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"group\" aria-label=\"The jobs of this run and what they need\">"
    );
    for family in &families {
        for need in &family.needs {
            if let Some(from) = families.iter().find(|g| g.key == *need)
                && !implied(&families, family, need)
            {
                edge(&mut svg, from, family);
            }
        }
    }
    for family in &families {
        node(&mut svg, run, family);
    }
    svg.push_str("</svg>");
    Raw(svg)
}

/// A run's jobs by families, in the file's order.
pub(crate) fn families(jobs: &[JobView]) -> Vec<Family<'_>> {
    let known = |id: &Option<String>| id.as_ref().is_some_and(|id| jobs.iter().any(|j| j.id == *id));
    let mut families: Vec<Family<'_>> = Vec::new();
    for job in jobs.iter().filter(|job| !known(&job.parent)) {
        let place = families.iter().position(|g| g.key == job.key).unwrap_or_else(|| {
            let needs = job.needs.iter().map(String::as_str).collect();
            families.push(Family { key: &job.key, needs, jobs: Vec::new(), column: 0, y: 0 });
            families.len() - 1
        });
        below(&mut families[place].jobs, jobs, job, 0);
    }
    // A longest path has at most as many jobs as there are; needs that go in a circle (refused long before) end there too.
    for _ in 0..families.len() {
        let columns: Vec<(String, usize)> = families.iter().map(|g| (g.key.to_owned(), g.column)).collect();
        let limit = families.len();
        for family in &mut families {
            let deepest = columns
                .iter()
                .filter(|(key, _)| family.needs.contains(&key.as_str()))
                .map(|(_, c)| c + 1)
                .max();
            family.column = deepest.unwrap_or(0).min(limit - 1);
        }
    }
    let mut next = vec![1; families.len() + 1];
    for family in &mut families {
        family.y = next[family.column];
        next[family.column] += family.height() + GAP_Y;
    }
    families
}

/// A job, and behind it what it called, and so on. Workflows call at most ten deep.
fn below<'a>(out: &mut Vec<(&'a JobView, usize)>, jobs: &'a [JobView], job: &'a JobView, depth: usize) {
    out.push((job, depth));
    if depth < 10 {
        for called in jobs.iter().filter(|j| j.parent.as_ref() == Some(&job.id)) {
            below(out, jobs, called, depth + 1);
        }
    }
}

/// Whether `family` needs `need` through another of its needs anyway: the line would say nothing new.
fn implied(families: &[Family<'_>], family: &Family<'_>, need: &str) -> bool {
    let reaches = |from: &str| {
        let mut open = vec![from];
        let mut seen = Vec::new();
        while let Some(key) = open.pop() {
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let needs = families.iter().find(|g| g.key == key).map(|g| g.needs.clone()).unwrap_or_default();
            if needs.contains(&need) {
                return true;
            }
            open.extend(needs);
        }
        false
    };
    family.needs.iter().any(|other| *other != need && reaches(other))
}

fn edge(svg: &mut String, from: &Family<'_>, to: &Family<'_>) {
    let (x1, y1) = (from.x() + NODE, from.y + from.height() / 2);
    let (x2, y2) = (to.x(), to.y + to.height() / 2);
    let middle = x2 - GAP_X / 2;
    svg.push_str(&format!(
        "<path class=\"edge\" d=\"M{x1} {y1}H{} C{middle} {y1} {middle} {y2} {x2} {y2}\"/>",
        x2 - GAP_X
    ));
    svg.push_str(&format!("<circle class=\"dot\" cx=\"{x2}\" cy=\"{y2}\" r=\"3\"/>"));
}

fn node(svg: &mut String, run: &str, family: &Family<'_>) {
    let (x, y) = (family.x(), family.y);
    svg.push_str(&format!(
        "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{NODE}\" height=\"{}\" rx=\"6\"/>",
        family.height()
    ));
    for (i, line) in family.lines().into_iter().enumerate() {
        let top = y + PAD / 2 + i * ROW;
        let (href, look, title, text, depth) = match line {
            Line::Job(job, depth) => (
                format!("/runs/{run}/jobs/{}", encode(&job.id)),
                job_look(job),
                format!("{}: {}", job.name, job_look(job).text),
                // `caller / called` stands in the caller's box.
                if depth > 0 { job.name.rsplit(" / ").next().unwrap_or_default() } else { &job.name }
                    .to_owned(),
                depth.min(3),
            ),
            Line::Sum(look, text) => (
                format!("#family-{}", encode(family.key)),
                look,
                format!("{text}: {}", family.counts()),
                text,
                0,
            ),
        };
        line_at(svg, (x + depth * 12, top), (&href, look, &title, &text), NODE - depth * 12);
    }
}

fn line_at(
    svg: &mut String,
    (x, top): (usize, usize),
    (href, look, title, text): (&str, Look, &str, &str),
    width: usize,
) {
    let fits = FITS * width / NODE;
    let mut name: String = text.chars().take(fits).collect();
    if text.chars().count() > fits {
        name.pop();
        name.push('…');
    }
    let icon = crate::view::icon(look.icon).0.replacen(
        "<svg ",
        &format!("<svg x=\"{}\" y=\"{}\" width=\"16\" height=\"16\" ", x + 10, top + 8),
        1,
    );
    // A nested drawing would turn about the whole graph's corner.
    let icon = icon.replace(" spin", "");
    svg.push_str(&format!(
        "<a href=\"{href}\" class=\"job {}\"><title>{}</title><rect class=\"hit\" x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{ROW}\" rx=\"4\"/>{icon}<text x=\"{}\" y=\"{}\">{}</text></a>",
        look.tone,
        escape(title),
        x + 3,
        width - 6,
        x + 34,
        top + 21,
        escape(&name)
    ));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn job(
        id: &str,
        key: &str,
        needs: &[&str],
        parent: Option<&str>,
        conclusion: Option<Conclusion>,
    ) -> JobView {
        JobView {
            id: id.into(),
            key: key.into(),
            name: format!("<{id}>"),
            parent: parent.map(str::to_owned),
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
            environment: None,
            environment_url: None,
            state: if conclusion.is_some() { State::Completed } else { State::Running },
            conclusion,
            reason: None,
            tries: 1,
            queued_at: None,
            started_at: None,
            finished_at: None,
            steps: Vec::new(),
            annotations: Vec::new(),
            summary: String::new(),
            outputs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_large_matrix_is_one_line_and_those_that_want_a_look() {
        let mut jobs: Vec<JobView> =
            (0..64).map(|n| job(&format!("t{n}"), "test", &[], None, Some(Conclusion::Success))).collect();
        jobs[10].conclusion = Some(Conclusion::Failure);
        jobs.push(job("last", "last", &["test"], None, None));
        let all = families(&jobs);
        assert_eq!((all.len(), all[0].jobs.len(), all[0].lines().len()), (2, 64, 2));
        assert_eq!(all[0].counts(), "63 succeeded, 1 failed");
        assert_eq!((all[0].title().as_str(), all[0].look().tone), ("test, 64 jobs", "bad"));
        assert_eq!((all[0].column, all[1].column), (0, 1));
        let svg = draw("r", &jobs).0;
        assert!(
            svg.contains("#family-test") && svg.contains("&lt;t10&gt;") && !svg.contains("&lt;t9&gt;"),
            "{svg}"
        );
    }

    #[test]
    fn what_a_workflow_calls_stands_with_its_caller() {
        let done = Some(Conclusion::Success);
        let jobs = [
            job("a", "build", &[], None, done),
            job("b", "build", &[], Some("a"), done),
            job("c", "deep", &["build"], Some("b"), done),
            job("d", "other", &["build"], None, done),
            job("e", "lost", &[], Some("gone"), done),
        ];
        let all = families(&jobs);
        let shape: Vec<Vec<(&str, usize)>> =
            all.iter().map(|f| f.jobs.iter().map(|(j, depth)| (j.id.as_str(), *depth)).collect()).collect();
        assert_eq!(shape, [vec![("a", 0), ("b", 1), ("c", 2)], vec![("d", 0)], vec![("e", 0)]]);
    }
}
