//! What others may write as they like: titles, branch names, messages.

/// Properties of the event; `*` stands for an item of a list.
const EVENT: &[&[&str]] = &[
    &["issue", "title"],
    &["issue", "body"],
    &["pull_request", "title"],
    &["pull_request", "body"],
    &["pull_request", "head", "ref"],
    &["pull_request", "head", "label"],
    &["pull_request", "head", "repo", "default_branch"],
    &["discussion", "title"],
    &["discussion", "body"],
    &["comment", "body"],
    &["review", "body"],
    &["review_comment", "body"],
    &["pages", "*", "page_name"],
    &["commits", "*", "message"],
    &["commits", "*", "author", "email"],
    &["commits", "*", "author", "name"],
    &["head_commit", "message"],
    &["head_commit", "author", "email"],
    &["head_commit", "author", "name"],
    &["workflow_run", "head_branch"],
    &["workflow_run", "head_commit", "message"],
    &["workflow_run", "display_title"],
];

/// Whether what a path from a context leads to is written by others. `*` in the path is any item.
pub(super) fn is_untrusted(path: &[String]) -> bool {
    match path {
        [context, property] => context == "github" && property == "head_ref",
        [context, event, rest @ ..] if context == "github" && event == "event" => {
            EVENT.iter().any(|wanted| fits(wanted, rest))
        }
        _ => false,
    }
}

fn fits(wanted: &[&str], path: &[String]) -> bool {
    wanted.len() == path.len()
        && wanted.iter().zip(path).all(|(wanted, found)| *wanted == "*" || found == "*" || wanted == found)
}

#[cfg(test)]
mod tests {
    use super::is_untrusted;

    #[test]
    fn paths() {
        for (path, wanted) in [
            ("github.head_ref", true),
            ("github.ref", false),
            ("github.event.issue.title", true),
            ("github.event.issue.number", false),
            ("github.event.commits.*.message", true),
            ("github.event.commits.0.author.name", true),
            ("github.event.commits", false),
            ("env.head_ref", false),
            ("github.event.pull_request.head.sha", false),
        ] {
            let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
            assert_eq!(is_untrusted(&parts), wanted, "{path}");
        }
    }
}
