//! The `github` context and the payloads of events, in GitHub's shapes. What has no like here (numbers of issues, pictures
//! of people) is left out rather than made up; ids that GitHub numbers are numbers that hang on the name.

use serde_json::{Value, json};
use windlass_kernel::{Actor, ProjectName, RunId, Timestamp};
use windlass_pipeline::{Conclusion, Run};
use windlass_source::Commit;

use crate::context::Context;
use crate::runs::start::{Cause, OWNER, WorkflowFile};

/// What Git writes where there is no commit.
pub(crate) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// A number that stands for a name wherever GitHub has a numeric id: always the same for the same name (FNV-1a), and
/// small enough for every reader of JSON.
pub(crate) fn number_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 33).max(1)
}

/// An actor as GitHub names people.
pub(crate) fn login(actor: &Actor) -> String {
    match actor {
        Actor::User(name) => name.to_string(),
        other => other.to_string(),
    }
}

/// Who did it, as `sender`, `actor` and the like.
pub(crate) fn person(actor: &Actor) -> Value {
    let name = login(actor);
    let kind = if matches!(actor, Actor::User(_)) { "User" } else { "Bot" };
    json!({"login": name, "id": number_of(&name), "type": kind, "site_admin": false})
}

/// `repository`.
pub(crate) fn repository_json(ctx: &Context, project: &ProjectName, default_branch: &str) -> Value {
    let pages = format!("{}/projects/{project}", ctx.endpoint.url);
    json!({
        "id": number_of(&format!("{OWNER}/{project}")),
        "name": project.as_str(),
        "full_name": format!("{OWNER}/{project}"),
        "owner": {"login": OWNER, "name": OWNER, "id": number_of(OWNER), "type": "Organization"},
        "default_branch": default_branch,
        "master_branch": default_branch,
        "clone_url": format!("{}/{project}.git", ctx.endpoint.url),
        "git_url": format!("{}/{project}.git", ctx.endpoint.url),
        "html_url": pages,
        "url": format!("{}/api/v1/projects/{project}", ctx.endpoint.url),
        "private": true,
        "visibility": "private",
        "fork": false,
        "archived": false,
        "disabled": false,
        "topics": [],
    })
}

/// A commit, as in `head_commit`.
pub(crate) fn commit_json(ctx: &Context, project: &ProjectName, commit: &Commit) -> Value {
    let who = |name: &str, email: &str| json!({"name": name, "email": email});
    json!({
        "id": commit.sha.as_str(),
        "tree_id": commit.tree.as_str(),
        "distinct": true,
        "message": message(commit),
        "timestamp": commit.committed_at.to_string(),
        "url": format!("{}/projects/{project}/commits/{}", ctx.endpoint.url, commit.sha.as_str()),
        "author": who(&commit.author, &commit.author_email),
        "committer": who(&commit.committer, &commit.committer_email),
    })
}

/// A commit's whole message.
pub(crate) fn message(commit: &Commit) -> String {
    if commit.body.is_empty() {
        commit.subject.clone()
    } else {
        format!("{}\n\n{}", commit.subject, commit.body)
    }
}

/// The kind of a ref and its short name.
pub(crate) fn short_ref(name: &str) -> (&'static str, &str) {
    match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(branch), _) => ("branch", branch),
        (_, Some(tag)) => ("tag", tag),
        // The merge of a change goes by its number, as on GitHub.
        _ => ("branch", name.strip_prefix("refs/pull/").unwrap_or(name)),
    }
}

/// The `github` context, but for what only the runner knows.
pub(crate) fn github(
    ctx: &Context,
    project: &ProjectName,
    file: &WorkflowFile,
    cause: &Cause<'_>,
    id: RunId,
    number: u64,
) -> Value {
    let name = cause.git_ref;
    let (kind, short) = short_ref(name);
    let workflow = file.workflow().map_or_else(|| file.path.clone(), |w| w.display_name().to_owned());
    let repository = format!("{OWNER}/{project}");
    let actor = login(cause.actor);
    json!({
        "event_name": cause.event,
        "event": cause.payload,
        "ref": name,
        "ref_name": short,
        "ref_type": kind,
        "sha": cause.sha,
        "base_ref": cause.base_ref,
        "head_ref": cause.head_ref,
        "actor": actor,
        "actor_id": number_of(&actor).to_string(),
        "triggering_actor": actor,
        "repository": repository,
        "repository_id": number_of(&repository).to_string(),
        "repository_owner": OWNER,
        "repository_owner_id": number_of(OWNER).to_string(),
        "repositoryUrl": format!("{}/{project}.git", ctx.endpoint.url),
        "server_url": ctx.endpoint.url,
        "api_url": format!("{}/api/v3", ctx.endpoint.url),
        "graphql_url": format!("{}/api/graphql", ctx.endpoint.url),
        "run_id": id.to_string(),
        "run_number": number.to_string(),
        "run_attempt": "1",
        "retention_days": "90",
        "secret_source": "Actions",
        "workflow": workflow,
        "workflow_ref": format!("{repository}/{}@{name}", file.path),
        "workflow_sha": cause.sha,
    })
}

/// The branch that a run is of: a change's own, not what it is proposed for.
pub(crate) fn head_branch(run: &Run) -> &str {
    match run.github["head_ref"].as_str().filter(|_| run.event == "pull_request") {
        Some(head) if !head.is_empty() => head,
        _ => short_ref(&run.git_ref).1,
    }
}

/// `workflow_run`: another workflow's run, as it stood when `action` happened to it.
pub(crate) fn run_json(ctx: &Context, run: &Run, action: &str) -> Value {
    let branch = head_branch(run);
    let url = format!("{}/runs/{}", ctx.endpoint.url, run.id);
    let status = match action {
        "completed" => "completed",
        "in_progress" => "in_progress",
        _ => "queued",
    };
    let conclusion = run.conclusion().filter(|_| action == "completed").map(Conclusion::as_str);
    let time = |at: Timestamp| at.to_string();
    json!({
        "id": run.id.to_string(),
        "name": run.workflow.name,
        "display_title": run.title,
        "head_branch": branch,
        "head_sha": match run.event.as_str() {
            "pull_request" => run.github["event"]["pull_request"]["head"]["sha"].clone(),
            _ => json!(run.sha),
        },
        "head_commit": run.github["event"]["head_commit"],
        "path": run.workflow.file,
        "run_number": run.number,
        "run_attempt": run.attempt,
        "event": run.event,
        "status": status,
        "conclusion": conclusion,
        "workflow_id": number_of(&format!("{}/{}", run.project, run.workflow.file)),
        "html_url": url,
        "url": format!("{}/api/v1/runs/{}", ctx.endpoint.url, run.id),
        "pull_requests": [],
        "created_at": time(run.created_at),
        "run_started_at": time(run.attempt_at.unwrap_or(run.created_at)),
        "updated_at": time(run.finished_at().unwrap_or_else(|| ctx.now())),
        "actor": person(&run.actor),
        "triggering_actor": person(&run.actor),
        "head_repository": match run.event.as_str() {
            "pull_request" => run.github["event"]["pull_request"]["head"]["repo"].clone(),
            _ => run.github["event"]["repository"].clone(),
        },
        "repository": run.github["event"]["repository"],
    })
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn names_have_numbers_of_their_own() {
        assert_eq!(number_of("windlass/shop"), number_of("windlass/shop"));
        assert_ne!(number_of("windlass/shop"), number_of("windlass/shoq"));
        assert!((1..1 << 31).contains(&number_of("")));
    }
}
