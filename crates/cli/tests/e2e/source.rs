//! Source: a project is made by its first push, what was pushed can be read, and who may not push is told so.

use windlass_api::{CommitDetail, CommitView, EventView, FileView, ProjectView, RefView};

use crate::platform::{Platform, Repository, request, told};

#[test]
fn a_first_push_makes_the_project_and_what_was_pushed_can_be_read_and_cloned() {
    let Some(platform) = Platform::start("source: first push") else { return };
    let repository = Repository::new(&platform, "library");
    repository.write("docs/größe.md", "# Größe\n").write("README.md", "one\n");
    let first = repository.commit("First: ÄÖÜ");
    repository.write("README.md", "one\ntwo\n");
    let second = repository.ship(&platform, "Second");
    repository.git(&["tag", "v1"]);
    repository.git(&["branch", "feature/x"]);
    repository.push_ref(&platform, "v1");
    repository.push_ref(&platform, "feature/x");

    let project: ProjectView = platform.get("/api/v1/projects/library");
    assert_eq!((project.default_branch.as_str(), project.name.as_str()), ("main", "library"));
    let refs: Vec<RefView> = platform.get("/api/v1/projects/library/refs");
    let named: Vec<_> = refs.iter().map(|r| (r.name.as_str(), r.tag)).collect();
    for wanted in [("main", false), ("feature/x", false), ("v1", true)] {
        assert!(named.contains(&wanted), "{wanted:?} is not in {named:?}");
    }
    let commits: Vec<CommitView> = platform.get("/api/v1/projects/library/commits?ref=main");
    assert_eq!(commits.iter().map(|c| c.sha.as_str()).collect::<Vec<_>>(), [&second, &first]);
    let detail: CommitDetail = platform.get(&format!("/api/v1/projects/library/commits/{second}"));
    assert_eq!((detail.files.len(), detail.files[0].added), (1, 1), "{:?}", detail.files);
    let path = "/api/v1/projects/library/files?ref=main&path=docs%2Fgr%C3%B6%C3%9Fe.md";
    let file: FileView = platform.get(path);
    assert_eq!(file.text.as_deref(), Some("# Größe\n"));

    // The ordinary clone, with the credential that `windlass project remote` sets up.
    let there = Repository::new(&platform, "elsewhere");
    platform.command(&["project", "remote", "library"]).current_dir(&there.folder).status().unwrap();
    there.git(&["fetch", "--quiet", "windlass"]);
    assert_eq!(there.git(&["rev-parse", "windlass/main"]).trim(), second);
    updates(&platform, &[("refs/heads/main", 1), ("refs/tags/v1", 1), ("refs/heads/feature/x", 1)]);
}

#[track_caller]
fn updates(platform: &Platform, wanted: &[(&str, usize)]) {
    let ledger: Vec<EventView> = platform.assert_ledger_whole();
    for (name, times) in wanted {
        let seen = ledger.iter().filter(|e| e.kind == "ref.updated" && e.subject == *name).count();
        assert_eq!(seen, *times, "{name} was updated {times} times by pushes");
    }
}

#[test]
fn who_may_not_push_is_told_so_and_nothing_is_kept() {
    let Some(platform) = Platform::start("source: refusals") else { return };
    let repository = Repository::new(&platform, "library");
    repository.write("README.md", "one\n");
    repository.commit("First");
    let viewer = platform.account("vera", "viewer");
    // Whom git is not known to, it asks for a name: that is how a 401 looks.
    for (user, token, said) in
        [("vera", viewer.as_str(), "403"), ("admin", "wrong", "could not read Username")]
    {
        let output = repository.try_push(&platform, user, token, "main");
        let text = told(&output);
        assert!(!output.status.success(), "{user} could push");
        assert!(text.contains(said), "{user} was told: {text}");
        assert!(!text.contains(token), "the credential was told: {text}");
    }
    assert!(platform.try_get::<ProjectView>("/api/v1/projects/library").is_err());
    // Without a credential nothing can be read, and the gateway is no way in.
    let anonymous = repository.try_push(&platform, "", "", "main");
    assert!(!anonymous.status.success());
    let reply = request(&platform, "library.staging.localhost", "/library.git/info/refs").unwrap();
    assert_eq!(reply.status, 404, "{}", reply.body);
    repository.push(&platform);
    updates(&platform, &[("refs/heads/main", 1)]);
}
