use windlass_source::{DiffLimits, EntryKind, FileStatus, LogQuery, RefName, RepoPath, Repository, Sha};

use crate::world::{Copy, World};

async fn pushed(world: &World, copy: &Copy) -> Repository {
    copy.ok(&["push", "-q", "--all", &world.url("ada", "shop")]).await;
    copy.ok(&["push", "-q", "--tags", &world.url("ada", "shop")]).await;
    world.repositories.get(&"shop".parse().unwrap()).unwrap()
}

fn path(text: &str) -> RepoPath {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_and_commits() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let first: Sha = copy.ok(&["rev-parse", "HEAD"]).await.parse().unwrap();
    let second = copy.commit("src/a.rs", "fn a() {}\n", "Add a\n\nBecause: ü \"quoted\"\nline two").await;
    copy.ok(&["tag", "-a", "v1", "-m", "Version one"]).await;
    copy.ok(&["branch", "feature/x", first.as_str()]).await;
    let third = copy.commit("b.txt", "b\n", "Third").await;
    let repository = pushed(&world, &copy).await;

    let refs = repository.refs(100).await.unwrap();
    let find = |name: &str| refs.iter().find(|r| r.name.as_str() == name).unwrap();
    assert_eq!(refs.len(), 3);
    assert_eq!(find("refs/heads/main").commit, third);
    assert_eq!(find("refs/tags/v1").commit, second, "an annotated tag leads to its commit");
    assert_ne!(find("refs/tags/v1").object, second);
    assert_eq!(find("refs/heads/feature/x").subject, "First commit");
    assert_eq!(repository.refs(1).await.unwrap().len(), 1);

    for (text, expected) in [
        ("main", Some(&third)),
        ("v1", Some(&second)),
        ("feature/x", Some(&first)),
        ("refs/heads/main", Some(&third)),
        ("HEAD", Some(&third)),
        (second.as_str(), Some(&second)),
        ("nothing", None),
        ("--all", None),
        ("main^", None),
        ("main:b.txt", None),
        (&"d".repeat(40), None),
    ] {
        assert_eq!(repository.resolve(text).await.unwrap().as_ref(), expected, "{text}");
    }

    let log = repository.log(&LogQuery::new(third.clone(), 10)).await.unwrap();
    assert_eq!(log.iter().map(|c| &c.sha).collect::<Vec<_>>(), [&third, &second, &first]);
    assert_eq!((log[1].subject.as_str(), log[1].body.as_str()), ("Add a", "Because: ü \"quoted\"\nline two"));
    assert_eq!(log[1].parents, std::slice::from_ref(&first));
    assert_eq!((log[1].author.as_str(), log[1].committed_at.as_millis()), ("Ada", 1_700_000_000_000));
    let range = LogQuery { not: Some(first.clone()), ..LogQuery::new(third.clone(), 10) };
    assert_eq!(repository.log(&range).await.unwrap().len(), 2);
    let of_file = LogQuery { path: Some(path("src")), ..LogQuery::new(third.clone(), 10) };
    assert_eq!(repository.log(&of_file).await.unwrap()[0].sha, second);
    let page = LogQuery { skip: 2, ..LogQuery::new(third.clone(), 10) };
    assert_eq!(repository.log(&page).await.unwrap()[0].sha, first);

    assert_eq!(repository.commit(&second).await.unwrap().unwrap().sha, second);
    assert!(repository.commit(&"d".repeat(40).parse().unwrap()).await.unwrap().is_none());
    assert_eq!(repository.merge_base(&first, &third).await.unwrap(), Some(first.clone()));
    assert!(repository.is_ancestor(&first, &third).await.unwrap());
    assert!(!repository.is_ancestor(&third, &first).await.unwrap());
    assert!(repository.pusher_of(&RefName::branch("main").unwrap(), &third).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_and_files() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    copy.write(".github/workflows/ci.yml", "on: push\n");
    copy.write(".github/workflows/nightly.yaml", "on: schedule\n");
    copy.write(".github/workflows/notes.txt", "no workflow\n");
    copy.write("--option", "odd name\n");
    copy.write("binary", [0, 159, 146, 150]);
    copy.write("big.txt", "x".repeat(100_000));
    copy.write("ünicode \"quoted\".txt", "u\n");
    std::os::unix::fs::symlink("/etc/passwd", copy.path.join("link")).unwrap();
    let head = copy.commit_all("files").await;
    let repository = pushed(&world, &copy).await;

    let root = repository.tree(&head, &RepoPath::root()).await.unwrap().unwrap();
    assert_eq!((root[0].name.as_str(), root[0].kind), (".github", EntryKind::Folder));
    assert!(root.iter().any(|e| e.name == "link" && e.kind == EntryKind::Link));
    assert!(root.iter().any(|e| e.name == "big.txt" && e.size == Some(100_000)));
    assert!(root.iter().any(|e| e.name == "ünicode \"quoted\".txt"));
    let inner = repository.tree(&head, &path(".github/workflows")).await.unwrap().unwrap();
    assert_eq!(inner[0].path, ".github/workflows/ci.yml");
    assert!(repository.tree(&head, &path("nothing")).await.unwrap().is_none());
    assert!(repository.tree(&head, &path("README.md")).await.unwrap().is_none());

    let text = |p: &str| {
        let (repository, head, p) = (&repository, &head, path(p));
        async move { repository.blob(head, &p, 1 << 20).await.unwrap() }
    };
    assert_eq!(text("README.md").await.unwrap().text(), Some("hello\n"));
    assert_eq!(text("--option").await.unwrap().text(), Some("odd name\n"));
    assert_eq!(text("ünicode \"quoted\".txt").await.unwrap().text(), Some("u\n"));
    assert_eq!(
        text("link").await.unwrap().text(),
        Some("/etc/passwd"),
        "a link is its target's name, never followed"
    );
    assert_eq!(text("binary").await.unwrap().text(), None);
    assert!(text("nothing").await.is_none() && text(".github").await.is_none() && text("").await.is_none());
    let cut = repository.blob(&head, &path("big.txt"), 10).await.unwrap().unwrap();
    assert_eq!((cut.bytes.len(), cut.size, cut.truncated(), cut.text()), (10, 100_000, true, None));

    let workflows =
        repository.files_in(&head, &path(".github/workflows"), &[".yml", ".yaml"], 1 << 20).await.unwrap();
    let found: Vec<_> = workflows.iter().map(|(p, b)| (p.as_str(), b.text().unwrap())).collect();
    assert_eq!(
        found,
        [(".github/workflows/ci.yml", "on: push\n"), (".github/workflows/nightly.yaml", "on: schedule\n")]
    );
    assert!(repository.files_in(&head, &path("nothing"), &[".yml"], 10).await.unwrap().is_empty());
    let several = [path("big.txt"), path("nothing"), path("README.md")];
    let blobs = repository.blobs(&head, &several, 6).await.unwrap();
    assert_eq!(blobs[2].as_ref().unwrap().text(), Some("hello\n"), "what is behind a cut file is read right");
    assert!(blobs[1].is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_diffs() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    copy.write("edited.txt", "one\ntwo\nthree\n");
    copy.write("moved.txt", "a\nb\nc\nd\ne\nf\n");
    copy.write("gone.txt", "gone\n");
    copy.write("kind", "a file\n");
    let before = copy.commit_all("before").await;
    copy.write("edited.txt", "one\n2\nthree\n");
    std::fs::rename(copy.path.join("moved.txt"), copy.path.join("mo ved \"ü\".txt")).unwrap();
    std::fs::remove_file(copy.path.join("gone.txt")).unwrap();
    std::fs::remove_file(copy.path.join("kind")).unwrap();
    std::os::unix::fs::symlink("edited.txt", copy.path.join("kind")).unwrap();
    copy.write("new.bin", [0u8; 64]);
    copy.write("zz.txt", "last\n");
    let after = copy.commit_all("after").await;
    let repository = pushed(&world, &copy).await;

    let changed = repository.changed_files(Some(&before), &after, 100).await.unwrap();
    assert_eq!(
        changed.paths,
        ["edited.txt", "gone.txt", "kind", "mo ved \"ü\".txt", "moved.txt", "new.bin", "zz.txt"]
    );
    assert!(!changed.truncated);
    let few = repository.changed_files(Some(&before), &after, 2).await.unwrap();
    assert_eq!((few.paths.len(), few.truncated), (2, true));
    let first = repository.changed_files(None, &before, 100).await.unwrap();
    assert!(first.paths.contains(&"README.md".to_owned()), "a first push is compared with nothing");

    let diff = repository.diff(Some(&before), &after, DiffLimits::default()).await.unwrap();
    assert!(!diff.truncated);
    let file = |p: &str| diff.files.iter().find(|f| f.path == p).unwrap_or_else(|| panic!("no {p}"));
    assert_eq!((file("edited.txt").added, file("edited.txt").removed), (1, 1));
    let moved = file("mo ved \"ü\".txt");
    assert_eq!((moved.old_path.as_deref(), moved.status), (Some("moved.txt"), FileStatus::Renamed));
    assert!(moved.hunks.is_empty());
    assert_eq!(file("gone.txt").status, FileStatus::Deleted);
    assert!(file("new.bin").binary);
    assert_eq!(file("kind").hunks.len(), 2, "a file that became a link goes and comes");
    assert_eq!(file("zz.txt").hunks[0].lines[0].text, "last", "what comes after it still matches");

    let small = DiffLimits { bytes: 200, files: 3, ..DiffLimits::default() };
    let cut = repository.diff(Some(&before), &after, small).await.unwrap();
    assert!(cut.truncated && cut.files.len() == 3);
    let root = repository.diff(None, &before, DiffLimits::default()).await.unwrap();
    assert!(root.files.iter().all(|f| f.status == FileStatus::Added));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_change_is_cut_not_swallowed() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let before: Sha = copy.ok(&["rev-parse", "HEAD"]).await.parse().unwrap();
    for n in 0..400 {
        copy.write(&format!("many/{n:04}.txt"), "line\n");
    }
    copy.write("huge.txt", "a line of a huge file\n".repeat(500_000));
    let after = copy.commit_all("huge").await;
    let repository = pushed(&world, &copy).await;
    let diff = repository.diff(Some(&before), &after, DiffLimits::default()).await.unwrap();
    assert!(diff.truncated);
    assert_eq!(diff.files.len(), 300);
    assert_eq!(diff.files[0].added, 500_000, "the numbers are right even where the text is cut");
    assert!(diff.files[0].hunks[0].lines.len() <= 3000);
    assert_eq!(repository.changed_files(Some(&before), &after, 1000).await.unwrap().paths.len(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_reads_the_same_alone_and_in_the_log() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let messages = [
        "One line",
        "Subject\non two lines\n\nBody\n\nand more\n",
        "\n\n  Indented after empty lines  \n\n\n\nBody behind three\n\ttab  \n",
        "Trailing spaces   \n   \nBody   \n\n",
    ];
    for (n, message) in messages.iter().enumerate() {
        copy.write("n.txt", n.to_string());
        copy.ok(&["add", "-A"]).await;
        copy.ok(&["commit", "-q", "--cleanup=verbatim", "--allow-empty-message", "-m", message]).await;
    }
    copy.write("n.txt", "latin");
    copy.ok(&["add", "-A"]).await;
    copy.ok(&["-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "-m", "Encoded"]).await;
    copy.ok(&["commit", "-q", "--allow-empty", "--allow-empty-message", "-m", ""]).await;
    let repository = pushed(&world, &copy).await;
    let tip = repository.resolve("main").await.unwrap().unwrap();
    let log = repository.log(&LogQuery::new(tip, 10)).await.unwrap();
    assert_eq!(log.len(), 7);
    for commit in log {
        assert_eq!(repository.commit(&commit.sha).await.unwrap().as_ref(), Some(&commit));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_later_is_seen_by_a_reader_that_stayed_open() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let repository = pushed(&world, &copy).await;
    let before = repository.resolve("main").await.unwrap();
    for n in 0..3 {
        let next = copy.commit("n.txt", &n.to_string(), &format!("Number {n}")).await;
        assert_eq!(repository.commit(&next).await.unwrap(), None, "not pushed yet");
        pushed(&world, &copy).await;
        assert_eq!(repository.resolve("main").await.unwrap(), Some(next.clone()));
        assert_eq!(repository.commit(&next).await.unwrap().unwrap().subject, format!("Number {n}"));
        let files = repository.files_in(&next, &RepoPath::root(), &[".txt"], 100).await.unwrap();
        assert!(
            files
                .iter()
                .any(|(path, blob)| path.as_str() == "n.txt" && blob.bytes == n.to_string().as_bytes())
        );
    }
    assert_ne!(repository.resolve("main").await.unwrap(), before);
}
