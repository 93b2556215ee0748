//! Changes: pushed to `refs/for/BRANCH` by somebody who may not write, merged without a work tree.

use windlass_kernel::Actor;
use windlass_source::{ChangeRecord, HttpLimits, Merge, Origin, Repository, Sha, spool};

use crate::world::{Copy, World, hook_program};

/// A project with one commit on `main`, its repository, and a clone of somebody who may only propose.
async fn shop(world: &World) -> (Repository, Copy) {
    let copy = world.copy("copy").await;
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main", "main:release/1"]).await;
    let repository = world.repositories.get(&"shop".parse().unwrap()).unwrap();
    copy.ok(&["clone", "-q", &world.url("eve", "shop"), "../eve"]).await;
    (repository, Copy { path: world.dir.path().join("eve") })
}

async fn tip(repository: &Repository, name: &str) -> Option<Sha> {
    repository.resolve(name).await.unwrap()
}

fn eve() -> Actor {
    Actor::User("eve".parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_for_a_branch_makes_a_change_and_moves_no_branch() {
    let world = World::new().await;
    let (repository, eves) = shop(&world).await;
    let before = tip(&repository, "main").await;
    let first = eves.commit("a.txt", "a\n", "Add a").await;
    let said = eves.ok(&["push", "origin", "HEAD:refs/for/main"]).await;
    assert!(said.contains("remote:   It is the change 1 for main:"), "{said}");
    assert!(said.contains("once somebody who may write has approved them"), "{said}");
    assert!(said.contains("refs/changes/1/head"), "{said}");
    let record = repository.change(1).unwrap().unwrap();
    let wanted = ChangeRecord {
        number: 1,
        base: "main".into(),
        author: eve(),
        origin: Origin::Topic(String::new()),
        outside: true,
        open: true,
    };
    assert_eq!(record, wanted);
    assert_eq!(tip(&repository, "refs/changes/1/head").await, Some(first.clone()));
    assert_eq!(tip(&repository, "main").await, before);
    assert_eq!(tip(&repository, "refs/for/main").await, None);
    let head = "refs/changes/1/head".parse().unwrap();
    assert_eq!(repository.pusher_of(&head, &first).await.as_deref(), Some("user:eve"));
    let told = spool::drain(&spool::folder(&world.data())).unwrap();
    let moved = &told.last().unwrap().received.refs[0];
    assert_eq!(
        (moved.name.as_str(), &moved.old, &moved.new),
        ("refs/changes/1/head", &None, &Some(first.clone()))
    );

    // More of the same, and then something else in its place: still the same change.
    let second = eves.commit("a.txt", "aa\n", "More of a").await;
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/main"]).await;
    assert_eq!(tip(&repository, "refs/changes/1/head").await, Some(second.clone()));
    eves.ok(&["reset", "-q", "--hard", "HEAD~2"]).await;
    let third = eves.commit("b.txt", "b\n", "Another way").await;
    let said = eves.ok(&["push", "origin", "HEAD:refs/for/main"]).await;
    assert!(said.contains("forced update"), "{said}");
    assert_eq!(tip(&repository, "refs/changes/1/head").await, Some(third));
    let told = spool::drain(&spool::folder(&world.data())).unwrap();
    assert_eq!(told.last().unwrap().received.refs[0].old, Some(second));

    // A topic, and another branch, are changes of their own.
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/main/fix/b"]).await;
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/release/1"]).await;
    assert_eq!(repository.change(2).unwrap().unwrap().head_name(), "eve/fix/b");
    assert_eq!(repository.change(3).unwrap().unwrap().base, "release/1");
    assert_eq!(repository.change(4).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_propose_moves_no_branch_no_tag_and_no_other_ref() {
    let world = World::new().await;
    let (repository, eves) = shop(&world).await;
    let before = repository.ref_map().await.unwrap();
    eves.commit("a.txt", "a\n", "Add a").await;
    for (what, why) in [
        ("HEAD:main", "you may propose changes here, not push to main"),
        ("HEAD:refs/heads/eve", "not push to eve"),
        ("HEAD:refs/tags/v1", "not push to v1"),
        (":main", "not push to main"),
        ("HEAD:refs/changes/1/head", "deny updating a hidden ref"),
        ("HEAD:refs/pull/1/merge", "deny updating a hidden ref"),
        ("HEAD:refs/notes/commits", "neither a branch nor a tag"),
        ("HEAD:refs/for/nowhere", "there is no branch nowhere to propose it for"),
        ("HEAD:refs/for/main/$(id)", "cannot be a topic"),
        ("HEAD~1:refs/for/main", "main has all of this already"),
        ("HEAD^{tree}:refs/for/main", "must be a commit"),
        (":refs/for/main", ""),
    ] {
        let said = eves.fails(&["push", "origin", what]).await;
        assert!(said.contains(why), "{what}: {said}");
    }
    // One that would be fine does not carry another one through.
    eves.fails(&["push", "--atomic", "origin", "HEAD:refs/for/main", "HEAD:main"]).await;
    eves.fails(&["push", "origin", "HEAD:refs/for/main", "HEAD:main"]).await;
    assert_eq!(repository.ref_map().await.unwrap(), before);
    assert_eq!(repository.change(1).unwrap(), None);
    let viewer = eves.fails(&["push", &world.url("vera", "shop"), "HEAD:refs/for/main"]).await;
    assert!(viewer.contains("that needs the role"), "{viewer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_may_be_smaller_only() {
    let limits = HttpLimits { proposed_bytes: 64 << 10, ..HttpLimits::default() };
    let world = World::with(limits, &hook_program()).await;
    let (_, eves) = shop(&world).await;
    let mut noise = vec![0u8; 512 << 10];
    windlass_kernel::Entropy::fill(&windlass_kernel::OsEntropy, &mut noise);
    eves.write("noise", noise);
    eves.commit_all("Too much").await;
    let said = eves.fails(&["push", "origin", "HEAD:refs/for/main"]).await;
    assert!(said.contains("exceeds maximum allowed size"), "{said}");
    eves.ok(&["push", "-q", &world.url("ada", "shop"), "HEAD:main"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_or_closed_is_over() {
    let world = World::new().await;
    let (repository, eves) = shop(&world).await;
    eves.commit("a.txt", "a\n", "Add a").await;
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/main"]).await;
    eves.ok(&["push", "-q", &world.url("ada", "shop"), "HEAD:main"]).await;
    eves.commit("b.txt", "b\n", "Add b").await;
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/main"]).await;
    assert!(repository.change(2).unwrap().is_some(), "the first was merged");
    repository.close_change(2).unwrap();
    let last = eves.commit("c.txt", "c\n", "Add c").await;
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/main"]).await;
    assert_eq!(tip(&repository, "refs/changes/3/head").await, Some(last));
    // A member's is another's, and not from outside.
    eves.ok(&["push", "-q", &world.url("ada", "shop"), "HEAD:refs/for/main"]).await;
    assert!(!repository.change(4).unwrap().unwrap().outside);
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_are_made_without_a_work_tree_and_the_same_each_time() {
    let world = World::new().await;
    let (repository, eves) = shop(&world).await;
    let head = eves.commit("a.txt", "a\n", "Add a").await;
    eves.ok(&["push", "-q", "origin", "HEAD:refs/for/main"]).await;
    let adas = Copy { path: world.dir.path().join("copy") };
    let base = adas.commit("b.txt", "b\n", "Add b").await;
    adas.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    let Merge::Clean(tree) = repository.merge(&base, &head).await.unwrap() else { panic!("no merge") };
    let commit = repository.commit(&head).await.unwrap().unwrap();
    let merge = repository.commit_merge(&tree, &base, &commit).await.unwrap();
    assert_eq!(repository.commit_merge(&tree, &base, &commit).await.unwrap(), merge);
    let made = repository.commit(&merge).await.unwrap().unwrap();
    assert_eq!(made.parents, [base.clone(), head.clone()]);
    assert_eq!(made.subject, format!("Merge {head} into {base}"));
    repository.set_ref(&"refs/pull/1/merge".parse().unwrap(), &merge).await.unwrap();
    eves.ok(&["fetch", "-q", "origin", "refs/pull/1/merge"]).await;
    assert_eq!(eves.ok(&["ls-tree", "--name-only", "FETCH_HEAD"]).await, "README.md\na.txt\nb.txt");

    let other = adas.commit("a.txt", "another\n", "Add another a").await;
    adas.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    assert_eq!(repository.merge(&other, &head).await.unwrap(), Merge::Conflicts(vec!["a.txt".into()]));
    eves.commit("c.txt", "c\n", "Add c").await;
    let said = eves.ok(&["push", "origin", "HEAD:refs/for/main"]).await;
    assert!(said.contains("It conflicts with main in a.txt"), "{said}");
}
