//! A run as a tree of jobs: under each job those that wait for it. Pure: a view in, lines out.

use std::collections::BTreeMap;
use std::time::Duration;

use windlass_api::{Conclusion, JobView, RunDetail, State, StepView};
use windlass_kernel::Timestamp;

use crate::show::{self, Tone};

/// The run's lines at a moment.
pub(crate) fn lines(run: &RunDetail, now: Timestamp) -> Vec<String> {
    let mut out = vec![head(run, now)];
    let children = children(&run.jobs);
    let roots = children.get(&None).cloned().unwrap_or_default();
    branch(run, &children, &roots, "", now, &mut out);
    for finding in run.diagnostics.iter().filter(|d| d.severity == "error") {
        let text = format!(
            "{}:{}:{}: {}",
            finding.file,
            finding.line,
            finding.column,
            show::clean(&finding.message)
        );
        out.push(Tone::Bad.paint(text));
    }
    out
}

fn head(run: &RunDetail, now: Timestamp) -> String {
    let s = &run.summary;
    let (mark, word, tone) = show::standing(s.state, s.conclusion);
    let branch = s.git_ref.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
    let title = show::clean(&s.title);
    let time = elapsed(s.started_at.or(Some(s.created_at)), s.finished_at, now).unwrap_or_default();
    let what =
        format!("{} #{}: {title} ({branch} {})", show::clean(&s.workflow), s.number, show::short(&s.sha));
    format!("{} {what}  {}", tone.paint(mark), Tone::Dim.paint(format!("{word} {time}").trim_end()))
}

/// Who stands under whom: a job under the last of those that it needs which itself needs the most.
fn children(jobs: &[JobView]) -> BTreeMap<Option<usize>, Vec<usize>> {
    let by_key: BTreeMap<&str, usize> = jobs.iter().enumerate().map(|(at, j)| (j.key.as_str(), at)).collect();
    let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate() {
        let needs = job.needs.iter().filter_map(|key| by_key.get(key.as_str()).copied());
        let parent = needs.max_by_key(|need| (depth(jobs, &by_key, *need, jobs.len()), *need));
        children.entry(parent).or_default().push(at);
    }
    children
}

/// The length of the longest chain of needs; `left` ends it even if the needs went in a circle.
fn depth(jobs: &[JobView], by_key: &BTreeMap<&str, usize>, at: usize, left: usize) -> usize {
    if left == 0 {
        return 0;
    }
    let needs = jobs[at].needs.iter().filter_map(|key| by_key.get(key.as_str()));
    needs.map(|need| 1 + depth(jobs, by_key, *need, left - 1)).max().unwrap_or(0)
}

fn branch(
    run: &RunDetail,
    children: &BTreeMap<Option<usize>, Vec<usize>>,
    here: &[usize],
    indent: &str,
    now: Timestamp,
    out: &mut Vec<String>,
) {
    for (nth, at) in here.iter().enumerate() {
        let last = nth + 1 == here.len();
        let (fork, below) = if last { ("└─", "   ") } else { ("├─", "│  ") };
        out.push(format!("{indent}{fork} {}", job_line(&run.jobs[*at], now)));
        if let Some(under) = children.get(&Some(*at)) {
            branch(run, children, under, &format!("{indent}{below}"), now, out);
        }
    }
}

fn job_line(job: &JobView, now: Timestamp) -> String {
    let (mark, word, tone) = show::standing(job.state, job.conclusion);
    let mut line = format!("{} {}", tone.paint(mark), show::clean(&job.name));
    let mut notes = Vec::new();
    let plain = matches!(
        (job.state, job.conclusion),
        (State::Running, _) | (State::Completed, Some(Conclusion::Success))
    );
    if !plain {
        notes.push(word.to_owned());
    }
    notes.extend(elapsed(job.started_at, job.finished_at, now));
    match (job.state, current(&job.steps)) {
        (State::Running, Some(step)) => {
            notes.push(format!("step {}: {}", step.number, show::clean(&step.name)));
        }
        _ => notes.extend(job.reason.iter().filter(|_| !plain).map(|r| show::clean(first_line(r)))),
    }
    if job.tries > 1 {
        notes.push(format!("try {}", job.tries));
    }
    if let (Some(url), State::Completed) = (&job.environment_url, job.state) {
        notes.push(show::clean(url));
    }
    if !notes.is_empty() {
        line.push_str(&format!("  {}", Tone::Dim.paint(notes.join(" · "))));
    }
    line
}

fn current(steps: &[StepView]) -> Option<&StepView> {
    steps.iter().rev().find(|s| s.state == State::Running)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn elapsed(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Option<String> {
    from.map(|from| {
        let time = to.unwrap_or(now).since(from);
        // While it goes on, tenths would only flicker.
        let time = if to.is_none() { Duration::from_secs(time.as_secs()) } else { time };
        if to.is_none() && time.as_secs() < 60 {
            format!("{} s", time.as_secs())
        } else {
            show::lasting(time)
        }
    })
}

/// What changed from one view to the next, as plain lines, for where nothing can be drawn again.
pub(crate) fn changes(before: Option<&RunDetail>, after: &RunDetail) -> Vec<String> {
    let mut out = Vec::new();
    if before.is_none() {
        let s = &after.summary;
        out.push(format!("run {} of {}: {}", s.id, show::clean(&s.workflow), show::clean(&s.title)));
    }
    for job in &after.jobs {
        let old = before.and_then(|b| b.jobs.iter().find(|j| j.id == job.id));
        let name = show::clean(&job.name);
        if old.is_none_or(|o| (o.state, o.conclusion) != (job.state, job.conclusion)) {
            let (mark, word, _) = show::standing(job.state, job.conclusion);
            let time = job.finished_at.and_then(|end| elapsed(job.started_at, Some(end), end));
            let time = time.map(|t| format!(" after {t}")).unwrap_or_default();
            let reason = match (job.state, &job.reason) {
                (State::Running, _) | (_, None) => String::new(),
                (_, Some(reason)) => format!(": {}", show::clean(first_line(reason))),
            };
            out.push(format!("{mark} {name}: {word}{time}{reason}"));
        }
        if let Some(step) = current(&job.steps)
            && old.and_then(|o| current(&o.steps)).map(|s| s.number) != Some(step.number)
        {
            out.push(format!("  {name}: {}", show::clean(&step.name)));
        }
    }
    let ended = |run: &RunDetail| run.summary.state == State::Completed;
    if ended(after) && !before.is_some_and(ended) {
        let (mark, word, _) = show::standing(after.summary.state, after.summary.conclusion);
        out.push(format!("{mark} {}: {word}", show::clean(&after.summary.workflow)));
        for finding in after.diagnostics.iter().filter(|d| d.severity == "error") {
            out.push(format!(
                "  {}:{}:{}: {}",
                finding.file,
                finding.line,
                finding.column,
                show::clean(&finding.message)
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(jobs: serde_json::Value) -> RunDetail {
        serde_json::from_value(json!({
            "id": "r1", "project": "tasks", "number": 3, "attempt": 1, "workflow": "CI",
            "workflow_file": ".github/workflows/ci.yml", "title": "Fix", "event": "push", "git_ref": "refs/heads/main",
            "sha": "0123456789abcdef", "actor": "user:dev", "state": "running", "conclusion": null,
            "created_at": 0, "started_at": 1000, "finished_at": null,
            "jobs": jobs, "diagnostics": [], "artifacts": [], "deployments": [], "approvals": []
        }))
        .unwrap()
    }

    fn job(key: &str, needs: &[&str], state: &str, conclusion: Option<&str>) -> serde_json::Value {
        json!({
            "id": key, "key": key, "name": key, "needs": needs, "environment": null, "environment_url": null,
            "state": state, "conclusion": conclusion, "reason": null, "tries": 1, "queued_at": null,
            "started_at": (state != "waiting").then_some(2000), "finished_at": conclusion.map(|_| 4500),
            "steps": [], "annotations": [], "summary": "", "outputs": {}
        })
    }

    fn plain(run: &RunDetail) -> Vec<String> {
        let lines = lines(run, Timestamp::from_millis(61_000));
        lines.iter().map(|l| console::strip_ansi_codes(l).into_owned()).collect()
    }

    #[test]
    fn jobs_stand_under_what_they_need() {
        let mut building = job("build", &["lint"], "running", None);
        building["steps"] = json!([{ "number": 2, "name": "Compile", "state": "running", "outcome": null,
            "conclusion": null, "started_at": 3000, "finished_at": null, "log_start": 0, "log_end": null }]);
        let run = run(json!([
            job("lint", &[], "completed", Some("success")),
            building,
            job("audit", &[], "queued", None),
            job("deploy", &["build", "audit"], "waiting", None),
        ]));
        assert_eq!(
            plain(&run),
            [
                "● CI #3: Fix (main 0123456)  running 1m 00s",
                "├─ ✓ lint  2.5 s",
                "│  └─ ● build  59 s · step 2: Compile",
                "│     └─ ○ deploy  waiting",
                "└─ ○ audit  queued · 59 s",
            ]
        );
    }

    #[test]
    fn needs_in_a_circle_and_unknown_needs_end() {
        let run = run(json!([
            job("a", &["b"], "waiting", None),
            job("b", &["a"], "waiting", None),
            job("c", &["zz"], "queued", None)
        ]));
        assert!(plain(&run).iter().any(|l| l.contains("c  queued")));
    }

    #[test]
    fn changes_are_told_once() {
        let first = run(json!([job("lint", &[], "queued", None)]));
        let second = run(json!([job("lint", &[], "completed", Some("failure"))]));
        assert_eq!(changes(None, &first), ["run r1 of CI: Fix", "○ lint: queued"]);
        assert!(changes(Some(&first), &first).is_empty());
        assert_eq!(changes(Some(&first), &second), ["✗ lint: failure after 2.5 s"]);
    }

    #[test]
    fn what_names_hold_cannot_steer_the_terminal() {
        let mut odd = job("x", &[], "queued", None);
        odd["name"] = json!("a\u{1b}]0;b");
        assert!(!plain(&run(json!([odd]))).join("").contains('\u{1b}'));
    }
}
