use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use windlass_kernel::Actor;
use windlass_source::{HttpLimits, RefName, RefState, fold, reconcile, spool};

use crate::world::{World, hook_program};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_push_makes_the_project_and_is_told() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let said = copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    assert!(said.contains("remote:   Windlass has it: http://pages.test/projects/shop"), "{said}");
    assert_eq!(world.gate.projects.lock().unwrap()[0].as_str(), "shop");
    assert_eq!(world.gate.received.load(Ordering::SeqCst), 1, "told before the push ended");

    let entries = spool::drain(&spool::folder(&world.data())).unwrap();
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    let shop = "shop".parse().unwrap();
    let repository = world.repositories.get(&shop).unwrap();
    let actual = repository.ref_map().await.unwrap();
    let main = RefName::branch("main").unwrap();
    assert_eq!(entry.received.pusher, Actor::User("ada".parse().unwrap()));
    assert_eq!(entry.received.refs[0].new.as_ref(), actual.get(&main));
    assert_eq!(reconcile(&actual, &BTreeMap::new()), entry.received.refs);
    assert_eq!(repository.pusher_of(&main, &actual[&main]).await.as_deref(), Some("user:ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_can_be_cloned_and_fetched_shallow_and_whole() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let first = copy.ok(&["rev-parse", "HEAD"]).await;
    let second = copy.commit("a/b.txt", "content\n", "Second").await;
    copy.ok(&["tag", "-a", "v1", "-m", "one"]).await;
    copy.ok(&["push", "-q", "--follow-tags", &world.url("ada", "shop"), "main"]).await;

    copy.ok(&["clone", "-q", &world.url("vera", "shop"), "../clone"]).await;
    assert_eq!(std::fs::read_to_string(world.dir.path().join("clone/a/b.txt")).unwrap(), "content\n");
    copy.ok(&["clone", "-q", "--depth=1", &world.url("vera", "shop"), "../shallow"]).await;
    // As `actions/checkout` does: one commit, by its id.
    let bare = crate::world::Copy { path: world.dir.path().join("shallow") };
    bare.ok(&["fetch", "-q", "--depth=1", &world.url("vera", "shop"), &first]).await;
    bare.ok(&["checkout", "-q", &first]).await;
    assert!(!bare.path.join("a").exists());
    let clone = crate::world::Copy { path: world.dir.path().join("clone") };
    assert_eq!(clone.ok(&["rev-parse", "v1^{commit}"]).await, second.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_shown_by_git() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    let said = copy.fails(&["push", &world.url("vera", "shop"), "main"]).await;
    assert!(
        said.contains("remote: user:vera may not create a project: that needs the role member"),
        "{said}"
    );
    assert!(world.repositories.list().unwrap().is_empty());

    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    let said = copy.fails(&["push", &world.url("vera", "shop"), "main:other"]).await;
    assert!(said.contains("remote: user:vera may not push to this project"), "{said}");
    let said = copy.fails(&["fetch", &world.url("ada", "nothing")]).await;
    assert!(said.contains("there is no project nothing"), "{said}");
    let said = copy.fails(&["fetch", &world.url("mallory", "shop")]).await;
    assert!(said.contains("Authentication failed"), "{said}");
    let said = copy.fails(&["fetch", &format!("http://{}/shop.git", world.address)]).await;
    assert!(said.contains("could not read Username"), "{said}");
    let said = copy.fails(&["push", &world.url("ada", "Not_A_Name"), "main"]).await;
    assert!(said.contains("only lower-case letters"), "{said}");
    let said = copy.fails(&["push", &world.url("ada", "shop"), "main:refs/secret/x"]).await;
    assert!(said.contains("neither a branch nor a tag"), "{said}");
    assert_eq!(world.repositories.list().unwrap().len(), 1);
}

async fn raw(world: &World, request: String) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_addresses_reach_no_file_and_no_option() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    let login = "Authorization: Basic YWRhOnRva2Vu\r\nHost: x\r\nConnection: close\r\n";
    for (path, status) in [
        ("/shop.git/info/refs?service=git-upload-pack", "200"),
        ("/..%2fshop.git/info/refs?service=git-upload-pack", "404"),
        ("/--upload-pack=x.git/info/refs?service=git-upload-pack", "404"),
        ("/shop.git%00/info/refs?service=git-upload-pack", "404"),
        ("/.hooks.git/info/refs?service=git-upload-pack", "404"),
        ("/shop.git/info/refs?service=git-upload-archive", "403"),
        ("/shop.git/info/refs?service=git-upload-pack&x=--exec", "403"),
        ("/shop.git/info/refs", "403"),
        ("/shop.git/config", "404"),
        ("/shop.git/HEAD", "404"),
        ("/shop/info/refs?service=git-upload-pack", "404"),
    ] {
        let answer = raw(&world, format!("GET {path} HTTP/1.1\r\n{login}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let answer = raw(
        &world,
        "GET /shop.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            .into(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("www-authenticate: basic realm"), "{answer}");
    let post = format!(
        "POST /shop.git/git-upload-pack HTTP/1.1\r\n{login}Content-Length: 4\r\nContent-Type: text/plain\r\n\r\n0000"
    );
    assert!(raw(&world, post).await.starts_with("HTTP/1.1 415"));
    let post = format!(
        "POST /shop.git/git-receive-pack HTTP/1.1\r\n{login}Content-Length: 9\r\nContent-Type: application/x-git-receive-pack-request\r\n\r\nnonsense!"
    );
    let _ = raw(&world, post).await;
    assert_eq!(world.repositories.list().unwrap().len(), 1);
    let shop = world.repositories.get(&"shop".parse().unwrap()).unwrap();
    assert_eq!(shop.ref_map().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_hook_died_is_found_by_its_refs_once() {
    // A hook that lets everything in and dies before it can tell.
    let dir = tempfile::tempdir().unwrap();
    let dies = dir.path().join("dies");
    std::fs::write(&dies, "#!/bin/sh\n[ \"$2\" = pre-receive ] && exit 0\nkill -9 $$\n").unwrap();
    std::fs::set_permissions(&dies, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let world = World::with(HttpLimits::default(), &dies).await;
    let copy = world.copy("copy").await;
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    assert!(spool::drain(&spool::folder(&world.data())).unwrap().is_empty());

    let shop = "shop".parse().unwrap();
    let repository = world.repositories.get(&shop).unwrap();
    let mut state = RefState::new(&shop);
    let actual = repository.ref_map().await.unwrap();
    let found = fold(&mut state, &[], &actual);
    assert_eq!(found.len(), 1);
    let update = &found[0].update;
    let pusher = repository.pusher_of(&update.name, update.new.as_ref().unwrap()).await;
    assert_eq!(pusher.unwrap().parse::<Actor>().unwrap(), Actor::User("ada".parse().unwrap()));
    assert!(fold(&mut state, &[], &actual).is_empty(), "counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_outside_of_windlass_is_refused_by_the_hook() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    // Our hooks are found through the environment; with them and without the rest, nothing gets in.
    let path = world.data().join("repos/shop.git");
    let hooks = format!("core.hooksPath={}", world.data().join("repos/.hooks").display());
    let receive = format!("--receive-pack=git -c {hooks} receive-pack");
    let said = copy.fails(&["push", &receive, &path.to_string_lossy(), "main:other"]).await;
    assert!(said.contains("pushes go through Windlass"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_push_names_the_default_branch() {
    let world = World::new().await;
    let copy = world.copy("copy").await;
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main:trunk"]).await;
    let repository = world.repositories.get(&"shop".parse().unwrap()).unwrap();
    assert_eq!(repository.default_branch().await.unwrap().short(), "trunk");
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    assert_eq!(repository.default_branch().await.unwrap().short(), "trunk", "only the first push");
    repository.set_default_branch(&RefName::branch("main").unwrap()).await.unwrap();
    assert_eq!(repository.default_branch().await.unwrap().short(), "main");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_the_same_time_are_all_there() {
    let world = World::new().await;
    let mut copies = Vec::new();
    for n in 0..6 {
        let copy = world.copy(&format!("copy{n}")).await;
        copy.commit("n.txt", &n.to_string(), "mine").await;
        copies.push(copy);
    }
    let url = world.url("ada", "shop");
    let pushes = copies.iter().enumerate().map(|(n, copy)| {
        let (url, target) = (url.clone(), format!("main:branch-{n}"));
        async move { copy.ok(&["push", "-q", &url, &target]).await }
    });
    futures_util::future::join_all(pushes).await;

    let shop = "shop".parse().unwrap();
    let actual = world.repositories.get(&shop).unwrap().ref_map().await.unwrap();
    assert_eq!(actual.len(), 6);
    let entries = spool::drain(&spool::folder(&world.data())).unwrap();
    let received: Vec<_> = entries.into_iter().map(|e| e.received).collect();
    let pushed = fold(&mut RefState::new(&shop), &received, &actual);
    assert_eq!(pushed.len(), 6);
    assert!(pushed.iter().all(|p| p.pusher.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_push_streams_and_a_too_large_one_is_refused() {
    let limits = HttpLimits { push_bytes: 4 << 20, idle: Duration::from_secs(30), ..HttpLimits::default() };
    let world = World::with(limits, &hook_program()).await;
    let copy = world.copy("copy").await;
    // Does not compress: three megabytes fit, eight do not.
    let noise = |bytes: usize| -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..bytes / 8).flat_map(|_| next()).collect()
    };
    copy.write("noise", noise(3 << 20));
    copy.commit_all("fits").await;
    copy.ok(&["push", "-q", &world.url("ada", "shop"), "main"]).await;
    copy.write("more", noise(8 << 20).into_iter().rev().collect::<Vec<u8>>());
    copy.commit_all("does not").await;
    let said = copy.fails(&["push", &world.url("ada", "shop"), "main"]).await;
    assert!(said.contains("exceeds maximum"), "{said}");
    copy.ok(&["clone", "-q", &world.url("ada", "shop"), "../clone"]).await;
    assert_eq!(std::fs::metadata(world.dir.path().join("clone/noise")).unwrap().len(), 3 << 20);
}

#[tokio::test]
async fn repositories_are_made_once_listed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let config = windlass_source::RepositoriesConfig {
        data: dir.path().into(),
        program: Path::new("/bin/true").into(),
        pages: String::new(),
    };
    let all = windlass_source::Repositories::open(config.clone()).unwrap();
    let shop = "shop".parse().unwrap();
    assert!(all.get(&shop).is_err());
    let (a, b) = tokio::join!(all.get_or_create(&shop), all.get_or_create(&shop));
    assert!(a.is_ok() && b.is_ok());
    assert!(matches!(all.create(&shop).await, Err(windlass_source::SourceError::Exists(_))));
    assert_eq!(all.get(&shop).unwrap().default_branch().await.unwrap().short(), "main");
    assert!(all.get(&shop).unwrap().ref_map().await.unwrap().is_empty());
    std::fs::create_dir(dir.path().join("repos/.shop.0123.new")).unwrap();
    let again = windlass_source::Repositories::open(config).unwrap();
    assert!(!dir.path().join("repos/.shop.0123.new").exists(), "what was left over is swept");
    assert_eq!(again.list().unwrap().len(), 1);
    again.delete(&shop).await.unwrap();
    assert!(again.list().unwrap().is_empty());
    assert!(matches!(again.delete(&shop).await, Err(windlass_source::SourceError::NoRepository(_))));
}
