//! What was pushed: git's refs, compared with the ones recorded last. The refs are the truth, the spool of the receive
//! hook only adds who pushed and what came between; so a push is neither lost nor counted twice, whatever died when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, Document, ProjectName};

use crate::spool::Received;
use crate::{RefName, Sha};

/// How many pushes are remembered by id: far more than one reading of the spool brings.
const REMEMBERED: usize = 256;

/// The refs of a project as they were recorded last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefState {
    /// Whose they are; the document's id.
    pub project: ProjectName,
    /// Each ref and what it points to.
    pub refs: BTreeMap<RefName, Sha>,
    /// The pushes counted last, so that a spool entry that is read again is not counted again.
    #[serde(default)]
    pub counted: Vec<String>,
}

/// One ref that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// The ref.
    pub name: RefName,
    /// What it pointed to before; none if it is new.
    pub old: Option<Sha>,
    /// What it points to now; none if it was deleted.
    pub new: Option<Sha>,
}

/// What happened to a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefChange {
    /// It is new.
    Created,
    /// It moved.
    Updated,
    /// It is gone.
    Deleted,
}

/// A ref that moved, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRef {
    /// The move.
    pub update: RefUpdate,
    /// Who pushed; none if no hook told (look at the reflog: `Repository::pusher_of`).
    pub pusher: Option<Actor>,
    /// The push, if the hook told.
    pub push: Option<String>,
}

impl RefState {
    /// Before the first push.
    pub fn new(project: &ProjectName) -> Self {
        Self { project: project.clone(), refs: BTreeMap::new(), counted: Vec::new() }
    }

    fn apply(&mut self, update: &RefUpdate) {
        match &update.new {
            Some(new) => self.refs.insert(update.name.clone(), new.clone()),
            None => self.refs.remove(&update.name),
        };
    }
}

impl Document for RefState {
    const KIND: &'static str = "refs";
    fn id(&self) -> String {
        self.project.to_string()
    }
}

impl RefUpdate {
    /// What happened.
    pub fn change(&self) -> RefChange {
        match (&self.old, &self.new) {
            (None, _) => RefChange::Created,
            (Some(_), None) => RefChange::Deleted,
            (Some(_), Some(_)) => RefChange::Updated,
        }
    }
}

/// What moved between `recorded` and `actual`, by name.
pub fn reconcile(actual: &BTreeMap<RefName, Sha>, recorded: &BTreeMap<RefName, Sha>) -> Vec<RefUpdate> {
    let mut updates = BTreeMap::new();
    for (name, new) in actual {
        let old = recorded.get(name);
        if old != Some(new) {
            updates.insert(name, (old.cloned(), Some(new.clone())));
        }
    }
    for (name, old) in recorded {
        if !actual.contains_key(name) {
            updates.insert(name, (Some(old.clone()), None));
        }
    }
    updates.into_iter().map(|(name, (old, new))| RefUpdate { name: name.clone(), old, new }).collect()
}

/// Brings `state` up to `actual`, step by step through what the hook told where it fits, and gives each step.
///
/// Read the spool **before** the refs: then `actual` is at least as new as every entry. Keep the new state and the
/// events of the steps in one batch, and remove the entries from the spool after that.
pub fn fold(state: &mut RefState, spooled: &[Received], actual: &BTreeMap<RefName, Sha>) -> Vec<PushedRef> {
    let mut pushed = Vec::new();
    let spooled: Vec<&Received> = spooled.iter().filter(|e| e.project == state.project).collect();
    for entry in &spooled {
        if state.counted.contains(&entry.push) {
            continue;
        }
        for update in &entry.refs {
            // Where it does not fit, the refs were recorded before the hook could tell: what is left is found below.
            if state.refs.get(&update.name) == update.old.as_ref() && update.old != update.new {
                state.apply(update);
                let (pusher, push) = (Some(entry.pusher.clone()), Some(entry.push.clone()));
                pushed.push(PushedRef { update: update.clone(), pusher, push });
            }
        }
        state.counted.push(entry.push.clone());
    }
    let surplus = state.counted.len().saturating_sub(REMEMBERED);
    state.counted.drain(..surplus);
    for update in reconcile(actual, &state.refs) {
        state.apply(&update);
        let told = spooled.iter().rev().find(|e| e.tells(&update));
        let (pusher, push) = (told.map(|e| e.pusher.clone()), told.map(|e| e.push.clone()));
        pushed.push(PushedRef { update, pusher, push });
    }
    pushed
}

#[cfg(test)]
mod tests {
    use windlass_kernel::Timestamp;

    use super::*;

    fn sha(c: char) -> Sha {
        c.to_string().repeat(40).parse().unwrap()
    }

    fn update(name: &str, old: &str, new: &str) -> RefUpdate {
        let sha = |text: &str| text.chars().next().map(sha);
        RefUpdate { name: RefName::branch(name).unwrap(), old: sha(old), new: sha(new) }
    }

    fn entry(push: &str, refs: Vec<RefUpdate>) -> Received {
        Received {
            project: "shop".parse().unwrap(),
            pusher: Actor::User("ada".parse().unwrap()),
            refs,
            at: Timestamp::from_millis(0),
            push: push.into(),
        }
    }

    fn refs(all: &[(&str, char)]) -> BTreeMap<RefName, Sha> {
        all.iter().map(|(name, c)| (RefName::branch(name).unwrap(), sha(*c))).collect()
    }

    fn steps(state: &mut RefState, spooled: &[Received], actual: &[(&str, char)]) -> Vec<(RefUpdate, bool)> {
        let actual = refs(actual);
        let steps = fold(state, spooled, &actual);
        assert_eq!(state.refs, actual, "the state is brought up to the truth");
        steps.into_iter().map(|p| (p.update, p.pusher.is_some())).collect()
    }

    fn state(all: &[(&str, char)]) -> RefState {
        RefState { refs: refs(all), ..RefState::new(&"shop".parse().unwrap()) }
    }

    #[test]
    fn reconcile_finds_what_was_made_moved_and_deleted() {
        let found = reconcile(&refs(&[("a", 'a'), ("b", 'c')]), &refs(&[("b", 'b'), ("d", 'd')]));
        assert_eq!(found, [update("a", "", "a"), update("b", "b", "c"), update("d", "d", "")]);
        assert_eq!(
            found.iter().map(RefUpdate::change).collect::<Vec<_>>(),
            [RefChange::Created, RefChange::Updated, RefChange::Deleted]
        );
        assert!(reconcile(&refs(&[("a", 'a')]), &refs(&[("a", 'a')])).is_empty());
    }

    #[test]
    fn every_step_between_is_counted() {
        let spooled = [entry("1", vec![update("m", "", "a")]), entry("2", vec![update("m", "a", "b")])];
        let expected = [(update("m", "", "a"), true), (update("m", "a", "b"), true)];
        assert_eq!(steps(&mut state(&[]), &spooled, &[("m", 'b')]), expected);
    }

    #[test]
    fn a_lost_hook_loses_nothing() {
        assert_eq!(steps(&mut state(&[]), &[], &[("m", 'a')]), [(update("m", "", "a"), false)]);
        // The first of two hooks was lost: the move is counted whole, and has a pusher.
        let spooled = [entry("2", vec![update("m", "b", "c")])];
        assert_eq!(
            steps(&mut state(&[("m", 'a')]), &spooled, &[("m", 'c')]),
            [(update("m", "a", "c"), true)]
        );
    }

    #[test]
    fn reading_the_spool_twice_counts_once() {
        // There and back again: without its memory, the state would take the entries for new ones.
        let spooled = [entry("1", vec![update("m", "a", "b")]), entry("2", vec![update("m", "b", "a")])];
        let mut state = state(&[("m", 'a')]);
        assert_eq!(steps(&mut state, &spooled, &[("m", 'a')]).len(), 2);
        assert_eq!(steps(&mut state, &spooled, &[("m", 'a')]), []);
    }

    #[test]
    fn an_entry_that_comes_after_its_refs_were_recorded_counts_nothing() {
        let mut state = state(&[("m", 'c')]);
        let spooled = [entry("1", vec![update("m", "a", "b")]), entry("2", vec![update("m", "b", "c")])];
        assert_eq!(steps(&mut state, &spooled, &[("m", 'c')]), []);
    }

    #[test]
    fn entries_of_others_and_of_nothing_are_left_alone() {
        let mut foreign = entry("1", vec![update("m", "", "a")]);
        foreign.project = "other".parse().unwrap();
        let spooled = [foreign, entry("2", vec![update("m", "", "")])];
        assert_eq!(steps(&mut state(&[]), &spooled, &[]), []);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut state = state(&[]);
        let spooled: Vec<Received> = (0..1000).map(|n| entry(&n.to_string(), vec![])).collect();
        fold(&mut state, &spooled, &BTreeMap::new());
        assert_eq!(state.counted.len(), REMEMBERED);
        assert_eq!(state.counted.last().unwrap(), "999");
    }
}
