//! A plan on paper: which job waits for which, and what a dry run decided.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;
use windlass_api::{Conclusion, JobView, RunDetail};
use windlass_server::local::{Outcome, Plan, PlannedJob, PlannedRun};

use crate::connection::Global;
use crate::show::{self, Tone};

/// Steps of jobs, by workflow file and job.
pub(super) type Steps = BTreeMap<(String, String), Vec<String>>;

/// The steps of all planned jobs.
pub(super) fn steps(plan: &Plan) -> Steps {
    let each = |run: &PlannedRun| -> Vec<((String, String), Vec<String>)> {
        run.jobs.iter().map(|job| ((run.file.clone(), job.id.clone()), run.steps(&job.id))).collect()
    };
    plan.runs.iter().flat_map(each).collect()
}

/// Shows which job waits for which.
pub(super) fn graph(global: &Global, plan: &Plan) -> Result<()> {
    for run in &plan.runs {
        if global.json {
            let jobs = run.jobs.iter().map(|job| {
                json!({"job": job.id, "needs": job.needs, "place": job.place, "calls": job.calls, "matrix": job.matrix})
            });
            let jobs: Vec<_> = jobs.collect();
            show::print(
                &json!({"type": "graph", "workflow": run.name, "file": run.file, "jobs": jobs}).to_string(),
            )?;
            continue;
        }
        show::print(&format!("{}  {}", run.name, Tone::Dim.paint(format!("{}: {}", run.file, run.why))))?;
        for (level, jobs) in levels(&run.jobs).iter().enumerate() {
            for job in jobs {
                let mut notes = Vec::new();
                if !job.needs.is_empty() {
                    notes.push(format!("after {}", job.needs.join(", ")));
                }
                notes.extend(job.place.clone());
                notes.extend(job.calls.as_ref().map(|called| format!("calls {called}")));
                notes.extend(job.matrix.then(|| "matrix".to_owned()));
                let indent = "   ".repeat(level);
                show::print(&format!("{indent}└─ {}  {}", job.id, Tone::Dim.paint(notes.join(" · "))))?;
            }
        }
    }
    Ok(())
}

/// Jobs by how many others, at the most, come before them one after the other.
fn levels(jobs: &[PlannedJob]) -> Vec<Vec<&PlannedJob>> {
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in jobs {
        for job in jobs {
            let above = job.needs.iter().filter_map(|need| depths.get(need.as_str()));
            let depth = above.map(|depth| depth + 1).max().unwrap_or(0);
            depths.insert(&job.id, depth);
        }
    }
    let mut levels: Vec<Vec<&PlannedJob>> = Vec::new();
    for job in jobs {
        let depth = depths.get(job.id.as_str()).copied().unwrap_or(0);
        if levels.len() <= depth {
            levels.resize(depth + 1, Vec::new());
        }
        levels[depth].push(job);
    }
    levels
}

/// Shows what a dry run decided.
pub(super) fn dry(global: &Global, outcome: &Outcome, steps: &Steps) -> Result<()> {
    for run in &outcome.runs {
        if global.json {
            for job in &run.jobs {
                let steps = of(steps, run, job);
                let planned = json!({
                    "type": "job", "workflow": run.summary.workflow, "job": job.name, "key": job.key, "needs": job.needs,
                    "conclusion": if job.conclusion == Some(Conclusion::Success) { None } else { job.conclusion },
                    "reason": job.reason, "steps": steps,
                });
                show::print(&planned.to_string())?;
            }
            continue;
        }
        show::print(&format!("{}  {}", run.summary.workflow, Tone::Dim.paint(&run.summary.workflow_file)))?;
        for job in &run.jobs {
            let name = show::clean(&job.name);
            if job.conclusion != Some(Conclusion::Success) {
                let (mark, word, tone) = show::standing(job.state, job.conclusion);
                let reason =
                    job.reason.as_deref().map(|why| format!(": {}", show::clean(why))).unwrap_or_default();
                show::print(&format!(
                    "  {} {name}  {}",
                    tone.paint(mark),
                    Tone::Dim.paint(format!("{word}{reason}"))
                ))?;
                continue;
            }
            match &job.reason {
                None => show::print(&format!("  ○ {name}"))?,
                Some(why) => {
                    let why = Tone::Dim.paint(show::clean(why));
                    show::print(&format!("  {} {name}  {why}", Tone::Bad.paint("✗")))?;
                }
            }
            for step in of(steps, run, job) {
                show::print(&format!("      {}", Tone::Dim.paint(show::clean(&step))))?;
            }
        }
    }
    Ok(())
}

fn of(steps: &Steps, run: &RunDetail, job: &JobView) -> Vec<String> {
    steps.get(&(run.summary.workflow_file.clone(), job.key.clone())).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_stand_below_the_longest_chain_before_them() {
        let job = |id: &str, needs: &[&str]| PlannedJob {
            id: id.into(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            place: None,
            calls: None,
            matrix: false,
        };
        let jobs = [job("d", &["a", "c"]), job("a", &[]), job("c", &["b"]), job("b", &["a"]), job("e", &[])];
        let ids = |level: &Vec<&PlannedJob>| level.iter().map(|job| job.id.clone()).collect::<Vec<_>>();
        assert_eq!(
            levels(&jobs).iter().map(ids).collect::<Vec<_>>(),
            [vec!["a", "e"], vec!["b"], vec!["c"], vec!["d"]]
        );
    }
}
