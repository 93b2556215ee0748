//! Gates: what must hold, or who must agree, before a job or a deployment may touch an environment.
//! Pure decisions that fail closed: what is not known to be allowed is not allowed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, EnvironmentName, NameError, Timestamp, UserName};

use crate::Digests;
use crate::manifest::{BranchPattern, Environment};
use crate::requirements::{Evidence, Missing, Requirements};

/// Who may approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reviewer {
    /// Anyone who may take part in the project: the word `anyone`.
    Anyone,
    /// This person.
    User(UserName),
}

/// An environment's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The environment.
    pub environment: EnvironmentName,
    /// The branches that may deploy; empty: all (and tags).
    pub branches: Vec<BranchPattern>,
    /// Who may approve; empty: no approval is asked for.
    pub reviewers: Vec<Reviewer>,
    /// How many different people must approve.
    pub approvals: u32,
    /// Whether the pusher's own approval counts.
    pub self_approval: bool,
    /// The environment in which exactly the same digests must have succeeded.
    pub after: Option<EnvironmentName>,
    /// How long what wants to pass waits first.
    #[serde(default, with = "crate::millis")]
    pub wait: Duration,
    /// What evidence each image must have.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub require: Requirements,
}

/// What somebody decided about a set of digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Yes or no.
    pub approve: bool,
    /// Anything said.
    pub comment: String,
    /// What it was about: it says nothing about any other set.
    pub digests: Digests,
}

/// Who asks to pass, with what.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The full ref that it comes from, such as `refs/heads/main`.
    pub git_ref: &'a str,
    /// Who pushed.
    pub pusher: &'a Actor,
    /// The digests that want to pass.
    pub digests: &'a Digests,
    /// What was decided so far.
    pub approvals: &'a [Approval],
    /// Since when it waits here.
    pub since: Timestamp,
    /// The digest sets of the succeeded deployments in the `after` environment.
    pub passed: &'a [Digests],
    /// The images that want to pass, as far as they are known yet, and what verified statements say of them.
    pub evidence: (&'a Digests, &'a Evidence),
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Gate {
    /// Go on.
    Open,
    /// People must agree first.
    Waiting {
        /// What is waited for, in sentences.
        reasons: Vec<String>,
        /// Who may decide.
        reviewers: Vec<Reviewer>,
        /// How many approvals are still wanted; 0 where only time must pass.
        wanted: u32,
        /// When the time that must pass has passed, if it has not.
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// It cannot pass.
    Closed {
        /// Why, and what to do.
        reason: String,
    },
}

impl Reviewer {
    /// Whether this person is meant.
    pub fn admits(&self, user: &UserName) -> bool {
        match self {
            Self::Anyone => true,
            Self::User(name) => name == user,
        }
    }
}

impl fmt::Display for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::User(name) => name.fmt(f),
        }
    }
}

impl FromStr for Reviewer {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "anyone" { Ok(Self::Anyone) } else { text.parse().map(Self::User) }
    }
}

impl Serialize for Reviewer {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reviewer {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<&Environment> for Rules {
    fn from(e: &Environment) -> Self {
        Self {
            environment: e.name.clone(),
            branches: e.branches.clone(),
            reviewers: e.reviewers.clone(),
            approvals: e.approvals,
            self_approval: e.self_approval,
            after: e.after.clone(),
            wait: e.wait,
            require: e.require.clone(),
        }
    }
}

/// Decides. Branch first, then what must have been passed, then evidence, then people and time: nobody is asked about something
/// that could not pass anyhow.
pub fn evaluate(rules: &Rules, request: &Request<'_>, now: Timestamp) -> Gate {
    let admitted = branch_admitted(rules, request.git_ref).and_then(|()| has_passed(rules, request));
    if let Err(reason) = admitted.and_then(|()| has_evidence(rules, request, now)) {
        return Gate::Closed { reason };
    }
    let until = Some(request.since + rules.wait).filter(|until| !rules.wait.is_zero() && now < *until);
    if rules.reviewers.is_empty() && rules.approvals > 0 {
        let environment = &rules.environment;
        return Gate::Closed {
            reason: format!("{environment} wants approvals, but nobody may give them: name reviewers"),
        };
    }
    if rules.reviewers.is_empty() {
        return waiting(rules, Vec::new(), 0, until);
    }
    let mut agreed = 0;
    for (who, last) in last_words(request) {
        if may_decide(rules, who, request.pusher).is_err() {
            continue;
        }
        if !last.approve {
            return Gate::Closed { reason: rejection(rules, last) };
        }
        agreed += 1;
    }
    // Reviewers without a number can only come from a document written by hand: one is the least.
    let wanted = rules.approvals.max(1).saturating_sub(agreed);
    if wanted == 0 {
        return waiting(rules, Vec::new(), 0, until);
    }
    let names = rules.reviewers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let noun = if wanted == 1 { "approval" } else { "approvals" };
    let mut reasons = vec![format!("{} waits for {wanted} {noun} by {names}", rules.environment)];
    if !rules.self_approval
        && let Actor::User(pusher) = request.pusher
        && rules.reviewers.iter().any(|r| r.admits(pusher))
    {
        reasons.push(format!("{pusher} pushed it, so {pusher}'s own approval does not count"));
    }
    waiting(rules, reasons, wanted, until)
}

/// What must still come: people's agreement, time, or nothing.
fn waiting(rules: &Rules, mut reasons: Vec<String>, wanted: u32, until: Option<Timestamp>) -> Gate {
    if let Some(until) = until {
        reasons.push(format!("{} lets nothing through before {until}", rules.environment));
    }
    if wanted == 0 && until.is_none() {
        return Gate::Open;
    }
    Gate::Waiting { reasons, reviewers: rules.reviewers.clone(), wanted, until }
}

/// Whether this person's decision counts; if not, why not, for that person to read.
pub fn may_decide(rules: &Rules, user: &UserName, pusher: &Actor) -> Result<(), String> {
    if !rules.reviewers.iter().any(|r| r.admits(user)) {
        return Err(format!("{user} is not among the reviewers of {}", rules.environment));
    }
    if !rules.self_approval && matches!(pusher, Actor::User(name) if name == user) {
        return Err(format!(
            "{user} pushed it, and {} does not let people approve what they pushed",
            rules.environment
        ));
    }
    Ok(())
}

fn branch_admitted(rules: &Rules, git_ref: &str) -> Result<(), String> {
    if rules.branches.is_empty() {
        return Ok(());
    }
    let patterns = rules.branches.iter().map(BranchPattern::as_str).collect::<Vec<_>>().join(", ");
    let environment = &rules.environment;
    match git_ref.strip_prefix("refs/heads/") {
        Some(branch) if rules.branches.iter().any(|p| p.matches(branch)) => Ok(()),
        Some(branch) => {
            Err(format!("the branch {branch} may not deploy to {environment}, only {patterns} may"))
        }
        None => Err(format!("{git_ref} is not a branch, and only {patterns} may deploy to {environment}")),
    }
}

fn has_passed(rules: &Rules, request: &Request<'_>) -> Result<(), String> {
    let Some(after) = &rules.after else { return Ok(()) };
    let environment = &rules.environment;
    if request.digests.is_empty() {
        return Err(format!(
            "no image was deployed to {after} before: {environment} takes only what succeeded there"
        ));
    }
    if request.passed.iter().any(|set| set == request.digests) {
        return Ok(());
    }
    let set =
        request.digests.iter().map(|(s, d)| format!("{s} {}", d.short())).collect::<Vec<_>>().join(", ");
    Err(format!(
        "exactly these images ({set}) have not succeeded in {after} yet, and {environment} takes only what has: \
         deploy them to {after} first"
    ))
}

fn has_evidence(rules: &Rules, request: &Request<'_>, now: Timestamp) -> Result<(), String> {
    let (digests, evidence) = request.evidence;
    let missing = rules.require.missing(digests, evidence, now);
    if missing.is_empty() { Ok(()) } else { Err(lacking(&rules.environment, &missing)) }
}

/// What an environment asks for and does not get, one line each.
fn lacking(environment: &EnvironmentName, missing: &[Missing]) -> String {
    let lines: Vec<String> = missing.iter().map(|m| format!("- {m}")).collect();
    format!("{environment} requires evidence that is missing:\n{}", lines.join("\n"))
}

/// The last decision of each person about exactly the requested digests, by name.
fn last_words<'a>(request: &Request<'a>) -> std::collections::BTreeMap<&'a UserName, &'a Approval> {
    let mut last = std::collections::BTreeMap::new();
    for approval in request.approvals.iter().filter(|a| a.digests == *request.digests) {
        let entry = last.entry(&approval.by).or_insert(approval);
        if approval.at >= entry.at {
            *entry = approval;
        }
    }
    last
}

fn rejection(rules: &Rules, approval: &Approval) -> String {
    let said = if approval.comment.is_empty() { String::new() } else { format!(": {}", approval.comment) };
    format!("{} rejected it for {}{said}", approval.by, rules.environment)
}

#[cfg(test)]
mod tests;
