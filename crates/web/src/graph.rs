//! The graph of a run's jobs: columns by how deep a job's needs go, drawn as SVG.

use windlass_api::JobView;

use crate::view::{Raw, escape, job_look};

const NODE: usize = 204;
const ROW: usize = 32;
const GAP_X: usize = 44;
const GAP_Y: usize = 16;
const PAD: usize = 8;
/// How many characters of a name fit.
const FITS: usize = 21;

/// All jobs of one key: one, or the legs of a matrix.
struct Group<'a> {
    key: &'a str,
    needs: Vec<&'a str>,
    jobs: Vec<&'a JobView>,
    column: usize,
    y: usize,
}

impl Group<'_> {
    fn height(&self) -> usize {
        self.jobs.len() * ROW + PAD
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
    let groups = lay_out(jobs);
    let columns = groups.iter().map(|g| g.column + 1).max().unwrap_or(1);
    let width = columns * (NODE + GAP_X) - GAP_X + 2;
    let height = groups.iter().map(|g| g.y + g.height()).max().unwrap_or(0) + 2;
    let mut svg = format!(
        "<svg class=\"graph\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"group\" aria-label=\"The jobs of this run and what they need\">"
    );
    for group in &groups {
        for need in &group.needs {
            if let Some(from) = groups.iter().find(|g| g.key == *need)
                && !implied(&groups, group, need)
            {
                edge(&mut svg, from, group);
            }
        }
    }
    for group in &groups {
        node(&mut svg, run, group);
    }
    svg.push_str("</svg>");
    Raw(svg)
}

fn lay_out(jobs: &[JobView]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for job in jobs {
        match groups.iter_mut().find(|g| g.key == job.key) {
            Some(group) => group.jobs.push(job),
            None => groups.push(Group {
                key: &job.key,
                needs: job.needs.iter().map(String::as_str).collect(),
                jobs: vec![job],
                column: 0,
                y: 0,
            }),
        }
    }
    // A longest path has at most as many jobs as there are; needs that go in a circle (refused long before) end there too.
    for _ in 0..groups.len() {
        let columns: Vec<(String, usize)> = groups.iter().map(|g| (g.key.to_owned(), g.column)).collect();
        let limit = groups.len();
        for group in &mut groups {
            let deepest = columns
                .iter()
                .filter(|(key, _)| group.needs.contains(&key.as_str()))
                .map(|(_, c)| c + 1)
                .max();
            group.column = deepest.unwrap_or(0).min(limit - 1);
        }
    }
    let mut next = vec![1; groups.len() + 1];
    for group in &mut groups {
        group.y = next[group.column];
        next[group.column] += group.height() + GAP_Y;
    }
    groups
}

/// Whether `group` needs `need` through another of its needs anyway: the line would say nothing new.
fn implied(groups: &[Group<'_>], group: &Group<'_>, need: &str) -> bool {
    let reaches = |from: &str| {
        let mut open = vec![from];
        let mut seen = Vec::new();
        while let Some(key) = open.pop() {
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let needs = groups.iter().find(|g| g.key == key).map(|g| g.needs.clone()).unwrap_or_default();
            if needs.contains(&need) {
                return true;
            }
            open.extend(needs);
        }
        false
    };
    group.needs.iter().any(|other| *other != need && reaches(other))
}

fn edge(svg: &mut String, from: &Group<'_>, to: &Group<'_>) {
    let (x1, y1) = (from.x() + NODE, from.y + from.height() / 2);
    let (x2, y2) = (to.x(), to.y + to.height() / 2);
    let middle = x2 - GAP_X / 2;
    svg.push_str(&format!(
        "<path class=\"edge\" d=\"M{x1} {y1}H{} C{middle} {y1} {middle} {y2} {x2} {y2}\"/>",
        x2 - GAP_X
    ));
    svg.push_str(&format!("<circle class=\"dot\" cx=\"{x2}\" cy=\"{y2}\" r=\"3\"/>"));
}

fn node(svg: &mut String, run: &str, group: &Group<'_>) {
    let (x, y) = (group.x(), group.y);
    svg.push_str(&format!(
        "<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{NODE}\" height=\"{}\" rx=\"6\"/>",
        group.height()
    ));
    for (i, job) in group.jobs.iter().enumerate() {
        let look = job_look(job);
        let top = y + PAD / 2 + i * ROW;
        let mut name: String = job.name.chars().take(FITS).collect();
        if job.name.chars().count() > FITS {
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
            "<a href=\"/runs/{run}/jobs/{}\" class=\"job {}\"><title>{}: {}</title><rect class=\"hit\" x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{ROW}\" rx=\"4\"/>{icon}<text x=\"{}\" y=\"{}\">{}</text></a>",
            crate::view::encode(&job.id),
            look.tone,
            escape(&job.name),
            look.text,
            x + 3,
            NODE - 6,
            x + 34,
            top + 21,
            escape(&name)
        ));
    }
}
