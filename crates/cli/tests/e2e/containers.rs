//! Jobs in containers of images that this very server has: no Docker, and no login but the job's own. What a person keeps on
//! the same machine is that person's.

use windlass_api::Conclusion;

use crate::platform::{Options, Platform, Repository, job, program, told};

const WORKFLOW: &str = r#"
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: |
          mkdir bin
          for name in sh cat wget httpd test; do cp "$(command -v busybox)" bin/$name; done
      - uses: windlass/build@v1
        with: { base: scratch, files: "bin:/bin", tags: latest }
  use:
    needs: build
    runs-on: ubuntu-latest
    container: HOST/crate-box:latest
    services:
      web: { image: "HOST/crate-box:latest", ports: [8080], command: httpd -f -p 8080 -h /bin }
    steps:
      - run: wget -q -O got http://web:8080/cat && test -s got && test ! -e /usr
"#;

const OTHER: &str = "on: push\njobs:\n  use:\n    runs-on: ubuntu-latest\n    container: HOST/crate-box:latest\n    steps:\n      - run: exit 0\n";

#[test]
fn a_jobs_container_comes_from_this_servers_registry_for_its_own_project_only() {
    const NAME: &str = "containers: this server's registry";
    if program("busybox").is_none() {
        return windlass_testkit::skip(NAME, "there is no busybox to make an image of");
    }
    let Some(platform) = Platform::start(NAME) else { return };
    let status: windlass_api::Status = platform.get("/api/v1/status");
    if status.sandbox.starts_with("process") {
        return windlass_testkit::skip(NAME, "this machine gives no sandbox with namespaces");
    }
    let here = |text: &str| text.replace("HOST", platform.address());
    let repository = Repository::new(&platform, "crate-box");
    repository.write(".github/workflows/use.yml", here(WORKFLOW));
    let sha = repository.ship(&platform, "An image, and a job in it");
    platform.concludes("crate-box", &sha, Conclusion::Success);
    // What the runner keeps of it is not another project's.
    let other = Repository::new(&platform, "other");
    other.write(".github/workflows/use.yml", here(OTHER));
    let sha = other.ship(&platform, "A job in an image of somebody else");
    let run = platform.concludes("other", &sha, Conclusion::Failure);
    let reason = job(&run, "use").reason.clone().unwrap_or_default();
    assert!(reason.contains("it wants a login, or this one may not pull"), "{reason}");
}

/// An image that the person who runs the platform has built, and named like one of a registry where nobody is.
const OWN: &str = "127.0.0.1:1/own:1";

#[test]
fn what_a_person_built_is_that_persons_and_no_jobs() {
    const NAME: &str = "containers: a person's own images";
    let store = tempfile::tempdir().unwrap();
    let env = vec![("WINDLASS_BUILD_STORE".to_owned(), store.path().display().to_string())];
    let Some(platform) = Platform::start_with(NAME, Options { env, ..Options::default() }) else { return };
    let context = platform.folder().join("own");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let id = platform.ok(&["build", "--quiet", "-t", OWN, "own"]);
    // The server has none of that name: the person is told of the own one, unless it is the server that was asked.
    let told_of = platform.ok(&["image", "inspect", OWN]);
    assert!(told_of.starts_with(&format!("{OWN}, image of this machine, {id}")), "{told_of}");
    let asked = platform.run(&["image", "inspect", OWN, "--url", &platform.url]);
    assert_eq!(asked.status.code(), Some(3), "{}", told(&asked));

    let status: windlass_api::Status = platform.get("/api/v1/status");
    if status.sandbox.starts_with("process") {
        return windlass_testkit::skip(NAME, "this machine gives no sandbox with namespaces");
    }
    let repository = Repository::new(&platform, "curious");
    repository.write(".github/workflows/use.yml", OTHER.replace("HOST/crate-box:latest", OWN));
    let sha = repository.ship(&platform, "A job that guesses a name");
    let run = platform.concludes("curious", &sha, Conclusion::Failure);
    let reason = job(&run, "use").reason.clone().unwrap_or_default();
    assert!(reason.contains("127.0.0.1:1 cannot be reached"), "{reason}");
}
