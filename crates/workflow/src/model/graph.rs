//! The graph that `needs` makes of the jobs. A parsed workflow's has no cycle and no unknown name.

use std::collections::{BTreeSet, HashMap};

use super::{Job, Workflow};

impl Workflow {
    /// A job by its id, ignoring case.
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id.eq_ignore_ascii_case(id))
    }

    /// All jobs that a job waits for, directly or not, in the file's order; none for an unknown id.
    pub fn ancestors(&self, id: &str) -> Vec<&Job> {
        let needs = needs(&self.jobs);
        let mut found = vec![false; self.jobs.len()];
        let start = self.jobs.iter().position(|job| job.id.eq_ignore_ascii_case(id));
        let mut open: Vec<usize> = start.into_iter().collect();
        while let Some(at) = open.pop() {
            for need in &needs[at] {
                if !std::mem::replace(&mut found[*need], true) {
                    open.push(*need);
                }
            }
        }
        self.jobs.iter().zip(found).filter_map(|(job, found)| found.then_some(job)).collect()
    }

    /// The jobs, each after all that it needs; otherwise in the file's order.
    pub fn topological(&self) -> Vec<&Job> {
        order(&needs(&self.jobs)).into_iter().map(|at| &self.jobs[at]).collect()
    }
}

/// For each job, the places of the jobs that it needs; unknown names are left out.
pub(crate) fn needs(jobs: &[Job]) -> Vec<Vec<usize>> {
    let places: HashMap<String, usize> =
        jobs.iter().enumerate().map(|(at, job)| (job.id.to_ascii_lowercase(), at)).collect();
    let of = |job: &Job| {
        job.needs.iter().filter_map(|need| places.get(&need.to_ascii_lowercase()).copied()).collect()
    };
    jobs.iter().map(of).collect()
}

/// The places in an order in which each comes after all that it needs, the lowest first among equals; those
/// on a cycle, and those that need them, are missing.
pub(crate) fn order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (at, needs) in needs.iter().enumerate() {
        for need in needs {
            dependants[*need].push(at);
        }
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|at| open[*at] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for dependant in &dependants[at] {
            open[*dependant] -= 1;
            if open[*dependant] == 0 {
                ready.insert(*dependant);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn order_follows_needs_then_the_file() {
        assert_eq!(order(&[vec![2], vec![], vec![]]), [1, 2, 0]);
        assert_eq!(order(&[vec![], vec![0, 0], vec![1]]), [0, 1, 2]);
        assert_eq!(order(&[vec![1], vec![0], vec![], vec![0]]), [2], "cycles are left out");
        assert_eq!(order(&[vec![0]]), [0_usize; 0]);
    }
}
