//! Containers and services of local runs: on the sandbox, with no engine and no registry.

use std::process::Command;

use crate::fixture::{Repo, on_push};

/// A repository whose image `../box.tar` is an OCI layout of nothing but busybox; none where there is no busybox.
fn repo(test: &str, workflow: &str) -> Option<Repo> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').map(|folder| std::path::Path::new(folder).join("busybox"));
    let Some(busybox) = folders.find(|file| file.is_file()) else {
        windlass_testkit::skip(test, "there is no busybox to make an image of");
        return None;
    };
    let repo = Repo::with(workflow);
    let context = repo.root().with_file_name("box");
    std::fs::create_dir_all(context.join("bin")).unwrap();
    std::fs::create_dir_all(context.join("tmp")).unwrap();
    std::fs::copy(busybox, context.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "echo", "httpd", "wget", "sleep", "test", "touch"] {
        std::os::unix::fs::symlink("busybox", context.join("bin").join(name)).unwrap();
    }
    std::fs::write(context.join("mark"), "of the image\n").unwrap();
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY . /\nENV PATH=/bin\n").unwrap();
    build(&repo, &["-t", "box:1", "-o", "type=oci,dest=../box.tar", "."]);
    let probe = repo.run(&["--dry-run"]);
    if probe.code != Some(0) {
        return Some(repo);
    }
    let found = Command::new("unshare").args(["--user", "--mount", "--map-root-user", "true"]).output();
    if !nix::unistd::geteuid().is_root() && !found.is_ok_and(|done| done.status.success()) {
        windlass_testkit::skip(test, "this machine gives no sandbox with namespaces");
        return None;
    }
    Some(repo)
}

/// `windlass build` of `../box`, with the cache that the repository's runs have.
fn build(repo: &Repo, args: &[&str]) {
    let built = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args(["build", "--progress", "plain"])
        .args(args)
        .current_dir(repo.root().with_file_name("box"))
        .env("XDG_CACHE_HOME", repo.cache())
        .env_remove("WINDLASS_BUILD_STORE")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

#[test]
fn jobs_of_a_label_run_in_an_image_of_a_file() {
    let jobs = "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: |\n          cat /mark; test -e /usr && echo the machine; touch here\n      - run: echo \"$PWD $HOME\"; test -s /github/workflow/event.json && echo event\n";
    let Some(repo) = repo("jobs_of_a_label_run_in_an_image_of_a_file", &on_push(jobs)) else { return };
    let said = repo.run(&["-P", "ubuntu-latest=docker:oci:../box.tar"]).ended(0);
    said.says("of the image").says("/__w/shop/shop /github/home").says_not("│ the machine");
    // Again, with what was kept.
    repo.run(&["-P", "ubuntu-latest=docker:oci:../box.tar"]).ended(0).says("of the image");
    assert!(repo.cache().join("windlass/local/images").is_dir());
}

#[test]
fn plain_processes_have_services_and_containers_beside_them() {
    let jobs = r#"  a:
    runs-on: ubuntu-latest
    services:
      web:
        image: oci:../box.tar
        ports: [8080]
        command: httpd -f -p 8080 -h /
    steps:
      - run: |
          exec 3<> "/dev/tcp/127.0.0.1/${{ job.services.web.ports['8080'] }}"
          printf 'GET /mark HTTP/1.0\r\n\r\n' >&3
          cat <&3
        shell: bash
      - uses: docker://oci:../box.tar
        with: { entrypoint: sh, args: -c "wget -q -O - http://web:8080/mark; echo from the step" }
  b:
    runs-on: ubuntu-latest
    container: oci:../box.tar
    steps:
      - run: cat /mark
"#;
    let test = "plain_processes_have_services_and_containers_beside_them";
    let Some(repo) = repo(test, &on_push(jobs)) else { return };
    repo.here(&[]).ended(0).says("of the image").says("from the step");
}

#[test]
fn what_was_built_on_this_machine_goes_before_registries() {
    let jobs = r#"  a:
    runs-on: ubuntu-latest
    services:
      web:
        image: box:1
        ports: [8080]
        command: httpd -f -p 8080 -h /
    steps:
      - run: |
          exec 3<> "/dev/tcp/127.0.0.1/${{ job.services.web.ports['8080'] }}"
          printf 'GET /mark HTTP/1.0\r\n\r\n' >&3
          sed 's/^/served: /' <&3
        shell: bash
      - uses: docker://docker.io/library/box:1
        with: { entrypoint: sh, args: -c "cat /mark; echo from the step" }
  b:
    runs-on: ubuntu-latest
    container: box:1
    steps:
      - run: cat /mark; test ! -e /usr
  c:
    runs-on: boxed
    steps:
      - run: cat /mark; test ! -e /usr
"#;
    let test = "what_was_built_on_this_machine_goes_before_registries";
    let Some(repo) = repo(test, &on_push(jobs)) else { return };
    let said = repo.here(&["-P", "boxed=docker:box:1"]).ended(0);
    said.says("box:1 is an image of this machine: sha256:")
        .says("served: of the image")
        .says("│ from the step");
    // Once laid out for runs, it is not made again from what builds keep.
    for kept in ["steps", "layers", "packed"] {
        let _ = std::fs::remove_dir_all(repo.cache().join("windlass/build").join(kept));
    }
    repo.run(&["-j", "b"]).ended(0).says("of the image");
    // Another image of that name is another image.
    let context = repo.root().with_file_name("box");
    std::fs::write(context.join("mark"), "of another image\n").unwrap();
    build(&repo, &["-t", "box:1", "."]);
    repo.run(&["-j", "b"]).ended(0).says("of another image");
    // A name that nobody has here is asked of its registry.
    repo.write(
        ".github/workflows/ci.yml",
        &on_push(&jobs.replace("container: box:1", "container: 127.0.0.1:1/box:1")),
    );
    repo.run(&["-j", "b"]).ended(1).says("127.0.0.1:1 cannot be reached for 127.0.0.1:1/box:1");
}

#[test]
fn an_image_that_cannot_be_had_fails_its_job_with_the_reason() {
    let jobs = "  a:\n    runs-on: ubuntu-latest\n    container: 127.0.0.1:1/none:1\n    steps:\n      - run: echo never\n";
    let test = "an_image_that_cannot_be_had_fails_its_job_with_the_reason";
    let Some(repo) = repo(test, &on_push(jobs)) else { return };
    repo.run(&[]).ended(1).says("127.0.0.1:1 cannot be reached for 127.0.0.1:1/none:1").says_not("│ never");
    repo.run(&["-P", "ubuntu-latest=docker:oci:../none.tar", "-W", ".github/workflows"]).ended(1);
}
